//! What a migration may say: what harms earlier managers says so, and nothing takes long while everybody waits.

use std::collections::BTreeSet;

use manager::db::migrate::{self, GENERATION};

/// The newest migration of before the bounds for migrations, and how many there are up to it. Never changed.
const UNBOUND: (i64, usize) = (831, 38);
/// Tables of one row, however large a service is.
const SMALL: [&str; 1] = ["SERVICE"];

#[test]
fn a_migration_that_an_earlier_version_could_not_run_with_shuts_it_out() {
    for migrator in [&migrate::SQLITE, &migrate::POSTGRES] {
        let (last, count) = UNBOUND;
        let (unbound, bound): (Vec<_>, Vec<_>) = migrator.iter().partition(|migration| migration.version <= last);
        assert_eq!(unbound.len(), count, "the number of a new migration is above {last}");
        for migration in bound {
            let (version, sql) = (migration.version, migration.sql.as_str());
            let harms = harms(sql);
            let oldest = oldest_manager(sql);
            assert!(harms.is_empty() || oldest.is_some(), "migration {version} must raise oldest_manager: {harms:?}");
            assert!(oldest.unwrap_or_default() <= GENERATION, "migration {version} shuts out its own version");
            let holds = holds(sql);
            assert!(holds.is_empty(), "migration {version} makes others wait, see ops/README.md: {holds:?}");
            assert!(!migration.no_tx, "migration {version} can be left half done, see ops/README.md");
        }
    }
}

#[test]
fn what_an_earlier_version_could_not_run_with_is_known() {
    for harmful in [
        "DROP TABLE a",
        "ALTER TABLE a\n    DROP COLUMN b",
        "alter table a rename to b",
        "ALTER TABLE a ALTER COLUMN b SET NOT NULL",
        "ALTER TABLE a ALTER COLUMN b DROP NOT NULL",
        "ALTER TABLE a ALTER COLUMN b TYPE BIGINT",
        "ALTER TABLE a ADD COLUMN b TEXT NOT NULL",
        "ALTER TABLE a ADD COLUMN b TEXT NOT NULL DEFAULT '', ADD COLUMN c TEXT NOT NULL",
        "ALTER TABLE a ADD COLUMN b TEXT NOT NULL DEFAULT NULL",
        "ALTER TABLE a ADD COLUMN b TEXT UNIQUE",
        "ALTER TABLE a ADD COLUMN b BIGINT CHECK (b < 3)",
        "ALTER TABLE a ADD COLUMN b TEXT REFERENCES c (b)",
        "ALTER TABLE a ADD COLUMN b BIGINT DEFAULT random()",
        "ALTER TABLE a ADD CONSTRAINT b CHECK (c < 3)",
        "CREATE UNIQUE INDEX i ON a (b)",
        "CREATE INDEX i ON a(b)",
        "CREATE INDEX CONCURRENTLY i ON a (b)",
        "CREATE TABLE b AS SELECT c FROM a",
        "CREATE TABLE IF NOT EXISTS b (c TEXT)",
        "CREATE TRIGGER t AFTER INSERT ON a EXECUTE FUNCTION f()",
        "UPDATE a SET b = 1",
        "UPDATE service SET version = 1, oldest_manager = 1",
        "DELETE FROM a",
        "TRUNCATE a",
        "LOCK TABLE a",
        "INSERT INTO a (b) SELECT c FROM d",
        "INSERT INTO a (b) VALUES (1) ON CONFLICT (b) DO UPDATE SET b = 2",
        "WITH b AS (DELETE FROM a RETURNING c) INSERT INTO x (id) SELECT c FROM b",
        "INSERT INTO x (id) SELECT c FROM a",
        "UPDATE x SET id = (SELECT c FROM a)",
        "CREATE TABLE b (c) AS (SELECT c FROM a)",
        "/* it is only spoken of */ CREATE TABLE a (b TEXT)",
    ] {
        assert_eq!(harms(harmful).len(), 1, "{harmful}");
        assert_eq!(harms(&format!("CREATE TABLE x (id TEXT NOT NULL);\n{harmful};\n")).len(), 1, "{harmful}");
    }
    let harmless = "-- DROP TABLE a; it is only spoken of\n
        CREATE TABLE a (id TEXT NOT NULL PRIMARY KEY, b BIGINT NOT NULL CHECK (b < 3));
        CREATE UNIQUE INDEX i ON a (b);
        CREATE INDEX j ON a(b);
        ALTER TABLE sessions ADD COLUMN c TEXT;
        ALTER TABLE sessions ADD COLUMN d TEXT NOT NULL DEFAULT '; DROP TABLE a -- it''s only spoken of';
        ALTER TABLE sessions ADD COLUMN e BIGINT DEFAULT -1;
        ALTER TABLE sessions ADD COLUMN f BOOLEAN NOT NULL DEFAULT FALSE;
        INSERT INTO a (id, b) VALUES ('x', 1);
        INSERT INTO a (id, b) SELECT 'y', version FROM service WHERE halted_at_ms IS NOT NULL;
        UPDATE a SET b = 2;
        DELETE FROM a;
        INSERT INTO settings (name) VALUES ('x');";
    assert_eq!(harms(harmless), Vec::<String>::new());
    assert_eq!(oldest_manager(harmless), None);
    assert_eq!(oldest_manager("DROP TABLE a;\nUPDATE service\nSET oldest_manager = 7;\n"), Some(7));
    assert_eq!(harms("INSERT INTO a (b) VALUES ('--'); DROP TABLE a;"), ["DROP TABLE A"]);
}

