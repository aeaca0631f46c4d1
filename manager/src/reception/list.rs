//! The reception log as a list: filters, order, and the file. Numbers are not in it.

use std::borrow::Cow;

use jiff::tz::TimeZone;

use crate::{
    db::{
        DbResult, Tx,
        select::{Select, contains},
    },
    list::{Asked, Column, Kind, Listing, Newest, Params, Reach},
    login::SiteLogin,
    site::time,
};

/// What can be asked of the reception log.
#[derive(Debug, Clone)]
pub struct ReceptionLog {
    login: SiteLogin,
    search: Option<String>,
    since: Option<i64>,
    until: Option<i64>,
    past: Option<i64>,
    state: Option<String>,
    one: Option<String>,
}

/// One reception.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Row {
    /// Its id.
    pub reception_id: String,
    /// The account's name now.
    pub operator_name: String,
    /// What the customer was told.
    pub reason: String,
    /// Its state.
    pub state: String,
    /// When the number was issued.
    pub issued_at_ms: i64,
    /// When it ran out, or would have.
    pub expires_at_ms: i64,
    /// When it was closed.
    pub closed_at_ms: Option<i64>,
    /// Entries that left before the secret was proved.
    pub unproved_count: i64,
    /// The session it led to.
    pub session_id: Option<String>,
    /// When the number was entered.
    pub entered_at_ms: Option<i64>,
}

impl ReceptionLog {
    /// Reads the filters.
    pub fn read(params: &Params, login: &SiteLogin) -> Self {
        let zone = login.zone();
        let text = |name| params.text(name).map(str::to_owned);
        Self {
            login: login.clone(),
            search: text("q"),
            since: params.day("from", &zone),
            until: params.day_end("to", &zone),
            past: params.number("past"),
            state: text("state"),
            one: None,
        }
    }

    /// The list of one reception, if the role of who asks reaches it.
    pub fn one(reception_id: &str, login: &SiteLogin) -> Self {
        Self { one: Some(reception_id.to_owned()), ..Self::read(&Params::default(), login) }
    }
}

/// The order by the account's name, which is in another table and so has no index.
const BY_OPERATOR: &str = "operator";

/// Where a word is looked for, and what is put into an order without an index.
const NEWEST: Newest = Newest {
    select: "SELECT issued_at_ms FROM receptions WHERE company_id =",
    column: "issued_at_ms",
    key: "s.issued_at_ms",
};

impl Listing for ReceptionLog {
    type Row = Row;
    const COLUMNS: &'static [Column] = &[
        Column { key: "issued", sql: "s.issued_at_ms", kind: Kind::Number, descending: true },
        Column { key: BY_OPERATOR, sql: "o.name", kind: Kind::Text, descending: false },
    ];
    const ID: &'static str = "s.reception_id";
    const SELECT: &'static str = "s.reception_id, o.name AS operator_name, s.reason, s.state, s.issued_at_ms, \
        s.expires_at_ms, s.closed_at_ms, s.unproved_count, s.session_id, \
        (SELECT x.entered_at_ms FROM sessions x WHERE x.session_id = s.session_id) AS entered_at_ms";

    async fn reach(&self, tx: &mut Tx, asked: &Asked) -> DbResult<Reach> {
        if self.search.is_none() && asked.column.key != BY_OPERATOR {
            return Ok(Reach::default());
        }
        let until = [self.until, self.past].into_iter().flatten().min();
        let reach = NEWEST.reach(tx, self.login.company_id, until).await?;
        // A period that is shorter is looked at whole.
        let past = reach.past.filter(|past| self.since < Some(*past));
        Ok(Reach { past, ..reach })
    }

    fn narrow(&self, select: &mut Select) {
        select
            .add("FROM receptions s")
            .add("JOIN operators o ON o.operator_id = s.operator_id")
            .add("LEFT JOIN organisations g ON g.organisation_id = o.organisation_id")
            .add("WHERE s.company_id =")
            .bind(self.login.company_id.to_string());
        self.login.narrow(select);
        if let Some(reception_id) = &self.one {
            select.add("AND s.reception_id =").bind(reception_id);
        }
        if let Some(since) = self.since {
            select.add("AND s.issued_at_ms >=").bind(since);
        }
        if let Some(until) = self.until {
            select.add("AND s.issued_at_ms <").bind(until);
        }
        if let Some(state) = &self.state {
            select.add("AND s.state =").bind(state);
        }
        if let Some(search) = &self.search {
            let pattern = contains(&search.to_lowercase());
            select.add("AND LOWER(o.name || ' ' || s.reason) LIKE").bind(pattern).add("ESCAPE '!'");
        }
    }
}

/// Columns of the file.
pub const HEADS: [&str; 9] =
    ["reception_id", "issued", "entered", "closed", "operator", "reason", "state", "unproved", "session_id"];

/// Cells of one reception in the file.
pub fn cells(row: &Row, zone: &TimeZone, cell: &mut dyn FnMut(Cow<'_, str>)) {
    let time = |at: Option<i64>| at.map(|at| time::machine(at, zone)).unwrap_or_default();
    cell(Cow::Borrowed(&row.reception_id));
    for at in [Some(row.issued_at_ms), row.entered_at_ms, row.closed_at_ms] {
        cell(Cow::Owned(time(at)));
    }
    for text in [&row.operator_name, &row.reason, &row.state] {
        cell(Cow::Borrowed(text));
    }
    cell(Cow::Owned(row.unproved_count.to_string()));
    cell(Cow::Borrowed(row.session_id.as_deref().unwrap_or_default()));
}
