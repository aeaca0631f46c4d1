//! What is handed out by law: what a company, or one account of it, did in a period, and nothing else.

use std::borrow::Cow;

use jiff::tz::TimeZone;
use proto::api::UnixMillis;

use super::store::Row as Request;
use crate::{
    db::{DbResult, Tx, select::Select},
    fetch_optional,
    list::{Column, Kind, Listing},
    site::time,
};

/// Days after the second person agreed in which the file can be fetched.
pub const FETCH_DAYS: i64 = 7;

/// The rows of one disclosure.
#[derive(Debug, Clone)]
pub struct Disclosure {
    company_id: String,
    /// The account, when it is about one.
    operator_id: Option<String>,
    since: UnixMillis,
    until: UnixMillis,
}

/// One row: a reception, a session, or an event of the chain.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Row {
    kind: String,
    id: String,
    at_ms: i64,
    person: Option<String>,
    what: String,
    note: String,
    detail: String,
}

impl Disclosure {
    /// What a request asks for.
    ///
    /// # Errors
    /// [`crate::db::DbError`].
    pub async fn of(tx: &mut Tx, request: &Request) -> DbResult<Self> {
        let operator_id = if request.user_id.is_empty() {
            None
        } else {
            // An account that is gone did nothing that could be handed out by its id.
            Some(operator_of(tx, &request.company_id, &request.user_id).await?.unwrap_or_default())
        };
        let company_id = request.company_id.clone();
        Ok(Self { company_id, operator_id, since: request.since_ms, until: request.until_ms })
    }

    /// Adds the conditions of one part.
    fn bound(&self, select: &mut Select, since: &'static str, until: &'static str) {
        select.bind(&self.company_id).add(since).bind(self.since).add(until).bind(self.until);
    }
}

/// The account of a company with an id at login.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn operator_of(tx: &mut Tx, company_id: &str, user_id: &str) -> DbResult<Option<String>> {
    let row = fetch_optional!(
        tx,
        (String,),
        "SELECT operator_id
        FROM operators
        WHERE company_id = $1
        AND user_id = $2",
        company_id,
        user_id
    )?;
    Ok(row.map(|(operator_id,)| operator_id))
}

impl Listing for Disclosure {
    type Row = Row;
    const COLUMNS: &'static [Column] = &[Column { key: "at", sql: "x.at_ms", kind: Kind::Number, descending: false }];
    const ID: &'static str = "x.kind || x.id";
    const SELECT: &'static str = "x.kind, x.id, x.at_ms, o.name AS person, x.what, x.note, x.detail";

    fn narrow(&self, select: &mut Select) {
        select
            .add("FROM (SELECT 'reception' AS kind, r.reception_id AS id, r.issued_at_ms AS at_ms, r.operator_id,")
            .add("r.state AS what, r.reason AS note, '' AS detail FROM receptions r WHERE r.company_id =");
        self.bound(select, "AND r.issued_at_ms >=", "AND r.issued_at_ms <");
        select.add("UNION ALL SELECT 'session', s.session_id, s.entered_at_ms, s.operator_id,").add(
            "s.state || COALESCE(' ' || s.end_reason, ''), s.reason, s.device || COALESCE(' ' || s.managed, '') FROM sessions s WHERE s.company_id =",
        );
        self.bound(select, "AND s.entered_at_ms >=", "AND s.entered_at_ms <");
        select
            .add("UNION ALL SELECT 'event', a.hash, a.at_ms,")
            .add("CASE WHEN SUBSTR(a.actor, 1, 9) = 'operator:' THEN SUBSTR(a.actor, 10) ELSE '' END,")
            .add("a.event, a.actor, a.detail FROM audit a WHERE a.erased = FALSE AND a.company_id =");
        self.bound(select, "AND a.at_ms >=", "AND a.at_ms <");
        select.add(") x LEFT JOIN operators o ON o.operator_id = x.operator_id WHERE x.kind <> ''");
        if let Some(operator_id) = &self.operator_id {
            select.add("AND x.operator_id =").bind(operator_id);
        }
    }
}

/// Columns of the file.
pub const HEADS: [&str; 7] = ["kind", "id", "at", "person", "what", "note", "detail"];

/// Cells of one row in the file.
pub fn cells(row: &Row, zone: &TimeZone, cell: &mut dyn FnMut(Cow<'_, str>)) {
    cell(Cow::Borrowed(&row.kind));
    cell(Cow::Borrowed(&row.id));
    cell(Cow::Owned(time::machine(row.at_ms, zone)));
    cell(Cow::Borrowed(row.person.as_deref().unwrap_or_default()));
    for text in [&row.what, &row.note, &row.detail] {
        cell(Cow::Borrowed(text));
    }
}
