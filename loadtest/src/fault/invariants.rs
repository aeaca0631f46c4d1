//! What must hold after every fault, whatever it was.
//!
//! Each one is looked at in every row, told with what was seen, and fails the row when it is broken.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use proto::{
    api::session::{SessionBody, SessionList, SessionState},
    close::CloseReason,
    id::SessionId,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;

use super::{
    bounds, canary,
    receptions::Made,
    relays::Relays,
    score::Outcome,
    trial::{LOOK, PATIENCE},
};
use crate::{desktop::pause, world::World};

/// Rows of the support log that are looked at beyond those that should be there.
const ROWS_MORE: usize = 200;

/// What must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Invariant {
    /// Every message came once, in order and whole, and nobody was cut off.
    Delivery,
    /// Every session stands in the support log once, with its end and the reason.
    SupportLog,
    /// Each number led to one session, for one customer.
    Claims,
    /// No relay took a ticket outside of its bounds.
    Tickets,
    /// The manager's audit record is whole.
    Audit,
    /// What the tools say to each other stands nowhere on a server.
    Canary,
    /// Servers hold no session, and no more files, threads and memory than before.
    Footprint,
}

/// How it stood with one of them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Finding {
    /// Which.
    pub invariant: Invariant,
    /// What was looked at.
    pub seen: String,
    /// What does not hold, and where. Empty: it holds.
    pub broken: Vec<String>,
    /// Why it was not looked at, if so.
    pub unchecked: Option<String>,
}

impl Invariant {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Delivery, Self::SupportLog, Self::Claims, Self::Tickets, Self::Audit, Self::Canary, Self::Footprint];

    /// Its name in the scorecard.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Delivery => "delivery",
            Self::SupportLog => "support log",
            Self::Claims => "claims",
            Self::Tickets => "tickets",
            Self::Audit => "audit",
            Self::Canary => "canary",
            Self::Footprint => "footprint",
        }
    }
}

/// While sessions are still there: the text that they say stands in no memory and no file, and bad tickets are refused.
///
/// # Errors
/// When a server cannot be looked into.
pub(super) async fn check_running(relays: &Relays, outcome: &mut Outcome) -> Result<()> {
    let (servers, folder) = (relays.servers(), relays.folder().to_owned());
    let names: Vec<_> = servers.iter().map(|(name, _id)| name.clone()).collect();
    relays.world().managers().dump().await?;
    let places = tokio::task::spawn_blocking(move || canary::search(&servers, &folder)).await??;
    let seen = format!("not in the files of the servers nor in the memory of {}", names.join(", "));
    outcome.find(Invariant::Canary, seen, places);
    if !canary::may_search_memory() {
        outcome.unchecked(Invariant::Canary, "files only: the memory of servers is open to root alone");
    }
    let (shown, broken) = bounds::show_bad_tickets(relays).await?;
    outcome.bad_inputs = outcome.bad_inputs.saturating_add(shown);
    outcome.bad_accepted = outcome.bad_accepted.saturating_add(u64::try_from(broken.len())?);
    outcome.find(Invariant::Tickets, format!("{shown} bad ones were shown"), broken);
    Ok(())
}

/// When the sessions of a company are over and their ends are told: what the managers have kept of them.
///
/// # Errors
/// When no manager can be asked.
pub(super) async fn check_records(world: &World, company: &str, made: &Made, outcome: &mut Outcome) -> Result<()> {
    let rows = ended_rows_of(world, company, &made.sessions).await?;
    let events = events(world).await?;
    let entered = |id: &str| events.iter().filter(|event| event.is("reception.entered", "reception.id", id)).count();
    let ended = |id: &str| events.iter().filter(|event| event.is("session.ended", "session.id", id)).count();
    check_support_log(made, rows, ended, outcome);

    let odd = made.receptions.iter().map(|id| (id, entered(&id.to_string()))).filter(|(_id, count)| *count != 1);
    let mut broken: Vec<_> = odd.map(|(id, count)| format!("number {id} was entered {count} times")).collect();
    if 0 < made.claimed_twice {
        broken.push(format!("{} numbers were given to two customers", made.claimed_twice));
    }
    outcome.bad_inputs = outcome.bad_inputs.saturating_add(made.raced);
    outcome.bad_accepted = outcome.bad_accepted.saturating_add(made.claimed_twice);
    let seen = format!("{} numbers, each entered once; {} by two at once", made.receptions.len(), made.raced);
    outcome.find(Invariant::Claims, seen, broken);
    Ok(())
}

