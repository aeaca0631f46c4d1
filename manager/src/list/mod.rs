//! Lists: filters, order, pages and exports, the same for every page and for the API.
//!
//! A list is a [`Listing`]: what is selected, from where under its filters, and by what it can be ordered. Pages go by
//! key ("what comes after this row"), so the last page of a million rows costs what the first one does, and a row that
//! appears meanwhile shifts nothing. The total is counted to [`COUNT_MAX`] and no further.

pub mod csv;
pub mod params;
mod reach;
pub mod saved;

use std::str::FromStr;

use sqlx::{FromRow, postgres::PgRow, sqlite::SqliteRow};

pub use self::{
    params::Params,
    reach::{Indexed, LOOKED_MAX, Newest, Rare, Reach},
};
use crate::db::{
    DbResult, Tx,
    select::{Select, Value},
};

/// Rows of a page that can be chosen; the first is the default.
pub const SIZES: [i64; 3] = [50, 100, 200];
/// Up to this many rows a list says exactly how many there are.
pub const COUNT_MAX: i64 = 10_000;
/// Longest key of a row in an address, in bytes; a column that is ordered by may be as long as a name and four times that.
const CURSOR_LEN_MAX: usize = 600;

/// One list.
pub trait Listing: Sync {
    /// A row as it is shown.
    type Row: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin;
    /// What it can be ordered by; the first is the default.
    const COLUMNS: &'static [Column];
    /// SQL that names the row, unique in the list.
    const ID: &'static str;
    /// The columns of [`Listing::Row`], without SELECT.
    const SELECT: &'static str;

    /// Adds FROM, the joins and WHERE with every filter; what follows begins with AND.
    fn narrow(&self, select: &mut Select);

    /// ORDER BY with which PostgreSQL counts, when a filter has an index of that order: otherwise it may expect the rows to
    /// stand everywhere in the table, and read all of it for ten thousand that stand together.
    fn counted(&self) -> &'static str {
        ""
    }

    /// The rows that a page looks at; every row unless a list says otherwise.
    ///
    /// # Errors
    /// [`crate::db::DbError`].
    fn reach(&self, _tx: &mut Tx, _asked: &Asked) -> impl Future<Output = DbResult<Reach>> + Send {
        std::future::ready(Ok(Reach::default()))
    }
}

/// What a list can be ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Its name in addresses.
    pub key: &'static str,
    /// Its SQL, which is never NULL.
    pub sql: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Whether the largest comes first unless it was asked otherwise.
    pub descending: bool,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// BIGINT.
    Number,
    /// TEXT.
    Text,
}

/// How a list is asked for, besides its filters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// What it is ordered by.
    pub column: Column,
    /// Whether the largest comes first.
    pub descending: bool,
    /// Rows of a page.
    pub size: i64,
    /// From where.
    pub from: From,
}

/// Where a page begins or ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum From {
    /// The first page.
    Start,
    /// Behind this row.
    After(Cursor),
    /// The page that ends before this row.
    Before(Cursor),
}

/// A row's place in an order: the value of the column, and the id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    key: String,
    id: String,
}

/// Rows of one page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Whether and where there are rows before.
    pub before: Option<Cursor>,
    /// Whether and where there are rows behind.
    pub after: Option<Cursor>,
    /// Rows of the whole list, at most [`COUNT_MAX`] + 1.
    pub total: i64,
    /// Only the newest rows were looked at: where those begin that were not, the value of `past` in addresses.
    pub past: Option<i64>,
}

impl<T> Page<T> {
    /// The rows, and the page without them.
    pub fn split(self) -> (Vec<T>, Page<()>) {
        (
            self.rows,
            Page { rows: Vec::new(), before: self.before, after: self.after, total: self.total, past: self.past },
        )
    }
}

#[derive(sqlx::FromRow)]
struct Keyed<T> {
    list_key: String,
    list_id: String,
    #[sqlx(flatten)]
    row: T,
}

impl Asked {
    /// Reads `sort` (`name`, or `-name` the other way round), `size`, `after` and `before`; what cannot be read is the default.
    pub fn read<L: Listing>(params: &Params) -> Self {
        let sort = params.text("sort").unwrap_or_default();
        let (key, turned) = sort.strip_prefix('-').map_or((sort, false), |key| (key, true));
        let column =
            L::COLUMNS.iter().find(|column| column.key == key).or(L::COLUMNS.first()).copied().unwrap_or(NO_COLUMN);
        let size = params.text("size").and_then(|size| size.parse().ok()).filter(|size| SIZES.contains(size));
        let cursor = |key| params.text(key).and_then(|text| text.parse().ok());
        let from = match (cursor("after"), cursor("before")) {
            (Some(cursor), _) => From::After(cursor),
            (None, Some(cursor)) => From::Before(cursor),
            (None, None) => From::Start,
        };
        Self { column, descending: column.descending != turned, size: size.unwrap_or(SIZES[0]), from }
    }

