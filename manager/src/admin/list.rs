//! The list of system administrators.

use proto::api::UnixMillis;

use super::AdminRole;
use crate::{
    db::select::{Select, contains},
    fold::fold,
    list::{Column, Kind, Listing, Params},
    login::realm::SYSTEM,
    operator::list::State,
};

/// What can be asked of the administrators.
#[derive(Debug, Clone)]
pub struct Admins {
    search: Option<String>,
    role: Option<AdminRole>,
    one: Option<String>,
}

/// One administrator.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Row {
    /// Its id in addresses.
    pub operator_id: String,
    /// The id at login.
    pub user_id: String,
    /// The name.
    pub name: String,
    /// The role.
    pub role: String,
    /// Whose companies it sees.
    pub partner_id: Option<String>,
    /// The partner's name.
    pub partner_name: Option<String>,
    /// Whether it may not log in.
    pub stopped: bool,
    /// Until when failures lock it.
    pub locked_until_ms: i64,
    /// Whether somebody else set the password.
    pub password_initial: bool,
    /// Whether there is a second factor.
    pub has_factor: bool,
    /// The last login.
    pub last_login_at_ms: Option<i64>,
    /// When it was made.
    pub created_at_ms: i64,
    /// Counts changes.
    pub version: i64,
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
}

impl Admins {
    /// Reads the filters.
    pub fn read(params: &Params) -> Self {
        Self {
            search: params.text("q").map(fold),
            role: params.text("role").and_then(|role| role.parse().ok()),
            one: None,
        }
    }

    /// The list of one administrator.
    pub fn one(operator_id: &str) -> Self {
        Self { search: None, role: None, one: Some(operator_id.to_owned()) }
    }
}

impl Listing for Admins {
    type Row = Row;
    const COLUMNS: &'static [Column] = &[
        Column { key: "user", sql: "o.user_id", kind: Kind::Text, descending: false },
        Column { key: "name", sql: "o.name", kind: Kind::Text, descending: false },
        Column { key: "login", sql: "COALESCE(o.last_login_at_ms, 0)", kind: Kind::Number, descending: true },
    ];
    const ID: &'static str = "o.operator_id";
    const SELECT: &'static str = "o.operator_id, o.user_id, o.name, o.role, o.partner_id, p.name AS partner_name, o.stopped, \
        o.locked_until_ms, o.password_initial, o.totp_sealed IS NOT NULL AS has_factor, o.last_login_at_ms, \
        o.created_at_ms, o.version";

    fn narrow(&self, select: &mut Select) {
        select
            .add("FROM operators o")
            .add("LEFT JOIN partners p ON p.partner_id = o.partner_id")
            .add("WHERE o.deleted_at_ms IS NULL AND o.company_id =")
            .bind(SYSTEM.to_string());
        if let Some(operator_id) = &self.one {
            select.add("AND o.operator_id =").bind(operator_id);
        }
        if let Some(search) = &self.search {
            select.add("AND o.search LIKE").bind(contains(search)).add("ESCAPE '!'");
        }
        if let Some(role) = self.role {
            select.add("AND o.role =").bind(role.as_str());
        }
    }
}
