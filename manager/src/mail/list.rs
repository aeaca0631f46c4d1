//! The mails of a company as a list.

use crate::{
    db::select::{Select, contains},
    list::{Column, Kind as ColumnKind, Listing, Params},
    login::SiteLogin,
};

/// States that can be asked for.
pub const STATES: [&str; 4] = ["queued", "sent", "failed", "expired"];

/// What can be asked of the mails.
#[derive(Debug, Clone)]
pub struct Mails {
    company_id: String,
    search: Option<String>,
    since: Option<i64>,
    until: Option<i64>,
    state: Option<String>,
    kind: Option<String>,
}

/// One mail.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Row {
    /// Its id.
    pub mail_id: String,
    /// What it is about.
    pub kind: String,
    /// Where it goes.
    pub address: String,
    /// One line.
    pub subject: String,
    /// Its state.
    pub state: String,
    /// Tries so far.
    pub tries: i64,
    /// When it was written.
    pub created_at_ms: i64,
    /// When it is tried next.
    pub due_at_ms: i64,
    /// When the server took it.
    pub sent_at_ms: Option<i64>,
    /// What the server said last.
    pub answer: String,
}

impl Mails {
    /// Reads the filters.
    pub fn read(params: &Params, login: &SiteLogin) -> Self {
        let zone = login.zone();
        let text = |name| params.text(name).map(str::to_owned);
        Self {
            company_id: login.company_id.to_string(),
            search: text("q"),
            since: params.day("from", &zone),
            until: params.day_end("to", &zone),
            state: text("state"),
            kind: text("kind"),
        }
    }
}

impl Listing for Mails {
    type Row = Row;
    const COLUMNS: &'static [Column] = &[
        Column { key: "created", sql: "m.created_at_ms", kind: ColumnKind::Number, descending: true },
        Column { key: "address", sql: "m.address", kind: ColumnKind::Text, descending: false },
    ];
    const ID: &'static str = "m.mail_id";
    const SELECT: &'static str = "m.mail_id, m.kind, m.address, m.subject, m.state, m.tries, m.created_at_ms, \
        m.due_at_ms, m.sent_at_ms, m.answer";

    fn narrow(&self, select: &mut Select) {
        select.add("FROM mails m WHERE m.company_id =").bind(&self.company_id);
        if let Some(since) = self.since {
            select.add("AND m.created_at_ms >=").bind(since);
        }
        if let Some(until) = self.until {
            select.add("AND m.created_at_ms <").bind(until);
        }
        if let Some(state) = &self.state {
            select.add("AND m.state =").bind(state);
        }
        if let Some(kind) = &self.kind {
            select.add("AND m.kind =").bind(kind);
        }
        if let Some(search) = &self.search {
            let pattern = contains(&search.to_lowercase());
            select.add("AND LOWER(m.address || ' ' || m.subject) LIKE").bind(pattern).add("ESCAPE '!'");
        }
    }
}
