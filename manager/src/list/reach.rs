//! How far back a page looks. A word may be anywhere in a row, so no index finds it: a page looks for it in the newest
//! rows only and says where those begin that it has not looked at. So a page costs the same in a log of any length.

use proto::id::CompanyId;

use super::COUNT_MAX;
use crate::db::{
    DbResult, Tx,
    select::{Select, Value},
};

/// Rows in which a page looks for a word: more than two weeks of a desk with a million sessions a year. `benches/lists` tells
/// how long that takes.
pub const LOOKED_MAX: i64 = 50_000;

/// The rows that a page looks at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reach {
    /// SQL of the number by which rows are told apart, as the list has it.
    pub key: &'static str,
    /// The first number that is looked at.
    pub from: Option<i64>,
    /// The first one that is not looked at any more.
    pub until: Option<i64>,
    /// There are older rows than these; see [`super::Page::past`].
    pub past: Option<i64>,
    /// Of these, those of a kind that is rare.
    pub among: Option<Rare>,
    /// One of the list's conditions as an index has it.
    pub indexed: Option<Indexed>,
    /// How many there are in all, when that is known without counting.
    pub total: Option<i64>,
}

/// A kind of row of which there are so few that an index finds every one of them faster than the order of the list does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rare {
    /// Begins with SELECT and the number by which rows are told apart, and ends before the first value.
    pub select: &'static str,
    /// Whose.
    pub company_id: CompanyId,
    /// SQL between this and the first name of the kind, and between the first name and the one behind the last.
    pub range: [&'static str; 2],
    /// The first name of the kind, and the one behind the last.
    pub names: [String; 2],
}

/// A condition that an index answers, though the order of the list is another's. The total goes by it always, because it
/// stops at [`COUNT_MAX`]; a page goes by it while it is rare, and otherwise meets its rows soon in the list's own order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Indexed {
    /// SQL before the value, without AND.
    pub sql: &'static str,
    /// The value.
    pub value: i64,
    /// Whether a page goes by it, too.
    pub rare: bool,
}

/// The newest rows of a company in a log.
#[derive(Debug, Clone, Copy)]
pub struct Newest {
    /// Begins with SELECT and ends with `company_id =`; one number.
    pub select: &'static str,
    /// SQL of the number in this statement.
    pub column: &'static str,
    /// SQL of the number in the list.
    pub key: &'static str,
}

impl Newest {
    /// The newest [`LOOKED_MAX`] rows before `until`.
    ///
    /// # Errors
    /// [`crate::db::DbError`].
    pub async fn reach(&self, tx: &mut Tx, company_id: CompanyId, until: Option<i64>) -> DbResult<Reach> {
        let mut select = Select::new(self.select);
        select.bind(company_id.to_string());
        if let Some(until) = until {
            select.add("AND").add(self.column).add("<").bind(until);
        }
        select.add("ORDER BY").add(self.column).add("DESC LIMIT 1 OFFSET").bind(LOOKED_MAX);
        let rows: Vec<(i64,)> = select.fetch_all(tx).await?;
        // The number of the newest row that is too old. Rows with the same number are left out together.
        let past = rows.first().map(|(number,)| number.saturating_add(1));
        Ok(Reach { key: self.key, from: past, until, past, ..Reach::default() })
    }
}

impl Indexed {
    /// Whether it is rare; `select` begins with SELECT and ends with `company_id =`; it calls its table as the list does.
    ///
    /// # Errors
    /// [`crate::db::DbError`].
    pub async fn look(
        tx: &mut Tx,
        select: &'static str,
        company_id: CompanyId,
        sql: &'static str,
        value: i64,
    ) -> DbResult<Self> {
        let mut counted = Select::new("SELECT COUNT(*) FROM (");
        counted.add(select).bind(company_id.to_string()).add("AND").add(sql).bind(value);
        counted.add("LIMIT").bind(COUNT_MAX.saturating_add(1)).add(") AS counted");
        let rows: Vec<(i64,)> = counted.fetch_all(tx).await?;
        Ok(Self { sql, value, rare: rows.first().is_none_or(|(count,)| *count <= COUNT_MAX) })
    }

    fn narrow(&self, select: &mut Select) {
        select.add("AND").add(self.sql).bind(self.value);
    }
}

impl Rare {
    /// How many there are, if it is rare.
    ///
    /// # Errors
    /// [`crate::db::DbError`].
    pub async fn rows(&self, tx: &mut Tx) -> DbResult<Option<i64>> {
        let mut select = Select::new("SELECT COUNT(*) FROM (");
        self.select(&mut select);
        select.add("LIMIT").bind(COUNT_MAX.saturating_add(1)).add(") AS counted");
        let rows: Vec<(i64,)> = select.fetch_all(tx).await?;
        Ok(rows.first().map(|(count,)| *count).filter(|count| *count <= COUNT_MAX))
    }

    fn select(&self, select: &mut Select) {
        let [first, behind] = &self.names;
        select.add(self.select).bind(self.company_id.to_string());
        select.add(self.range[0]).bind(first).add(self.range[1]).bind(behind);
    }
}

impl Reach {
    /// Adds the conditions of a page.
    pub(super) fn narrow_page(&self, select: &mut Select) {
        self.narrow(select);
        if let Some(indexed) = self.indexed.as_ref().filter(|indexed| indexed.rare) {
            indexed.narrow(select);
        }
    }

    /// Adds the conditions of the total.
    pub(super) fn narrow_total(&self, select: &mut Select) {
        self.narrow(select);
        if let Some(indexed) = &self.indexed {
            indexed.narrow(select);
        }
    }

    fn narrow(&self, select: &mut Select) {
        if let Some(from) = self.from {
            select.add("AND").add(self.key).add(">=").bind(Value::Number(from));
        }
        if let Some(until) = self.until {
            select.add("AND").add(self.key).add("<").bind(Value::Number(until));
        }
        if let Some(rare) = &self.among {
            select.add("AND").add(self.key).add("IN (");
            rare.select(select);
            select.add(")");
        }
    }
}
