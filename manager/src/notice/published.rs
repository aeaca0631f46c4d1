//! Notices of the service and of partners, as those who write them see them: a list, and what a partner changes.

use proto::{api::UnixMillis, id::CompanyId};

use super::{
    Class,
    edit::Written,
    maintenance::of_system,
    store::{self, NewNotice, Writer},
};
use crate::{
    admin::AdminLogin,
    audit::{
        self,
        change::{self, Field},
    },
    company::CompanyCode,
    db::{
        DbError, DbResult, Tx,
        select::{Select, contains},
    },
    execute, fetch_all, fetch_optional,
    list::{Asked, Column, Kind, Listing, Params},
    login::realm::SYSTEM,
    site::time,
};

/// Companies that one notice can be limited to.
pub const ONLY_MAX: usize = 100;

/// What can be asked of them.
#[derive(Debug, Clone)]
pub struct Published {
    /// Whose only; `Some("")` has none.
    partner_only: Option<String>,
    one: Option<String>,
    search: Option<String>,
    class: Option<Class>,
    /// In force now.
    running: bool,
    now: UnixMillis,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Row {
    /// Its id in addresses.
    pub notice_id: String,
    /// The partner that wrote it; `None` for the service.
    pub partner_id: Option<String>,
    /// The partner's name.
    pub partner: Option<String>,
    /// What it is about.
    pub kind: String,
    /// Whether it is important.
    pub important: bool,
    /// One line.
    pub title: String,
    /// Plain text.
    pub body: String,
    /// From when it is in force.
    pub begins_at_ms: i64,
    /// Until when.
    pub ends_at_ms: i64,
    /// Whether it is for every company of whoever wrote it.
    pub to_all: bool,
    /// The account that wrote it, by name.
    pub author: String,
    /// When it was written.
    pub created_at_ms: i64,
    /// Counts changes.
    pub version: i64,
    /// Accounts that read it.
    pub readers: i64,
}

/// A company that a notice is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addressee {
    /// Its id.
    pub company_id: CompanyId,
    /// Its code.
    pub code: String,
}

impl Published {
    /// Reads the filters.
    pub fn read(params: &Params, login: &AdminLogin, now: UnixMillis) -> Self {
        Self {
            partner_only: login.partner_only(),
            one: None,
            search: params.text("q").map(str::to_lowercase),
            class: params.text("kind").and_then(Class::parse),
            running: params.has("running", "yes"),
            now,
        }
    }
}

impl Listing for Published {
    type Row = Row;
    const COLUMNS: &'static [Column] = &[
        Column { key: "created", sql: "n.created_at_ms", kind: Kind::Number, descending: true },
        Column { key: "begins", sql: "n.begins_at_ms", kind: Kind::Number, descending: true },
        Column { key: "ends", sql: "n.ends_at_ms", kind: Kind::Number, descending: true },
    ];
    const ID: &'static str = "n.notice_id";
    const SELECT: &'static str = "n.notice_id, n.partner_id, p.name AS partner, n.kind, n.important, n.title, n.body, \
        n.begins_at_ms, n.ends_at_ms, (n.for_all = TRUE OR n.for_partner = TRUE) AS to_all, n.author, \
        n.created_at_ms, n.version, \
        (SELECT COUNT(*) FROM notice_reads r WHERE r.notice_id = n.notice_id) AS readers";

    fn narrow(&self, select: &mut Select) {
        select
            .add("FROM notices n LEFT JOIN partners p ON p.partner_id = n.partner_id")
            .add("WHERE n.company_id IS NULL");
        if let Some(partner_id) = &self.partner_only {
            select.add("AND n.partner_id =").bind(partner_id);
        }
        if let Some(notice_id) = &self.one {
            select.add("AND n.notice_id =").bind(notice_id);
        }
        if let Some(class) = self.class {
            select.add("AND n.kind =").bind(class.as_str());
        }
        if self.running {
            select.add("AND n.begins_at_ms <=").bind(self.now).add("AND n.ends_at_ms >").bind(self.now);
        }
        if let Some(search) = &self.search {
            select
                .add("AND LOWER(n.title || ' ' || n.body || ' ' || COALESCE(p.name, '')) LIKE")
                .bind(contains(search))
                .add("ESCAPE '!'");
        }
    }
}

