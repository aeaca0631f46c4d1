//! A statement put together from literals, for lists whose filters and order vary.
//!
//! Nothing but literals and `$n` becomes text; every value is bound. It is prepared anew each time, so that the engine
//! plans for these values and not for any.

use sqlx::{AssertSqlSafe, FromRow, postgres::PgRow, sqlite::SqliteRow};

use super::{DbError, DbResult, Tx};

/// A statement that is growing.
#[derive(Debug, Clone, Default)]
pub struct Select {
    sql: String,
    values: Vec<Value>,
}

/// A value of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// TEXT.
    Text(String),
    /// BIGINT.
    Number(i64),
    /// BOOLEAN.
    Flag(bool),
}

impl Select {
    /// Begins with `sql`.
    pub fn new(sql: &'static str) -> Self {
        Self { sql: sql.to_owned(), values: Vec::new() }
    }

    /// Adds a piece behind a space.
    pub fn add(&mut self, sql: &'static str) -> &mut Self {
        self.sql.push(' ');
        self.sql.push_str(sql);
        self
    }

    /// Adds a value.
    pub fn bind(&mut self, value: impl Into<Value>) -> &mut Self {
        self.values.push(value.into());
        self.sql.push_str(" $");
        self.sql.push_str(&self.values.len().to_string());
        self
    }

    /// Adds `(value, value, …)`; an empty list matches nothing.
    pub fn bind_all<T: Into<Value>>(&mut self, values: impl IntoIterator<Item = T>) -> &mut Self {
        self.add("(");
        for (index, value) in values.into_iter().enumerate() {
            if 0 < index {
                self.add(",");
            }
            self.bind(value);
        }
        if self.sql.ends_with('(') {
            self.add("NULL");
        }
        self.add(")")
    }

    /// Every row. Put a `LIMIT` into the statement.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn fetch_all<R>(self, tx: &mut Tx) -> DbResult<Vec<R>>
    where
        R: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let sql = AssertSqlSafe(self.sql);
        match tx {
            Tx::Sqlite(tx) => {
                let mut query = sqlx::query_as::<sqlx::Sqlite, R>(sql).persistent(false);
                for value in self.values {
                    query = match value {
                        Value::Text(text) => query.bind(text),
                        Value::Number(number) => query.bind(number),
                        Value::Flag(flag) => query.bind(flag),
                    };
                }
                query.fetch_all(&mut **tx).await.map_err(DbError::from)
            }
            Tx::Postgres(tx) => {
                let mut query = sqlx::query_as::<sqlx::Postgres, R>(sql).persistent(false);
                for value in self.values {
                    query = match value {
                        Value::Text(text) => query.bind(text),
                        Value::Number(number) => query.bind(number),
                        Value::Flag(flag) => query.bind(flag),
                    };
                }
                query.fetch_all(&mut **tx).await.map_err(DbError::from)
            }
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

/// `%text%` for `LIKE … ESCAPE '!'`, with the text taken as it is.
pub fn contains(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len().saturating_add(2));
    pattern.push('%');
    for c in text.chars() {
        if matches!(c, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

/// `text%` for `LIKE … ESCAPE '!'`, with the text taken as it is.
pub fn begins_with(text: &str) -> String {
    contains(text).split_off(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_numbered_in_order_and_an_empty_list_matches_nothing() {
        let mut select = Select::new("SELECT a FROM b WHERE c =");
        select.bind(1).add("AND d IN").bind_all(["x", "y"]).add("AND e IN").bind_all(Vec::<String>::new());

        assert_eq!(select.sql, "SELECT a FROM b WHERE c = $1 AND d IN ( $2 , $3 ) AND e IN ( NULL )");
        assert_eq!(select.values, [Value::Number(1), "x".into(), "y".into()]);
    }

    #[test]
    fn a_search_takes_wildcards_as_they_are() {
        assert_eq!(contains("50%_!"), "%50!%!_!!%");
    }
}
