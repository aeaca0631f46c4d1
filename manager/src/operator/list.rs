//! The list of accounts: filters, order, and the file.

use std::borrow::Cow;

use jiff::tz::TimeZone;
use proto::api::UnixMillis;

use crate::{
    db::select::{Select, contains},
    fold::fold,
    list::{Column, Kind, Listing, Params},
    login::SiteLogin,
    role::Role,
    site::time,
};

/// What can be asked of the accounts of a company.
#[derive(Debug, Clone)]
pub struct Accounts {
    login: SiteLogin,
    search: Option<String>,
    role: Option<String>,
    state: Option<State>,
    factor: Option<bool>,
    organisation: Option<String>,
    group: Option<String>,
    now: UnixMillis,
    only: Option<Vec<String>>,
}

/// The state of an account, as it is shown; the first that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It may not log in.
    Stopped,
    /// Failures locked it.
    Locked,
    /// The password that somebody else set was not changed yet.
    Initial,
    /// It may log in.
    Active,
}

/// One account.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Row {
    /// Its id in addresses.
    pub operator_id: String,
    /// The id at login.
    pub user_id: String,
    /// The name.
    pub name: String,
    /// Its reading.
    pub kana: String,
    /// Address of mail.
    pub email: String,
    /// The product's role.
    pub role: String,
    /// The company's role that decides instead.
    pub role_id: Option<String>,
    /// Its name.
    pub role_name: Option<String>,
    /// The organisation's id.
    pub organisation_id: Option<String>,
    /// The organisation.
    pub organisation: Option<String>,
    /// Whether it may not log in.
    pub stopped: bool,
    /// Until when failures lock it.
    pub locked_until_ms: i64,
    /// Whether somebody else set the password.
    pub password_initial: bool,
    /// When the password was set.
    pub password_changed_at_ms: i64,
    /// Whether there is a second factor.
    pub has_factor: bool,
    /// The last login.
    pub last_login_at_ms: Option<i64>,
    /// The last support.
    pub last_support_at_ms: Option<i64>,
    /// When it was made.
    pub created_at_ms: i64,
    /// Counts changes.
    pub version: i64,
}

impl State {
    /// Every state, in the order of the filter.
    pub const ALL: [Self; 4] = [Self::Active, Self::Stopped, Self::Locked, Self::Initial];

    /// The value in addresses and in CSV files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Locked => "locked",
            Self::Initial => "initial",
            Self::Active => "active",
        }
    }
}

impl Row {
    /// The state now.
    pub const fn state(&self, now: UnixMillis) -> State {
        if self.stopped {
            State::Stopped
        } else if now < self.locked_until_ms {
            State::Locked
        } else if self.password_initial {
            State::Initial
        } else {
            State::Active
        }
    }

    /// The product's role.
    pub fn role(&self) -> Role {
        self.role.parse().unwrap_or(Role::Viewer)
    }
}

impl Accounts {
    /// Reads the filters.
    pub fn read(params: &Params, login: &SiteLogin, now: UnixMillis) -> Self {
        Self {
            login: login.clone(),
            search: params.text("q").map(fold),
            role: params.text("role").map(str::to_owned),
            state: State::ALL.into_iter().find(|state| params.has("state", state.as_str())),
            group: params.text("group").map(str::to_owned),
            organisation: params.text("organisation").map(str::to_owned),
            factor: match params.text("factor") {
                Some("yes") => Some(true),
                Some("no") => Some(false),
                _ => None,
            },
            now,
            only: None,
        }
    }

    /// The list of one account, if the role of who asks reaches it.
    pub fn one(operator_id: &str, login: &SiteLogin, now: UnixMillis) -> Self {
        Self::these([operator_id.to_owned()], login, now)
    }

    /// The list of these accounts, as far as the role of who asks reaches them.
    pub fn these(operator_ids: impl IntoIterator<Item = String>, login: &SiteLogin, now: UnixMillis) -> Self {
        Self { only: Some(operator_ids.into_iter().collect()), ..Self::read(&Params::default(), login, now) }
    }
}

/// Adds the condition that narrows rows to those of an organisation `g` and of all below it.
pub fn below(select: &mut Select, login: &SiteLogin, organisation_id: &str) {
    // A path is ids and slashes, so nothing in it means more than itself.
    select
        .add("AND g.path LIKE (SELECT x.path FROM organisations x WHERE x.company_id =")
        .bind(login.company_id.to_string())
        .add("AND x.organisation_id =")
        .bind(organisation_id)
        .add(") || '%'");
}

