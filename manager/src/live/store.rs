//! Rows of the boards.

use std::collections::BTreeMap;

use crate::{
    db::{
        DbResult, Tx,
        select::{Select, contains},
    },
    fetch_all,
    fold::fold,
    list::Params,
    login::SiteLogin,
    organisation::store as organisations,
    role::Reach,
};

/// Rows that a board shows; a desk that has more open at once narrows them.
pub const ROWS_MAX: i64 = 200;
/// The state of a number that waits for an operator.
pub const WAITING: &str = "waiting";

/// What a board is narrowed to, beside what the role reaches.
#[derive(Debug, Clone, Default)]
pub struct Narrowing {
    search: Option<String>,
    state: Option<String>,
    organisation_id: Option<String>,
    one: Option<String>,
}

/// An open number.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct OpenNumber {
    /// The reception.
    pub reception_id: String,
    /// Its digits, sealed.
    pub locator_sealed: String,
    /// Who issued it; of a number that waits, the only account that may take it, or nothing.
    pub operator_id: String,
    /// The account's name; of a number that waits for an operator, whom it is for, or nothing.
    pub operator_name: String,
    /// What the customer is told.
    pub reason: String,
    /// `waiting` (for an operator), `issued` or `entered`.
    pub state: String,
    /// When it was issued.
    pub issued_at_ms: i64,
    /// When it stops being usable.
    pub expires_at_ms: i64,
    /// Entries that left unproved.
    pub unproved_count: i64,
    /// The device as its device management described it, when that started it, JSON.
    pub managed: Option<String>,
}

/// A running session.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct RunningSession {
    /// Its id.
    pub session_id: String,
    /// Whose it is.
    pub operator_id: String,
    /// The account's name at that time.
    pub operator_name: String,
    /// What the customer was told.
    pub reason: String,
    /// Its state.
    pub state: String,
    /// When the number was entered.
    pub entered_at_ms: i64,
    /// When the customer allowed the view.
    pub connected_at_ms: Option<i64>,
    /// What the customer sent about the device, JSON.
    pub device: String,
    /// The device as its device management described it, when that started it, JSON.
    pub managed: Option<String>,
    /// Its relays in their order, a JSON array of ids.
    pub relay_ids: String,
}

impl Narrowing {
    /// Reads the filters of a board.
    pub fn read(params: &Params) -> Self {
        let text = |name| params.text(name).map(str::to_owned);
        Self { search: text("q"), state: text("state"), organisation_id: text("organisation"), one: None }
    }

    /// One row.
    pub fn one(id: &str) -> Self {
        Self { one: Some(id.to_owned()), ..Self::default() }
    }

    /// Adds the organisation and those below it.
    fn organisation(&self, select: &mut Select, login: &SiteLogin) {
        if let Some(organisation_id) = &self.organisation_id {
            select
                .add("AND g.path LIKE (SELECT u.path || '%' FROM organisations u WHERE u.company_id =")
                .bind(login.company_id.to_string())
                .add("AND u.organisation_id =")
                .bind(organisation_id)
                .add(")");
        }
    }
}

/// Open numbers that the role reaches, and those that wait for an operator, the oldest first; one more than [`ROWS_MAX`]
/// says that there are more.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn numbers(tx: &mut Tx, login: &SiteLogin, narrowing: &Narrowing) -> DbResult<Vec<OpenNumber>> {
    let mut select = Select::new(
        "SELECT s.reception_id, s.locator_sealed, s.operator_id, o.name AS operator_name, s.reason, s.state,
            s.issued_at_ms, s.expires_at_ms, s.unproved_count, d.device AS managed
        FROM receptions s
        LEFT JOIN device_starts d ON d.reception_id = s.reception_id",
    );
    of_operators(&mut select, login);
    select.add("AND s.open_slot IS NOT NULL");
    narrowing.organisation(&mut select, login);
    if let Some(one) = &narrowing.one {
        select.add("AND s.reception_id =").bind(one);
    }
    if let Some(state) = &narrowing.state {
        select.add("AND s.state =").bind(state);
    }
    if let Some(search) = &narrowing.search {
        select
            .add("AND (LOWER(o.name || ' ' || s.reason) LIKE")
            .bind(contains(&search.to_lowercase()))
            .add("ESCAPE '!' OR d.search LIKE")
            .bind(contains(&fold(search)))
            .add("ESCAPE '!')");
    }
    select.add("ORDER BY s.issued_at_ms, s.reception_id LIMIT").bind(ROWS_MAX.saturating_add(1));
    let mut rows: Vec<OpenNumber> = select.fetch_all(tx).await?;
    if narrowing.state.as_deref().is_none_or(|state| state == WAITING) {
        rows.extend(waiting(tx, login, narrowing).await?);
        rows.sort_by(|a, b| (a.issued_at_ms, &a.reception_id).cmp(&(b.issued_at_ms, &b.reception_id)));
        rows.truncate(usize::try_from(ROWS_MAX.saturating_add(1)).unwrap_or(usize::MAX));
    }
    Ok(rows)
}

