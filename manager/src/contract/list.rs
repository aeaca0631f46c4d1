//! The list of companies: filters, order, and the file.

use std::borrow::Cow;

use jiff::tz::TimeZone;
use proto::api::UnixMillis;

use super::State;
use crate::{
    admin::AdminLogin,
    db::select::{Select, contains},
    fold::fold,
    list::{Column, Kind, Listing, Params},
    site::time,
};

/// Milliseconds of a day.
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// Days before its end from which a contract is marked.
pub const ENDING_DAYS: i64 = 60;

/// What can be asked of the companies.
#[derive(Debug, Clone)]
pub struct Companies {
    /// Whose companies only; `Some("")` has none.
    partner_only: Option<String>,
    search: Option<String>,
    state: Option<State>,
    ending: bool,
    partner: Option<String>,
    one: Option<String>,
    now: UnixMillis,
}

/// One company.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Row {
    /// Its id in addresses.
    pub company_id: String,
    /// The code at login.
    pub code: String,
    /// The name.
    pub name: String,
    /// Where the contract stands.
    pub state: String,
    /// Seats of the contract; none for no limit.
    pub seats: Option<i64>,
    /// Accounts there are.
    pub used: i64,
    /// First moment of the contract.
    pub contract_begins_at_ms: Option<i64>,
    /// The moment behind its last one.
    pub contract_ends_at_ms: Option<i64>,
    /// When it was ended.
    pub ended_at_ms: Option<i64>,
    /// Where its sessions must stay; empty for anywhere.
    pub region: String,
    /// Who brought it.
    pub partner_id: Option<String>,
    /// The partner's name.
    pub partner_name: Option<String>,
    /// Whom to ask about the contract.
    pub contact: String,
    /// What operations noted.
    pub note: String,
    /// Administrators it has.
    pub admins: i64,
    /// When it was made.
    pub created_at_ms: i64,
    /// Counts changes.
    pub version: i64,
}

impl Row {
    /// Where the contract stands.
    pub fn state(&self) -> State {
        State::stored(&self.state)
    }

    /// Whether an active contract is over soon, or over.
    pub fn is_ending(&self, now: UnixMillis) -> bool {
        let soon = now.saturating_add(ENDING_DAYS * DAY_MS);
        self.state() == State::Active && self.contract_ends_at_ms.is_some_and(|ends| ends < soon)
    }
}

impl Companies {
    /// Reads the filters.
    pub fn read(params: &Params, login: &AdminLogin, now: UnixMillis) -> Self {
        Self {
            partner_only: login.partner_only(),
            search: params.text("q").map(fold),
            state: State::ALL.into_iter().find(|state| params.has("state", state.as_str())),
            ending: params.has("ending", "yes"),
            partner: params.text("partner").map(str::to_owned),
            one: None,
            now,
        }
    }

    /// The list of one company, if the login sees it.
    pub fn one(company_id: &str, login: &AdminLogin, now: UnixMillis) -> Self {
        Self { one: Some(company_id.to_owned()), ..Self::read(&Params::default(), login, now) }
    }
}

impl Listing for Companies {
    type Row = Row;
    const COLUMNS: &'static [Column] = &[
        Column { key: "code", sql: "c.code", kind: Kind::Text, descending: false },
        Column { key: "name", sql: "c.name", kind: Kind::Text, descending: false },
        Column {
            key: "ends",
            sql: "COALESCE(c.contract_ends_at_ms, 9000000000000000)",
            kind: Kind::Number,
            descending: false,
        },
        Column { key: "created", sql: "c.created_at_ms", kind: Kind::Number, descending: true },
    ];
    const ID: &'static str = "c.company_id";
    const SELECT: &'static str = "c.company_id, c.code, c.name, c.state, c.seats, c.contract_begins_at_ms, \
        c.contract_ends_at_ms, c.ended_at_ms, c.region, c.partner_id, p.name AS partner_name, c.contact, c.note, \
        c.created_at_ms, c.version, \
        (SELECT COUNT(*) FROM operators o WHERE o.company_id = c.company_id AND o.deleted_at_ms IS NULL) AS used, \
        (SELECT COUNT(*) FROM operators o WHERE o.company_id = c.company_id AND o.deleted_at_ms IS NULL \
            AND o.role = 'company_admin' AND o.role_id IS NULL AND o.stopped = FALSE) AS admins";

    fn narrow(&self, select: &mut Select) {
        select
            .add("FROM companies c")
            .add("LEFT JOIN partners p ON p.partner_id = c.partner_id")
            .add("WHERE c.realm = 'company'");
        if let Some(partner_id) = &self.partner_only {
            select.add("AND c.partner_id =").bind(partner_id);
        }
        if let Some(company_id) = &self.one {
            select.add("AND c.company_id =").bind(company_id);
        }
        if let Some(search) = &self.search {
            select.add("AND c.search LIKE").bind(contains(search)).add("ESCAPE '!'");
        }
        if let Some(state) = self.state {
            select.add("AND c.state =").bind(state.as_str());
        }
        if self.ending {
            select
                .add("AND c.state = 'active' AND c.contract_ends_at_ms <")
                .bind(self.now.saturating_add(ENDING_DAYS * DAY_MS));
        }
        if let Some(partner) = &self.partner {
            select.add("AND c.partner_id =").bind(partner);
        }
    }
}

/// Columns of the file.
pub const HEADS: [&str; 11] = [
    "code",
    "name",
    "state",
    "seats",
    "accounts",
    "contract_begins",
    "contract_ends",
    "region",
    "partner",
    "contact",
    "created",
];

/// Cells of one company in the file.
pub fn cells(row: &Row, zone: &TimeZone, cell: &mut dyn FnMut(Cow<'_, str>)) {
    for text in [&row.code, &row.name, &row.state] {
        cell(Cow::Borrowed(text));
    }
    cell(Cow::Owned(row.seats.map(|seats| seats.to_string()).unwrap_or_default()));
    cell(Cow::Owned(row.used.to_string()));
    cell(Cow::Owned(row.contract_begins_at_ms.map(|at| time::day(at, zone)).unwrap_or_default()));
    cell(Cow::Owned(row.contract_ends_at_ms.map(|at| time::day(at.saturating_sub(1), zone)).unwrap_or_default()));
    cell(Cow::Borrowed(&row.region));
    cell(Cow::Borrowed(row.partner_name.as_deref().unwrap_or_default()));
    cell(Cow::Borrowed(&row.contact));
    cell(Cow::Owned(time::machine(row.created_at_ms, zone)));
}