#[test]
fn what_takes_long_on_a_large_table_is_known() {
    for long in [
        "CREATE INDEX i ON sessions (region)",
        "CREATE UNIQUE INDEX i ON sessions (region)",
        "CREATE INDEX CONCURRENTLY i ON sessions (region)",
        "UPDATE sessions SET region = ''",
        "DELETE FROM sessions",
        "INSERT INTO sessions (session_id) SELECT session_id FROM receptions",
        "WITH b AS (DELETE FROM sessions RETURNING c) INSERT INTO x (id) SELECT c FROM b",
        "/* it is only spoken of */ UPDATE sessions SET region = ''",
        "CREATE TABLE b AS SELECT region FROM sessions",
        "ALTER TABLE sessions ALTER COLUMN region TYPE BIGINT",
        "ALTER TABLE sessions ALTER COLUMN region SET DATA TYPE BIGINT",
        "alter table sessions\n    alter region type bigint",
        "ALTER TABLE ONLY sessions ALTER COLUMN region TYPE BIGINT",
        "ALTER TABLE sessions DROP COLUMN state, ALTER COLUMN region TYPE BIGINT",
        "ALTER TABLE sessions ALTER COLUMN region SET NOT NULL",
        "ALTER TABLE sessions ADD CONSTRAINT c CHECK (region <> '')",
        "ALTER TABLE sessions ADD CONSTRAINT c FOREIGN KEY (region) REFERENCES regions (region)",
        "ALTER TABLE sessions ADD FOREIGN KEY (region) REFERENCES regions (region)",
        "ALTER TABLE sessions ADD CHECK (region IN ('a', 'b'))",
        "ALTER TABLE sessions ADD CONSTRAINT c UNIQUE (region)",
        "ALTER TABLE sessions ADD PRIMARY KEY (region)",
        "ALTER TABLE sessions VALIDATE CONSTRAINT c",
        "ALTER TABLE sessions ADD COLUMN b TEXT UNIQUE",
        "ALTER TABLE sessions ADD COLUMN b BIGINT CHECK (b < 3)",
        "ALTER TABLE sessions ADD COLUMN b BIGINT DEFAULT random()",
        "ALTER TABLE sessions ADD COLUMN b BIGINT GENERATED ALWAYS AS (started_at_ms / 2) STORED",
        "ALTER TABLE sessions ADD COLUMN b TEXT, ADD COLUMN c BIGSERIAL",
        "ALTER TABLE sessions SET UNLOGGED",
        "ALTER TYPE kind ADD ATTRIBUTE b TEXT CASCADE",
        "ALTER DOMAIN kind ADD CHECK (VALUE <> '')",
        "CREATE TABLE b (c) AS (SELECT region FROM sessions)",
        "CREATE TABLE b (c) AS (TABLE sessions)",
        "INSERT INTO x (id) SELECT region FROM sessions",
        "INSERT INTO x (id) SELECT region FROM service, sessions",
        "INSERT INTO x (id) SELECT region FROM service JOIN sessions ON TRUE",
        "INSERT INTO x (id) SELECT slot FROM service WHERE slot IN (SELECT version FROM sessions)",
        "INSERT INTO x (id) SELECT slot FROM service UNION TABLE sessions",
        "INSERT INTO x (id) TABLE sessions",
        "INSERT INTO x (id) VALUES ((SELECT MAX(region) FROM sessions))",
        "UPDATE x SET id = (SELECT MAX(region) FROM sessions)",
        "UPDATE x SET id = s.region FROM sessions s",
        "DELETE FROM x WHERE id IN (SELECT region FROM sessions)",
        "DELETE FROM x USING sessions s WHERE id = s.region",
        "ALTER TABLE x ATTACH PARTITION sessions DEFAULT",
        "LOCK TABLE sessions",
        "CLUSTER sessions",
        "REINDEX TABLE sessions",
        "VACUUM FULL sessions",
    ] {
        assert_eq!(holds(long).len(), 1, "{long}");
        assert_eq!(holds(&format!("{long};\nUPDATE service SET oldest_manager = 7;\n")).len(), 1, "{long}");
        assert_eq!(holds(&format!("CREATE TABLE x (id TEXT NOT NULL);\n{long};\n")).len(), 1, "{long}");
    }
    for away in ["ALTER TABLE x RENAME TO y", "DROP TABLE x"] {
        for long in ["UPDATE x SET region = ''", "DELETE FROM x", "CREATE INDEX i ON x (region)"] {
            let sql = format!("CREATE TABLE x (id TEXT);\n{away};\nALTER TABLE sessions RENAME TO x;\n{long};\n");
            assert_eq!(holds(&sql).len(), 1, "{sql}");
        }
    }
}