/// One notice that the login sees; any other is as good as none.
///
/// # Errors
/// [`DbError`].
pub async fn find(tx: &mut Tx, login: &AdminLogin, notice_id: &str, now: UnixMillis) -> DbResult<Option<Row>> {
    let params = Params::default();
    let one = Published { one: Some(notice_id.to_owned()), ..Published::read(&params, login, now) };
    let (rows, _) = crate::list::stretch(tx, &one, &Asked::read::<Published>(&params), 1).await?;
    Ok(rows.into_iter().next())
}

/// The codes of the companies that a notice is limited to, as far as they are still those of whoever wrote it.
///
/// # Errors
/// [`DbError`].
pub async fn codes(tx: &mut Tx, row: &Row) -> DbResult<Vec<String>> {
    let rows = fetch_all!(
        tx,
        (String,),
        "SELECT c.code
        FROM notice_companies x
        JOIN companies c ON c.company_id = x.company_id
        WHERE x.notice_id = $1
        AND ($2 = '' OR c.partner_id = $2)
        ORDER BY c.code
        LIMIT 200",
        &row.notice_id,
        row.partner_id.as_deref().unwrap_or_default()
    )?;
    Ok(rows.into_iter().map(|(code,)| code).collect())
}

/// The company of a code that a writer can tell something; for a partner, only its own are there.
///
/// # Errors
/// [`DbError`].
pub async fn addressee(tx: &mut Tx, writer: Writer<'_>, code: &CompanyCode) -> DbResult<Option<Addressee>> {
    let found = fetch_optional!(
        tx,
        (String,),
        "SELECT company_id
        FROM companies
        WHERE code = $1
        AND realm = 'company'
        AND state <> 'erased'
        AND ($2 = '' OR partner_id = $2)",
        code.as_str(),
        writer.partner().unwrap_or_default()
    )?;
    let Some((id,)) = found else { return Ok(None) };
    let wrong = || DbError::InconsistentRow { table: "companies", column: "company_id", id: id.clone() };
    let company_id = id.parse().map_err(|_not_an_id| wrong())?;
    Ok(Some(Addressee { company_id, code: code.as_str().to_owned() }))
}

/// Stores a notice to some companies, or to all; its id.
///
/// # Errors
/// [`DbError`].
pub async fn create(
    tx: &mut Tx,
    login: &AdminLogin,
    writer: Writer<'_>,
    written: &Written,
    only: &[Addressee],
    now: UnixMillis,
) -> DbResult<String> {
    let ids: Vec<CompanyId> = only.iter().map(|addressee| addressee.company_id).collect();
    let new = NewNotice {
        writer,
        only: &ids,
        class: written.class,
        important: written.important,
        title: &written.title,
        body: &written.body,
        begins_at_ms: written.begins_at_ms,
        ends_at_ms: written.ends_at_ms,
        stays_from_ms: None,
        author: &login.name,
    };
    let notice_id = store::create(tx, &new, now).await?;
    let fields = Shown::of(written, only).since(&Shown::default());
    log(tx, login, "notice.created", &notice_id, fields, now).await?;
    Ok(notice_id)
}

/// What would be different; `codes` are those of [`codes`].
pub fn differences(row: &Row, codes: &[String], written: &Written, only: &[Addressee]) -> Vec<Field> {
    Shown::of(written, only).since(&Shown::of_row(row, codes))
}

/// Changes a notice of a partner that is not over, over the version that was seen; whether it was still that. Whoever
/// read it is shown it again.
///
/// # Errors
/// [`DbError`].
pub async fn update(
    tx: &mut Tx,
    login: &AdminLogin,
    row: &Row,
    (written, only): (&Written, &[Addressee]),
    fields: Vec<Field>,
    now: UnixMillis,
) -> DbResult<bool> {
    let updated = execute!(
        tx,
        "UPDATE notices
        SET for_partner = $4, kind = $5, important = $6, title = $7, body = $8, begins_at_ms = $9, ends_at_ms = $10,
            stays_from_ms = $11, version = version + 1
        WHERE notice_id = $1
        AND partner_id = $2
        AND version = $3
        AND ends_at_ms > $12",
        &row.notice_id,
        row.partner_id.as_deref(),
        row.version,
        only.is_empty(),
        written.class.as_str(),
        written.important,
        &written.title,
        &written.body,
        written.begins_at_ms,
        written.ends_at_ms,
        if written.important { written.begins_at_ms } else { written.ends_at_ms },
        now
    )?;
    if updated == 0 {
        return Ok(false);
    }
    execute!(tx, "DELETE FROM notice_companies WHERE notice_id = $1", &row.notice_id)?;
    let ids: Vec<CompanyId> = only.iter().map(|addressee| addressee.company_id).collect();
    store::limit(tx, &row.notice_id, &ids).await?;
    execute!(tx, "DELETE FROM notice_reads WHERE notice_id = $1", &row.notice_id)?;
    log(tx, login, "notice.changed", &row.notice_id, fields, now).await?;
    Ok(true)
}