/// Whether the audit record is whole, at each manager.
pub(super) async fn check_audit(world: &World, outcome: &mut Outcome) {
    let verdicts = world.managers().commands(&["audit", "verify"]).await;
    let broken = verdicts.as_ref().err().map(|error| format!("the audit record is not whole: {error:#}"));
    let verdicts = verdicts.unwrap_or_default().iter().map(|verdict| verdict.trim().to_owned()).collect::<Vec<_>>();
    outcome.find(Invariant::Audit, verdicts.join("; "), broken.into_iter().collect());
}

fn check_support_log(made: &Made, rows: Vec<SessionBody>, ended: impl Fn(&str) -> usize, outcome: &mut Outcome) {
    let mut by_session: BTreeMap<SessionId, Vec<SessionBody>> = BTreeMap::new();
    for row in rows {
        by_session.entry(row.session_id).or_default().push(row);
    }
    let mut broken = Vec::new();
    for session in &made.sessions {
        let found = by_session.remove(session).unwrap_or_default();
        let reason = if made.revoked.contains(session) { CloseReason::Revoked } else { CloseReason::OperatorEnded };
        let is_right = |row: &SessionBody| {
            row.state == SessionState::Ended
                && row.end_reason == Some(reason)
                && row.connected_at_ms.is_some()
                && row.ended_at_ms.is_some()
        };
        match found.as_slice() {
            [row] if is_right(row) => {}
            [row] => broken.push(format!("session {session} ended with {reason:?}, but the log says {row:?}")),
            several => broken.push(format!("session {session} stands {} times in the support log", several.len())),
        }
        let ends = ended(&session.to_string());
        broken.extend((ends != 1).then(|| format!("session {session} was ended {ends} times")));
    }
    broken.extend(by_session.into_keys().map(|session| format!("the log has session {session}, which nobody made")));
    let seen = format!("{} sessions, each once with its end", made.sessions.len());
    outcome.find(Invariant::SupportLog, seen, broken);
}

/// The audit record, in the words of the log.
const AUDITED: &str = "SELECT json_build_object('event', event, 'reception.id', reception_id, 'session.id', session_id) \
                       FROM audit WHERE event IN ('reception.entered', 'session.ended')";

/// A line of a server's log.
struct Line(Value);

impl Line {
    fn is(&self, event: &str, field: &str, id: &str) -> bool {
        let has = |field: &str, text: &str| self.0.get(field).and_then(Value::as_str) == Some(text);
        has("event", event) && has(field, id)
    }
}

/// What the manager logged, in all its lives. Of two managers, who are killed while they work and then have done what no
/// line tells, what the audit record says.
async fn events(world: &World) -> Result<Vec<Line>> {
    let log = match world.managers().rows(AUDITED).await? {
        Some(rows) => rows,
        None => tokio::fs::read_to_string(world.folder().join("manager.log")).await?,
    };
    Ok(log.lines().filter_map(|line| serde_json::from_str(line).ok().map(Line)).collect())
}

/// The support log, when it has the end of these sessions, or when that has been waited for long enough.
///
/// # Errors
/// When the manager cannot be asked.
pub(super) async fn ended_rows(world: &World, sessions: &[SessionId]) -> Result<Vec<SessionBody>> {
    ended_rows_of(world, &world.account().company, sessions).await
}

async fn ended_rows_of(world: &World, company: &str, sessions: &[SessionId]) -> Result<Vec<SessionBody>> {
    let wanted: BTreeSet<_> = sessions.iter().collect();
    let has_ended = |row: &&SessionBody| row.ended_at_ms.is_some() && wanted.contains(&row.session_id);
    // More than there should be are seen, too.
    let limit = sessions.len().saturating_add(ROWS_MORE);
    rows_of(world, company, limit, |rows| wanted.len() <= rows.iter().filter(has_ended).count()).await
}

/// The support log, as soon as it is as it should be; as it is when that does not come.
///
/// # Errors
/// When the manager's command line does not print it.
pub(super) async fn rows_when(world: &World, is_right: impl Fn(&[SessionBody]) -> bool) -> Result<Vec<SessionBody>> {
    rows_of(world, &world.account().company, ROWS_MORE, is_right).await
}

async fn rows_of(
    world: &World,
    company: &str,
    limit: usize,
    is_right: impl Fn(&[SessionBody]) -> bool,
) -> Result<Vec<SessionBody>> {
    let (until, limit) = (Instant::now() + PATIENCE, limit.to_string());
    loop {
        let list = ["sessions", "list", "--company", company, "--limit", &limit, "--json"];
        let printed = world.manager_command(&list).await?;
        let list: SessionList =
            serde_json::from_str(&printed).context("sessions list --json is no list of sessions")?;
        if is_right(&list.sessions) || until <= Instant::now() {
            return Ok(list.sessions);
        }
        pause(LOOK).await;
    }
}