#[test]
fn what_is_done_at_once_on_a_large_table_passes() {
    let short = "CREATE TABLE a (id TEXT NOT NULL); CREATE INDEX i ON a (id); UPDATE a SET id = ''; DELETE FROM a;
        ALTER TABLE a ADD CONSTRAINT c CHECK (id <> '');
        INSERT INTO a (id) VALUES ('x'); INSERT INTO a (id) SELECT halted_at_ms FROM service;
        UPDATE service SET oldest_manager = 7; DROP TABLE sessions; DROP INDEX i;
        ALTER TABLE sessions DROP COLUMN region, DROP CONSTRAINT c;
        ALTER TABLE sessions RENAME COLUMN region TO place;
        ALTER TABLE sessions ADD COLUMN b TEXT NOT NULL DEFAULT '', ADD COLUMN c BIGINT;
        ALTER TABLE sessions ALTER COLUMN b DROP NOT NULL, ALTER COLUMN b SET DEFAULT 'x', ALTER COLUMN b DROP DEFAULT;
        ALTER TABLE sessions ADD CONSTRAINT d CHECK (b IN ('x', 'y')) NOT VALID;
        ALTER TABLE sessions ADD CONSTRAINT e CHECK (c IS NOT NULL) NOT VALID;
        ALTER TABLE sessions ADD FOREIGN KEY (b) REFERENCES a (id) NOT VALID;
        INSERT INTO settings (name) VALUES ('x') ON CONFLICT (name) DO UPDATE SET name = 'y';";
    assert_eq!(holds(short), Vec::<String>::new());
}