/// Ends a notice now; whether there was one in force.
///
/// # Errors
/// [`DbError`].
pub async fn end(
    tx: &mut Tx,
    login: &AdminLogin,
    writer: Writer<'_>,
    notice_id: &str,
    now: UnixMillis,
) -> DbResult<bool> {
    if !store::end(tx, writer, notice_id, now).await? {
        return Ok(false);
    }
    log(tx, login, "notice.ended", notice_id, Vec::new(), now).await?;
    Ok(true)
}

/// The row of the log of the whole system; the values stand beside the chain.
async fn log(
    tx: &mut Tx,
    login: &AdminLogin,
    event: &'static str,
    notice_id: &str,
    fields: Vec<Field>,
    now: UnixMillis,
) -> DbResult<()> {
    let subject = format!("notice:{notice_id}");
    let detail = change::store(tx, SYSTEM, &subject, &login.name, fields, now).await?;
    audit::append(tx, of_system(login, event, detail, now)).await?;
    Ok(())
}

/// The values of a notice as the log tells them. Of its companies the log tells how many, so that it names none that is
/// erased.
#[derive(Debug, Default)]
struct Shown {
    values: [String; 7],
    codes: Vec<String>,
}

/// Their names, in the same order.
const NAMES: [&str; 7] = ["title", "body", "kind", "important", "starts", "ends", "audience"];

/// The value of a switch.
const fn yes_no(on: bool) -> &'static str {
    if on { "yes" } else { "no" }
}

/// Whom a notice is for.
const fn audience(to_all: bool) -> &'static str {
    if to_all { "all" } else { "some" }
}

impl Shown {
    fn of(written: &Written, only: &[Addressee]) -> Self {
        let period = (written.begins_at_ms, written.ends_at_ms);
        let mut codes: Vec<String> = only.iter().map(|addressee| addressee.code.clone()).collect();
        codes.sort_unstable();
        codes.dedup();
        let (kind, important, audience) =
            (written.class.as_str(), yes_no(written.important), audience(only.is_empty()));
        Self::new([&written.title, &written.body, kind, important, audience], period, codes)
    }

    fn of_row(row: &Row, codes: &[String]) -> Self {
        let period = (row.begins_at_ms, row.ends_at_ms);
        let (important, audience) = (yes_no(row.important), audience(row.to_all));
        Self::new([&row.title, &row.body, &row.kind, important, audience], period, codes.to_vec())
    }

    fn new(
        [title, body, kind, important, audience]: [&str; 5],
        (begins_at_ms, ends_at_ms): (UnixMillis, UnixMillis),
        codes: Vec<String>,
    ) -> Self {
        let zone = time::zone(time::TOKYO);
        let values = [
            title.to_owned(),
            body.to_owned(),
            kind.to_owned(),
            important.to_owned(),
            time::to_the_minute(begins_at_ms, &zone),
            time::to_the_minute(ends_at_ms, &zone),
            audience.to_owned(),
        ];
        Self { values, codes }
    }

    /// What is different from before.
    fn since(&self, before: &Self) -> Vec<Field> {
        let values = before.values.iter().zip(&self.values);
        let values = NAMES.into_iter().zip(values).map(|(name, (old, new))| (name, old.as_str(), new.as_str()));
        let mut fields = change::differences(values);
        if self.codes != before.codes {
            let [old, new] = [&before.codes, &self.codes].map(|codes| codes.len().to_string());
            fields.push(Field { name: "companies".to_owned(), old, new });
        }
        fields
    }
}
