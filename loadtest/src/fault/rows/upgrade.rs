//! upgrade: two managers are stopped and started again, one after the other, while numbers are issued and entered all
//! the time; whoever comes back first finds the schema as a later version leaves it, and so does the other, at work.
//!
//! There is one program here, so both play the version before: the change of the schema is made by SQL, as a later one
//! would make it at its start.

use anyhow::Result;

use super::redundant::{DESKS, DESKS_QUICK, RELAYS, SESSIONS, SESSIONS_QUICK, go_on, tell};
use crate::{
    desktop::pause,
    fault::{
        Call,
        crowd::Load,
        desks::Desks,
        relays::{Managed, Plan},
        score::Outcome,
        trial::{LOOK, Trial},
    },
    managers::Managers,
};

/// A number for migrations that no version has.
const LATER: u32 = 900_000;
/// How often a migration is begun when what it changes is in use.
const TRIES: usize = 20;

/// upgrade.
pub(super) async fn upgrade(call: &Call) -> Result<Outcome> {
    let (sessions, desks) = if call.is_quick { (SESSIONS_QUICK, DESKS_QUICK) } else { (SESSIONS, DESKS) };
    let plan = Plan { managers: Managed::Two, ..Plan::of(RELAYS, false, call.seed) };
    let mut trial = Trial::start_with(call, plan, Load::of(sessions)).await?;
    let desks = Desks::open(&trial.relays, desks, call.seed).await?;
    go_on(&mut trial, &desks, "before the upgrade").await;
    trial.rebase()?;

    for turn in 0..call.repeat {
        let place = usize::from(turn % 2 == 1);
        trial.relays.world_mut().managers_mut().leave(place).await?;
        if place == 0 {
            change_schema(trial.relays.world().managers(), turn).await?;
        }
        go_on(&mut trial, &desks, "while one manager was away").await;
        trial.relays.world_mut().managers_mut().restart(place).await?;
        go_on(&mut trial, &desks, "when both managers were there again").await;
        trial.outcome.faults = trial.outcome.faults.saturating_add(1);
    }
    tell(&mut trial, desks).await?;
    trial.finish().await
}

/// Adds a table, and a column to those that are written most, as a migration does: a lock that does not come at once is
/// given up and asked for again. Whatever else fails would fail again.
async fn change_schema(managers: &Managers, turn: u32) -> Result<()> {
    let sql = migration(turn);
    let mut tries = 1;
    loop {
        let Err(error) = managers.rows(&sql).await else { return Ok(()) };
        if TRIES <= tries || !is_locked(&format!("{error:#}")) {
            return Err(error.context("the schema was not changed"));
        }
        tries += 1;
        pause(LOOK).await;
    }
}

/// Whether a lock did not come, in the words of `psql`. Source: appendix A of the manual of `PostgreSQL`: 55P03 lock not
/// available, 40P01 deadlock.
fn is_locked(words: &str) -> bool {
    ["  55P03: ", "  40P01: "].iter().any(|code| words.contains(code))
}

fn migration(turn: u32) -> String {
    let version = LATER.saturating_add(turn);
    let columns: String = ["receptions", "sessions", "relays", "service"]
        .map(|table| format!("ALTER TABLE {table} ADD COLUMN later_{turn} TEXT NOT NULL DEFAULT 'later'; "))
        .concat();
    format!(
        "BEGIN; SET LOCAL lock_timeout = '500ms'; {columns}\
         CREATE TABLE later_{turn} (id BIGINT NOT NULL PRIMARY KEY); \
         INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES ({version}, 'later', TRUE, decode('00', 'hex'), 0); COMMIT"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_lock_that_did_not_come_is_asked_for_again() {
        for (words, again) in [
            ("psql -X: exit status: 1\nERROR:  55P03: canceling statement due to lock timeout", true),
            ("ERROR:  40P01: deadlock detected\nDETAIL:  Process 1 waits", true),
            ("ERROR:  42P07: relation \"later_0\" already exists", false),
            ("ERROR:  57014: canceling statement due to statement timeout", false),
            ("psql: error: connection to server failed", false),
        ] {
            assert_eq!(is_locked(words), again, "{words}");
        }
    }
}
