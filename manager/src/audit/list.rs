//! The operation log and the login log as lists over the chain.

use std::borrow::Cow;

use jiff::tz::TimeZone;

use crate::{
    db::select::{Select, begins_with, contains},
    list::{Column, Kind, Listing, Params},
    login::SiteLogin,
    site::time,
};

/// Which of the two logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Log {
    /// What was done.
    Operations,
    /// Who logged in, and who could not.
    Logins,
}

/// What can be asked of a log.
#[derive(Debug, Clone)]
pub struct Events {
    login: SiteLogin,
    log: Log,
    since: Option<i64>,
    until: Option<i64>,
    event: Option<String>,
    actor: Option<String>,
    search: Option<String>,
}

/// One row of the chain.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Row {
    /// Its number in the chain.
    pub seq: i64,
    /// When.
    pub at_ms: i64,
    /// Who, as the chain has it.
    pub actor: String,
    /// The account's name, when it is one.
    pub actor_name: Option<String>,
    /// What.
    pub event: String,
    /// The session it is about.
    pub session_id: Option<String>,
    /// More, JSON.
    pub detail: String,
    /// The row's hash.
    pub hash: String,
}

impl Events {
    /// Reads the filters.
    pub fn read(log: Log, params: &Params, login: &SiteLogin) -> Self {
        let zone = login.zone();
        let text = |name| params.text(name).map(str::to_owned);
        Self {
            login: login.clone(),
            log,
            since: params.day("from", &zone),
            until: params.day_end("to", &zone),
            event: text("event"),
            actor: text("actor"),
            search: text("q"),
        }
    }
}

impl Listing for Events {
    type Row = Row;
    const COLUMNS: &'static [Column] = &[Column { key: "at", sql: "a.seq", kind: Kind::Number, descending: true }];
    const ID: &'static str = "a.hash";
    const SELECT: &'static str =
        "a.seq, a.at_ms, a.actor, o.name AS actor_name, a.event, a.session_id, a.detail, a.hash";

    fn narrow(&self, select: &mut Select) {
        select
            .add("FROM audit a")
            .add("LEFT JOIN operators o ON a.actor = 'operator:' || o.operator_id")
            .add("WHERE a.company_id =")
            .bind(self.login.company_id.to_string());
        match self.log {
            Log::Operations => select.add("AND NOT (a.event >= 'login.' AND a.event < 'login/')"),
            Log::Logins => select.add("AND a.event >= 'login.' AND a.event < 'login/'"),
        };
        if let Some(event) = &self.event {
            select.add("AND a.event LIKE").bind(begins_with(event)).add("ESCAPE '!'");
        }
        if let Some(actor) = &self.actor {
            select.add("AND a.actor =").bind(format!("operator:{actor}"));
        }
        if let Some(since) = self.since {
            select.add("AND a.at_ms >=").bind(since);
        }
        if let Some(until) = self.until {
            select.add("AND a.at_ms <").bind(until);
        }
        if let Some(search) = &self.search {
            let pattern = contains(&search.to_lowercase());
            select
                .add("AND LOWER(COALESCE(o.name, '') || ' ' || a.event || ' ' || a.detail) LIKE")
                .bind(pattern)
                .add("ESCAPE '!'");
        }
    }
}

/// Columns of the file.
pub const HEADS: [&str; 7] = ["number", "at", "actor", "event", "session_id", "detail", "hash"];

/// Cells of one row in the file.
pub fn cells(row: &Row, zone: &TimeZone, cell: &mut dyn FnMut(Cow<'_, str>)) {
    cell(Cow::Owned(row.seq.to_string()));
    cell(Cow::Owned(time::machine(row.at_ms, zone)));
    cell(Cow::Borrowed(row.actor_name.as_deref().unwrap_or(&row.actor)));
    cell(Cow::Borrowed(&row.event));
    cell(Cow::Borrowed(row.session_id.as_deref().unwrap_or_default()));
    cell(Cow::Borrowed(&row.detail));
    cell(Cow::Borrowed(&row.hash));
}
