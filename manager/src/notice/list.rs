//! The notices that a company sees, as a list.

use proto::api::UnixMillis;

use super::Class;
use crate::{
    db::select::{Select, contains},
    list::{Column, Kind, Listing, Params},
    login::SiteLogin,
};

/// What can be asked of the notices.
#[derive(Debug, Clone)]
pub struct Notices {
    company_id: String,
    operator_id: String,
    now: UnixMillis,
    search: Option<String>,
    class: Option<Class>,
    unread: bool,
    running: bool,
}

/// One notice.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Row {
    /// Its id in addresses.
    pub notice_id: String,
    /// The company's own, or `None` for one of the service or of a partner.
    pub company_id: Option<String>,
    /// The partner that wrote it, by name; `None` for the service and for a company.
    pub partner: Option<String>,
    /// What it is about.
    pub kind: String,
    /// Whether it is important.
    pub important: bool,
    /// One line.
    pub title: String,
    /// From when it is in force.
    pub begins_at_ms: i64,
    /// Until when.
    pub ends_at_ms: i64,
    /// Whether this account read it.
    pub is_read: bool,
}

impl Notices {
    /// Reads the filters.
    pub fn read(params: &Params, login: &SiteLogin, now: UnixMillis) -> Self {
        Self {
            company_id: login.company_id.to_string(),
            operator_id: login.operator_id.to_string(),
            now,
            search: params.text("q").map(str::to_lowercase),
            class: params.text("kind").and_then(Class::parse),
            unread: params.has("unread", "yes"),
            running: params.has("running", "yes"),
        }
    }
}

impl Listing for Notices {
    type Row = Row;
    const COLUMNS: &'static [Column] = &[
        Column { key: "begins", sql: "n.begins_at_ms", kind: Kind::Number, descending: true },
        Column { key: "ends", sql: "n.ends_at_ms", kind: Kind::Number, descending: true },
    ];
    const ID: &'static str = "n.notice_id";
    const SELECT: &'static str = "n.notice_id, n.company_id, p.name AS partner, n.kind, n.important, n.title, \
        n.begins_at_ms, n.ends_at_ms, r.read_at_ms IS NOT NULL AS is_read";

    fn narrow(&self, select: &mut Select) {
        select
            .add("FROM notices n LEFT JOIN partners p ON p.partner_id = n.partner_id")
            .add("LEFT JOIN notice_reads r ON r.notice_id = n.notice_id AND r.operator_id =")
            .bind(&self.operator_id)
            .add("WHERE (n.company_id =")
            .bind(&self.company_id)
            .add("OR n.for_all = TRUE OR ((n.for_partner = TRUE OR EXISTS (SELECT 1 FROM notice_companies x")
            .add("WHERE x.notice_id = n.notice_id AND x.company_id =")
            .bind(&self.company_id)
            .add(")) AND (n.partner_id IS NULL OR n.partner_id = (SELECT c.partner_id FROM companies c WHERE c.company_id =")
            .bind(&self.company_id)
            .add("))))");
        // What was ended before it began was never told.
        select.add("AND n.begins_at_ms <= n.ends_at_ms AND n.begins_at_ms <=").bind(self.now);
        if let Some(class) = self.class {
            select.add("AND n.kind =").bind(class.as_str());
        }
        if self.unread {
            select.add("AND r.read_at_ms IS NULL");
        }
        if self.running {
            select.add("AND n.ends_at_ms >").bind(self.now);
        }
        if let Some(search) = &self.search {
            select.add("AND LOWER(n.title || ' ' || n.body) LIKE").bind(contains(search)).add("ESCAPE '!'");
        }
    }
}
