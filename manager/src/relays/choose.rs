//! Which relays a session uses, and in which order.
//!
//! The order of a running session is stable: both tools follow it, and each looks for the other where it says.

use std::time::Duration;

use proto::{
    api::{UnixMillis, reception::RelayAddress},
    id::{CompanyId, RelayId},
    limits,
};
use serde_json::json;

use super::store::{self, KnownRelay};
use crate::{
    app::App,
    db::{DbResult, Tx},
    throttle::millis,
};

/// A relay that was silent this long has lost its place in running sessions. Longer than a restart and than a relay's
/// longest pause between tries (20 s), so that neither changes an order that both tools follow.
const GONE_AFTER: Duration = Duration::from_mins(1);
/// No region.
const ANYWHERE: &str = "";

/// Relays for a session that begins, wherever they are: alive, neither draining nor full, most room first. None when none
/// is alive.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn for_new_session(app: &App, tx: &mut Tx, now_ms: UnixMillis) -> DbResult<Vec<RelayAddress>> {
    store::choose(tx, ANYWHERE, alive_since_ms(app, now_ms), limit(app)).await
}

/// The same for a session of a company that is bound to `region`: those that were chosen when it is empty, or those of that
/// region only, which may be none.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn in_region(
    app: &App,
    tx: &mut Tx,
    region: &str,
    chosen: Vec<RelayAddress>,
    now_ms: UnixMillis,
) -> DbResult<Vec<RelayAddress>> {
    if region.is_empty() {
        return Ok(chosen);
    }
    store::choose(tx, region, alive_since_ms(app, now_ms), limit(app)).await
}

/// Relays for a session of a company that has had `had`, in its order; see [`ordered`]. None of another region than the
/// one to which the company is bound, even if the session had it.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn for_running_session(
    app: &App,
    tx: &mut Tx,
    company_id: CompanyId,
    had: &[RelayId],
    now_ms: UnixMillis,
) -> DbResult<Vec<RelayAddress>> {
    let region = store::region_of(tx, company_id).await?;
    let most = most(app);
    // Enough to fill every place with others than those it has.
    let limit = i64::try_from(most.saturating_add(had.len())).unwrap_or(1);
    let others = store::choose(tx, &region, alive_since_ms(app, now_ms), limit).await?;
    let known = store::known(tx, &region, &json!(had).to_string()).await?;
    let gone_before_ms = now_ms.saturating_sub(millis(GONE_AFTER));
    // While this manager has not been there for long enough to hear them all, nobody is called silent.
    let is_early = gone_before_ms < app.steady_since_ms();
    let stays = |relay: &KnownRelay| !relay.draining && (is_early || gone_before_ms <= relay.heard_at_ms);
    let (staying, leaving): (Vec<_>, Vec<_>) =
        had.iter().filter_map(|id| known.iter().find(|relay| relay.address.relay_id == *id)).partition(|r| stays(r));
    let addresses = |relays: Vec<&KnownRelay>| relays.into_iter().map(|relay| relay.address.clone()).collect();
    Ok(ordered(addresses(staying), others, addresses(leaving), most))
}

/// Those that stay in their order, then others until there are `most`, then those that leave where room is left: the
/// tools may still reach a relay that the manager does not hear.
fn ordered(
    staying: Vec<RelayAddress>,
    others: Vec<RelayAddress>,
    leaving: Vec<RelayAddress>,
    most: usize,
) -> Vec<RelayAddress> {
    let mut relays = Vec::with_capacity(most);
    for relay in staying.into_iter().chain(others).chain(leaving) {
        let is_there = relays.iter().any(|there: &RelayAddress| there.relay_id == relay.relay_id);
        if !is_there && relays.len() < most {
            relays.push(relay);
        }
    }
    relays
}

fn limit(app: &App) -> i64 {
    i64::try_from(most(app)).unwrap_or(1)
}

fn most(app: &App) -> usize {
    usize::from(app.config.relays.per_session_max.get()).min(limits::TICKET_RELAYS_MAX)
}

fn alive_since_ms(app: &App, now_ms: UnixMillis) -> UnixMillis {
    now_ms.saturating_sub(millis(app.config.relays.alive_for.get()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relays(ids: &[u8]) -> Vec<RelayAddress> {
        let relay = |id: &u8| RelayAddress {
            relay_id: RelayId::from_bytes([*id; 16]),
            address: format!("relay{id}:443"),
            spki: String::new(),
        };
        ids.iter().map(relay).collect()
    }

    #[test]
    fn those_that_stay_keep_their_order_and_those_that_leave_come_last() {
        assert_eq!(ordered(relays(&[3, 1]), relays(&[1, 2, 3]), relays(&[4]), 4), relays(&[3, 1, 2, 4]));
        assert_eq!(ordered(relays(&[3, 1]), relays(&[1, 2, 3]), relays(&[4]), 3), relays(&[3, 1, 2]));
        assert_eq!(ordered(relays(&[3, 1, 2, 5]), relays(&[9]), relays(&[]), 4), relays(&[3, 1, 2, 5]));
        assert_eq!(ordered(vec![], vec![], relays(&[2, 1]), 4), relays(&[2, 1]), "better than none");
    }
}