impl Listing for Accounts {
    type Row = Row;
    const COLUMNS: &'static [Column] = &[
        Column { key: "user", sql: "o.user_id", kind: Kind::Text, descending: false },
        Column { key: "name", sql: "COALESCE(NULLIF(o.kana, ''), o.name)", kind: Kind::Text, descending: false },
        Column { key: "login", sql: "COALESCE(o.last_login_at_ms, 0)", kind: Kind::Number, descending: true },
        Column { key: "created", sql: "o.created_at_ms", kind: Kind::Number, descending: true },
    ];
    const ID: &'static str = "o.operator_id";
    const SELECT: &'static str = "o.operator_id, o.user_id, o.name, o.kana, o.email, o.role, o.role_id, r.name AS role_name, \
        o.organisation_id, g.name AS organisation, o.stopped, o.locked_until_ms, o.password_initial, o.password_changed_at_ms, o.totp_sealed IS NOT NULL AS has_factor, \
        o.last_login_at_ms, o.created_at_ms, o.version, \
        (SELECT MAX(s.entered_at_ms) FROM sessions s WHERE s.operator_id = o.operator_id) AS last_support_at_ms";

    fn narrow(&self, select: &mut Select) {
        select
            .add("FROM operators o")
            .add("LEFT JOIN organisations g ON g.organisation_id = o.organisation_id")
            .add("LEFT JOIN roles r ON r.role_id = o.role_id")
            .add("WHERE o.deleted_at_ms IS NULL AND o.company_id =")
            .bind(self.login.company_id.to_string());
        self.login.narrow(select);
        if let Some(operator_ids) = &self.only {
            select.add("AND o.operator_id IN").bind_all(operator_ids.iter().map(String::as_str));
        }
        if let Some(search) = &self.search {
            select.add("AND o.search LIKE").bind(contains(search)).add("ESCAPE '!'");
        }
        if let Some(role) = &self.role {
            select.add("AND COALESCE(o.role_id, o.role) =").bind(role);
        }
        if let Some(organisation_id) = &self.organisation {
            below(select, &self.login, organisation_id);
        }
        if let Some(group_id) = &self.group {
            select
                .add("AND EXISTS (SELECT 1 FROM account_group_members m WHERE m.operator_id = o.operator_id AND m.group_id =")
                .bind(group_id)
                .add(")");
        }
        match self.factor {
            Some(true) => select.add("AND o.totp_sealed IS NOT NULL"),
            Some(false) => select.add("AND o.totp_sealed IS NULL"),
            None => select,
        };
        match self.state {
            Some(State::Stopped) => {
                select.add("AND o.stopped = TRUE");
            }
            Some(State::Locked) => {
                select.add("AND o.stopped = FALSE AND o.locked_until_ms >").bind(self.now);
            }
            Some(State::Initial) => {
                select
                    .add("AND o.stopped = FALSE AND o.password_initial = TRUE AND o.locked_until_ms <=")
                    .bind(self.now);
            }
            Some(State::Active) => {
                select
                    .add("AND o.stopped = FALSE AND o.password_initial = FALSE AND o.locked_until_ms <=")
                    .bind(self.now);
            }
            None => {}
        }
    }
}

/// Columns of the file, whose names are those of the import, in every language.
pub const HEADS: [&str; 10] =
    ["user", "name", "kana", "email", "role", "organisation", "state", "second_factor", "last_login", "created"];

/// Cells of one account in the file.
pub fn cells(row: &Row, zone: &TimeZone, now: UnixMillis, cell: &mut dyn FnMut(Cow<'_, str>)) {
    let time = |at: Option<i64>| at.map(|at| time::machine(at, zone)).unwrap_or_default();
    for text in [&row.user_id, &row.name, &row.kana, &row.email] {
        cell(Cow::Borrowed(text));
    }
    cell(Cow::Borrowed(row.role_name.as_deref().unwrap_or(&row.role)));
    cell(Cow::Borrowed(row.organisation.as_deref().unwrap_or_default()));
    cell(Cow::Borrowed(row.state(now).as_str()));
    cell(Cow::Borrowed(if row.has_factor { "yes" } else { "no" }));
    cell(Cow::Owned(time(row.last_login_at_ms)));
    cell(Cow::Owned(time(Some(row.created_at_ms))));
}
