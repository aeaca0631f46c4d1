//! The operation log and the login log as lists over the chain.

use std::{borrow::Cow, time::Duration};

use jiff::tz::TimeZone;

use crate::{
    db::{
        DbResult, Tx,
        select::{Select, begins_with, contains},
    },
    list::{Asked, COUNT_MAX, Column, Kind, Listing, Newest, Params, Rare, Reach},
    login::SiteLogin,
    site::time,
    throttle::millis,
};

/// The clocks of two managers differ by less, so a row of the chain may be older than its predecessor by less.
const CLOCKS_APART: Duration = Duration::from_mins(10);
/// Where a word is looked for.
const NEWEST: Newest = Newest { select: "SELECT seq FROM audit WHERE company_id =", column: "seq", key: KEY };
const KEY: &str = "a.seq";

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
    past: Option<i64>,
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
            past: params.number("past"),
        }
    }

    /// The part of the chain in which a period lies: rows are in the chain's order, and few are read that are not in it.
    async fn part(&self, tx: &mut Tx) -> DbResult<(Option<i64>, Option<i64>)> {
        let (mut from, mut until) = (None, self.past);
        if let Some(since) = self.since {
            let mut select = Select::new("SELECT seq FROM audit WHERE company_id =");
            select.bind(self.login.company_id.to_string()).add("AND at_ms <");
            select.bind(since.saturating_sub(millis(CLOCKS_APART))).add("ORDER BY at_ms DESC, seq DESC LIMIT 1");
            from = first(&select.fetch_all(tx).await?);
        }
        if let Some(end) = self.until {
            let mut select = Select::new("SELECT seq FROM audit WHERE company_id =");
            select.bind(self.login.company_id.to_string()).add("AND at_ms >=");
            select.bind(end.saturating_add(millis(CLOCKS_APART))).add("ORDER BY at_ms, seq LIMIT 1");
            until = [until, first(&select.fetch_all(tx).await?)].into_iter().flatten().min();
        }
        Ok((from, until))
    }
}

impl Events {
    /// The kind of event that is asked for, if it is not every one but those of the other log.
    fn kind(&self) -> Option<Rare> {
        let first = match (&self.event, self.log) {
            (Some(event), _) => event.clone(),
            (None, Log::Logins) => "login.".to_owned(),
            (None, Log::Operations) => return None,
        };
        let behind = format!("{first}{}", char::MAX);
        Some(Rare {
            select: "SELECT seq FROM audit WHERE company_id =",
            company_id: self.login.company_id,
            range: ["AND event >=", "AND event <"],
            names: [first, behind],
        })
    }

    /// Whether nothing but the kind of event narrows the log.
    const fn is_of_kind_only(&self) -> bool {
        let (actor, search) = (self.actor.is_none(), self.search.is_none());
        actor && search && self.since.is_none() && self.until.is_none() && self.past.is_none()
    }
}

fn first(rows: &[(i64,)]) -> Option<i64> {
    rows.first().map(|(seq,)| *seq)
}

impl Listing for Events {
    type Row = Row;
    const COLUMNS: &'static [Column] = &[Column { key: "at", sql: KEY, kind: Kind::Number, descending: true }];
    const ID: &'static str = "a.hash";
    const SELECT: &'static str = "a.seq, a.at_ms, a.actor, COALESCE(o.name, 'API: ' || t.name) AS actor_name, a.event,
        a.session_id, a.detail, a.hash";

    async fn reach(&self, tx: &mut Tx, _asked: &Asked) -> DbResult<Reach> {
        let (from, until) = self.part(tx).await?;
        let whole = Reach { key: KEY, from, until, ..Reach::default() };
        if let Some(kind) = self.kind() {
            if kind.rows(tx).await?.is_some() {
                return Ok(Reach { among: Some(kind), ..whole });
            }
            if self.is_of_kind_only() {
                return Ok(Reach { total: Some(COUNT_MAX.saturating_add(1)), ..whole });
            }
        }
        if self.search.is_none() {
            return Ok(whole);
        }
        let newest = NEWEST.reach(tx, self.login.company_id, until).await?;
        // A period that is shorter than what is looked at is looked at whole.
        if newest.from <= from { Ok(whole) } else { Ok(newest) }
    }

    fn narrow(&self, select: &mut Select) {
        select
            .add("FROM audit a")
            .add("LEFT JOIN operators o ON a.actor = 'operator:' || o.operator_id")
            // What stands behind `token:`; no other actor has an id of this length there.
            .add("LEFT JOIN api_tokens t ON t.token_id = SUBSTR(a.actor, 7) AND t.company_id = a.company_id")
            .add("WHERE a.company_id =")
            .bind(self.login.company_id.to_string());
        match self.log {
            Log::Operations => select.add("AND a.event NOT LIKE 'login.%'"),
            Log::Logins => select.add("AND a.event LIKE 'login.%'"),
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
                .add("AND LOWER(COALESCE(o.name, t.name, '') || ' ' || a.event || ' ' || a.detail) LIKE")
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