/// The statements of a migration, each in one line of capitals, without comments; what is in quotes is left out.
fn statements(sql: &str) -> Vec<String> {
    let (mut code, mut rest) = (String::new(), sql);
    while let Some(at) = rest.find(['\'', '-']) {
        let (before, after) = rest.split_at(at);
        code.push_str(before);
        rest = if let Some(comment) = after.strip_prefix("--") {
            code.push(' ');
            comment.split_once('\n').map_or("", |(_, next)| next)
        } else if let Some(text) = after.strip_prefix('\'') {
            code.push_str("''");
            text.split_once('\'').map_or("", |(_, behind)| behind)
        } else {
            code.push('-');
            after.strip_prefix('-').unwrap_or_default()
        };
    }
    code.push_str(rest);
    let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ").to_uppercase();
    code.split(';').map(one_line).filter(|statement| !statement.is_empty()).collect()
}

/// Statements that a manager of the version before may not be able to run with: all but those known to be harmless.
fn harms(sql: &str) -> Vec<String> {
    let statements = statements(sql);
    let made = made(&statements);
    statements.iter().filter(|statement| !is_harmless(statement, &made)).cloned().collect()
}

/// Statements that may take long on a large table, while everybody else waits: all but those known to be short. Nothing
/// excuses them, whomever the schema serves.
fn holds(sql: &str) -> Vec<String> {
    let statements = statements(sql);
    let made = made(&statements);
    let is_long = |statement: &&String| !is_harmless(statement, &made) && !is_short(statement, &made);
    statements.iter().filter(is_long).cloned().collect()
}

/// The tables that a migration makes itself: nobody else knows them yet, and they have few rows, because nothing fills
/// them from a large one. A name that it takes away again may be that of another table later.
fn made(statements: &[String]) -> BTreeSet<&str> {
    let is_taken_away = |name: &&str| {
        let takes = |it: &String| it.starts_with("DROP ") || (it.starts_with("ALTER ") && names(it, "RENAME"));
        statements.iter().any(|statement| takes(statement) && names(statement, name))
    };
    let made = statements.iter().filter_map(|statement| made_table(statement));
    made.filter(|name| !is_taken_away(name)).collect()
}

fn made_table(statement: &str) -> Option<&str> {
    let (name, columns) = statement.strip_prefix("CREATE TABLE ")?.split_once('(')?;
    let name = name.trim_end();
    let is_filled = ["SELECT", "TABLE"].into_iter().any(|word| names(columns, word));
    (!name.contains(' ') && columns.ends_with(')') && !is_filled).then_some(name)
}

/// Whether a word or name stands in a statement, whatever stands beside it.
fn names(statement: &str, word: &str) -> bool {
    statement.split(|char: char| !char.is_ascii_alphanumeric() && char != '_').any(|name| name == word)
}

/// Whether what is inserted is written down in the statement.
fn is_of_values(statement: &str) -> bool {
    names(statement, "VALUES") && !["SELECT", "TABLE"].into_iter().any(|word| names(statement, word))
}

/// Whether what is inserted is read from a small table alone.
fn is_of_small(statement: &str) -> bool {
    let source = statement.split_once(" SELECT ").and_then(|(_, select)| select.split_once(" FROM "));
    let Some((columns, source)) = source else { return false };
    let words: Vec<&str> = source.split(' ').collect();
    let small = matches!(words.as_slice(), [table] | [table, "WHERE", ..] if SMALL.contains(table));
    let reads_more = |word| names(columns, word) || names(source, word);
    small && !["SELECT", "FROM", "TABLE", "UNION"].into_iter().any(reads_more)
}