    /// `sort` that asks for a column, and the other way round when it is the one already.
    pub fn sort_to(&self, key: &str) -> String {
        let turn = self.column.key == key && self.descending == self.column.descending;
        if turn { format!("-{key}") } else { key.to_owned() }
    }
}

/// For a list that declares no column: the order of its rows means nothing then.
const NO_COLUMN: Column = Column { key: "", sql: "''", kind: Kind::Text, descending: false };

/// Reads one page.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn page<L: Listing>(tx: &mut Tx, listing: &L, asked: &Asked) -> DbResult<Page<L::Row>> {
    let backwards = matches!(asked.from, From::Before(_));
    // One more than shown says whether there is a next page.
    let limit = asked.size.saturating_add(1);
    let reach = listing.reach(tx, asked).await?;
    let mut keyed = rows(tx, listing, &reach, asked, limit).await?;
    let more = usize::try_from(asked.size).is_ok_and(|size| size < keyed.len());
    if more {
        keyed.pop();
    }
    if backwards {
        keyed.reverse();
    }
    let cursor =
        |keyed: Option<&Keyed<L::Row>>| keyed.map(|row| Cursor { key: row.list_key.clone(), id: row.list_id.clone() });
    let (before, after) = match &asked.from {
        From::Start => (false, more),
        From::After(_) => (true, more),
        From::Before(_) => (more, true),
    };
    let before = if before { cursor(keyed.first()) } else { None };
    let after = if after { cursor(keyed.last()) } else { None };
    let total = match reach.total {
        Some(total) => total,
        None => count(tx, listing, &reach).await?,
    };
    let rows = keyed.into_iter().map(|keyed| keyed.row).collect();
    Ok(Page { rows, before, after, total, past: reach.past })
}

/// Reads `limit` rows from a place on, and where to go on; for exports.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn stretch<L: Listing>(
    tx: &mut Tx,
    listing: &L,
    asked: &Asked,
    limit: i64,
) -> DbResult<(Vec<L::Row>, Option<Cursor>)> {
    let keyed = rows(tx, listing, &Reach::default(), asked, limit).await?;
    let full = usize::try_from(limit).is_ok_and(|limit| limit <= keyed.len());
    let next = keyed.last().filter(|_| full).map(|row| Cursor { key: row.list_key.clone(), id: row.list_id.clone() });
    Ok((keyed.into_iter().map(|keyed| keyed.row).collect(), next))
}

/// Whether a list has any row.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn exists<L: Listing>(tx: &mut Tx, listing: &L) -> DbResult<bool> {
    let mut select = Select::new("SELECT COUNT(*) FROM (SELECT 1");
    listing.narrow(&mut select);
    select.add("LIMIT 1) AS found");
    let rows: Vec<(i64,)> = select.fetch_all(tx).await?;
    Ok(rows.first().is_some_and(|(count,)| 0 < *count))
}

async fn rows<L: Listing>(
    tx: &mut Tx,
    listing: &L,
    reach: &Reach,
    asked: &Asked,
    limit: i64,
) -> DbResult<Vec<Keyed<L::Row>>> {
    let column = asked.column;
    let mut select = Select::new("SELECT CAST(");
    select.add(column.sql).add("AS TEXT) AS list_key,").add(L::ID).add("AS list_id,").add(L::SELECT);
    listing.narrow(&mut select);
    reach.narrow_page(&mut select);
    let forwards = !matches!(asked.from, From::Before(_));
    let descending = asked.descending == forwards;
    if let From::After(cursor) | From::Before(cursor) = &asked.from {
        let key = match column.kind {
            Kind::Number => Value::Number(cursor.key.parse().unwrap_or_default()),
            Kind::Text => Value::Text(cursor.key.clone()),
        };
        select.add("AND (").add(column.sql).add(",").add(L::ID).add(if descending { ") < (" } else { ") > (" });
        select.bind(key).add(",").bind(&cursor.id).add(")");
    }
    let order = if descending { "DESC" } else { "ASC" };
    select.add("ORDER BY").add(column.sql).add(order).add(",").add(L::ID).add(order).add("LIMIT").bind(limit);
    select.fetch_all(tx).await
}

async fn count<L: Listing>(tx: &mut Tx, listing: &L, reach: &Reach) -> DbResult<i64> {
    let mut select = Select::new("SELECT COUNT(*) FROM (SELECT 1");
    listing.narrow(&mut select);
    reach.narrow_total(&mut select);
    if matches!(tx, Tx::Postgres(_)) && reach.indexed.is_none() {
        select.add(listing.counted());
    }
    select.add("LIMIT").bind(COUNT_MAX.saturating_add(1)).add(") AS counted");
    let rows: Vec<(i64,)> = select.fetch_all(tx).await?;
    Ok(rows.first().map_or(0, |(count,)| *count))
}

/// `id~key`, as it stands in addresses.
impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}~{}", self.id, self.key)
    }
}

impl FromStr for Cursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (id, key) =
            text.split_once('~').filter(|_| text.len() <= CURSOR_LEN_MAX && !text.contains('\0')).ok_or(())?;
        Ok(Self { key: key.to_owned(), id: id.to_owned() })
    }
}