/// Numbers that a device management started and that wait for an operator. Who sees only what is their own sees those that
/// they may take.
async fn waiting(tx: &mut Tx, login: &SiteLogin, narrowing: &Narrowing) -> DbResult<Vec<OpenNumber>> {
    let mut select = Select::new(
        "SELECT d.reception_id, d.locator_sealed, COALESCE(d.operator_id, '') AS operator_id,
            COALESCE(o.name, k.name, '') AS operator_name, d.reason, d.state, d.started_at_ms AS issued_at_ms,
            d.expires_at_ms, CAST(0 AS BIGINT) AS unproved_count, d.device AS managed
        FROM device_starts d
        LEFT JOIN operators o ON o.operator_id = d.operator_id
        LEFT JOIN organisations g ON g.organisation_id = o.organisation_id
        LEFT JOIN account_groups k ON k.group_id = d.group_id
        WHERE d.state = 'waiting' AND d.company_id =",
    );
    select.bind(login.company_id.to_string()).add("AND (d.operator_id IS NULL OR (d.operator_id IS NOT NULL");
    login.narrow(&mut select);
    select.add("))");
    if login.reach == Reach::Own {
        select
            .add("AND (d.group_id IS NULL OR EXISTS (SELECT 1 FROM account_group_members m")
            .add("WHERE m.group_id = d.group_id AND m.operator_id =")
            .bind(login.operator_id.to_string())
            .add("))");
    }
    narrowing.organisation(&mut select, login);
    if let Some(one) = &narrowing.one {
        select.add("AND d.reception_id =").bind(one);
    }
    if let Some(search) = &narrowing.search {
        select
            .add("AND (LOWER(COALESCE(o.name, k.name, '') || ' ' || d.reason) LIKE")
            .bind(contains(&search.to_lowercase()))
            .add("ESCAPE '!' OR d.search LIKE")
            .bind(contains(&fold(search)))
            .add("ESCAPE '!')");
    }
    select.add("ORDER BY d.started_at_ms, d.reception_id LIMIT").bind(ROWS_MAX.saturating_add(1));
    select.fetch_all(tx).await
}

/// Running sessions that the role reaches, the oldest first; one more than [`ROWS_MAX`] says that there are more.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn sessions(tx: &mut Tx, login: &SiteLogin, narrowing: &Narrowing) -> DbResult<Vec<RunningSession>> {
    let mut select = Select::new(
        "SELECT s.session_id, s.operator_id, s.operator_name, s.reason, s.state, s.entered_at_ms, s.connected_at_ms,
            s.device, s.managed, s.relay_ids
        FROM sessions s",
    );
    of_operators(&mut select, login);
    select.add("AND s.ended_at_ms IS NULL");
    narrowing.organisation(&mut select, login);
    if let Some(one) = &narrowing.one {
        select.add("AND s.session_id =").bind(one);
    }
    match narrowing.state.as_deref() {
        Some("connected") => {
            select.add("AND s.connected_at_ms IS NOT NULL");
        }
        Some("beginning") => {
            select.add("AND s.connected_at_ms IS NULL");
        }
        Some(_) | None => {}
    }
    if let Some(search) = &narrowing.search {
        select.add("AND s.search LIKE").bind(contains(&fold(search))).add("ESCAPE '!'");
    }
    select.add("ORDER BY s.entered_at_ms, s.session_id LIMIT").bind(ROWS_MAX.saturating_add(1));
    select.fetch_all(tx).await
}

/// Joins the operator of `s` and narrows to what the role reaches.
fn of_operators(select: &mut Select, login: &SiteLogin) {
    select
        .add("JOIN operators o ON o.operator_id = s.operator_id")
        .add("LEFT JOIN organisations g ON g.organisation_id = o.organisation_id")
        .add("WHERE s.company_id =")
        .bind(login.company_id.to_string());
    login.narrow(select);
}

/// What customers allow in these sessions, a JSON array of ids: the newest answer to each question, when it is yes.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn permissions(tx: &mut Tx, sessions: &str) -> DbResult<BTreeMap<String, Vec<String>>> {
    let rows = fetch_all!(
        tx,
        (String, String),
        "SELECT c.session_id, c.kind
        FROM consents c
        WHERE c.session_id IN (SELECT value FROM json_each($1))
        AND c.answer = 'granted'
        AND NOT EXISTS (
            SELECT 1
            FROM consents n
            WHERE n.session_id = c.session_id
            AND n.kind = c.kind
            AND n.seq > c.seq
        )
        ORDER BY c.session_id, c.seq
        LIMIT 2000",
        sessions
    )?;
    let mut permissions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (session_id, kind) in rows {
        permissions.entry(session_id).or_default().push(kind);
    }
    Ok(permissions)
}

/// Names of the relays, by id.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn relay_names(tx: &mut Tx) -> DbResult<BTreeMap<String, String>> {
    let rows = fetch_all!(tx, (String, String), "SELECT relay_id, name FROM relays ORDER BY name LIMIT 1000")?;
    Ok(rows.into_iter().collect())
}

/// Organisations that the role reaches, as a tree: id, and name behind a space for each level.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn organisations(tx: &mut Tx, login: &SiteLogin) -> DbResult<Vec<(String, String)>> {
    let tree = organisations::reached(tx, login).await?;
    Ok(tree
        .into_iter()
        .map(|one| (one.id.clone(), format!("{}{}", "\u{3000}".repeat(one.depth()), one.name)))
        .collect())
}

/// The newest number of the audit record of these companies, a JSON array of ids.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn newest(tx: &mut Tx, companies: &str) -> DbResult<Vec<(String, i64)>> {
    fetch_all!(
        tx,
        (String, i64),
        "SELECT c.company_id,
            COALESCE((SELECT a.seq FROM audit a WHERE a.company_id = c.company_id ORDER BY a.seq DESC LIMIT 1), 0)
        FROM companies c
        WHERE c.company_id IN (SELECT value FROM json_each($1))
        LIMIT 10000",
        companies
    )
}