fn is_harmless(statement: &str, made: &BTreeSet<&str>) -> bool {
    let words: Vec<&str> = statement.split(' ').collect();
    let has = |word: &str| names(statement, word);
    let is_made = |table: &str| made.contains(table.split('(').next().unwrap_or_default());
    match words.as_slice() {
        ["CREATE", "TABLE", ..] => made_table(statement).is_some(),
        ["ALTER", "TABLE", _, "ADD", "COLUMN", _, kind, rest @ ..] => is_free_column(kind, rest),
        ["INSERT", "INTO", table, ..] => {
            let adds = !["UPDATE", "DELETE", "WITH"].into_iter().any(has);
            adds && (is_of_values(statement) || (is_made(table) && is_of_small(statement)))
        }
        ["UPDATE", "SERVICE", "SET", "OLDEST_MANAGER", "=", oldest] => oldest.parse::<i64>().is_ok(),
        ["CREATE", "INDEX", _, "ON", table, ..] | ["CREATE", "UNIQUE", "INDEX", _, "ON", table, ..] => is_made(table),
        ["UPDATE", table, "SET", ..] => is_made(table) && !["SELECT", "FROM", "TABLE"].into_iter().any(has),
        ["DELETE", "FROM", table, ..] => is_made(table) && !["SELECT", "USING", "TABLE"].into_iter().any(has),
        _ => false,
    }
}

/// Whether a statement is done at once however many rows there are, even if earlier managers cannot run with it.
fn is_short(statement: &str, made: &BTreeSet<&str>) -> bool {
    let words: Vec<&str> = statement.split(' ').collect();
    match words.as_slice() {
        ["DROP", "TABLE" | "INDEX", ..] | ["ALTER", "TABLE", _, "RENAME", ..] => true,
        ["ALTER", "TABLE", table, changes @ ..] => {
            let alone = made.contains(*table) && !names(statement, "ATTACH");
            alone || parts(&changes.join(" ")).into_iter().all(is_short_change)
        }
        ["INSERT", "INTO", ..] => is_of_values(statement),
        _ => false,
    }
}

/// Whether one change of a table that is there neither reads nor writes its rows. A constraint that is not validated
/// holds for new rows only. Source: PostgreSQL, ALTER TABLE, notes.
fn is_short_change(change: &str) -> bool {
    let words: Vec<&str> = change.split(' ').collect();
    match words.as_slice() {
        ["ADD", "COLUMN", _, kind, rest @ ..] => is_free_column(kind, rest),
        ["DROP", "COLUMN" | "CONSTRAINT", ..]
        | ["ALTER", "COLUMN", _, "DROP", "NOT", "NULL"]
        | ["ALTER", "COLUMN", _, "DROP", "DEFAULT"]
        | ["ALTER", "COLUMN", _, "SET", "DEFAULT", ..]
        | ["ADD", "CONSTRAINT" | "CHECK" | "FOREIGN", .., "NOT", "VALID"] => true,
        _ => false,
    }
}

/// What stands between commas, but for those in parentheses.
fn parts(text: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    let ends_a_part = |char: char| {
        match char {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        char == ',' && depth == 0
    };
    text.split(ends_a_part).map(str::trim).collect()
}

/// Whether an added column needs nothing of whoever does not know it, and no row is written for it: its type and what
/// follows that. Source: PostgreSQL, ALTER TABLE, notes (a constant default rewrites no table).
fn is_free_column(kind: &str, rest: &[&str]) -> bool {
    if !["TEXT", "BIGINT", "BOOLEAN", "BYTEA"].contains(&kind) {
        return false;
    }
    match rest {
        [] => true,
        ["DEFAULT", value] | ["NOT", "NULL", "DEFAULT", value] | ["DEFAULT", value, "NOT", "NULL"] => {
            let is_text = !value.is_empty() && value.chars().all(|char| char == '\'');
            is_text || value.parse::<i64>().is_ok() || ["TRUE", "FALSE"].contains(value)
        }
        _ => false,
    }
}

/// The oldest managers that a migration still serves, when it says so.
fn oldest_manager(sql: &str) -> Option<i64> {
    let told = |statement: &String| statement.strip_prefix("UPDATE SERVICE SET OLDEST_MANAGER = ")?.parse().ok();
    statements(sql).iter().find_map(told)
}
