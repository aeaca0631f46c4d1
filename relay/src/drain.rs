//! How a relay leaves: it begins no session any more, sends those that run to another relay, and forces at last.
//!
//! Tools that wait alone are sent on at once, so that both sides of their session go to the next relay of their ticket.
//! The others are told `Goaway`: they go on elsewhere while this relay still forwards.

use std::{sync::Arc, time::Duration};

use ops::shutdown::Shutdown;
use proto::{close::CloseReason, hello::RelayWord};
use tokio::time::{sleep, timeout};
use tracing::info;

use crate::{Relay, forward::Urgency};

/// After the end was forced, last words have this long.
pub(crate) const FORCED_TIMEOUT: Duration = Duration::from_secs(3);
/// How often it is asked whether everybody has gone. Only while draining.
const LOOK: Duration = Duration::from_millis(50);

/// Waits for the signal to stop, and then until every session is over.
pub(crate) async fn drained(relay: &Arc<Relay>, shutdown: &Shutdown) {
    let (draining, forced) = (shutdown.draining(), shutdown.forced());
    draining.cancelled().await;
    relay.metrics.relay_draining.set(1);
    info!(event = "relay.draining", count = relay.pairs.len(), "Relay drains {} sessions", relay.pairs.len());
    let limit = relay.limits.drain.get();
    tokio::select! {
        () = forced.cancelled() => {}
        _over = timeout(limit, send_on_and_wait(relay)) => {}
    }
    if relay.pairs.is_empty() {
        return;
    }
    info!(event = "relay.forced", count = relay.pairs.len(), "Relay ends {} sessions by force", relay.pairs.len());
    for seat in relay.pairs.everybody(false) {
        seat.close(RelayWord::Refused(CloseReason::RelayStopped), Urgency::Now);
    }
    let _in_time = timeout(FORCED_TIMEOUT, until_empty(relay)).await;
}

async fn send_on_and_wait(relay: &Relay) {
    for seat in relay.pairs.everybody(false) {
        seat.say_goaway();
    }
    while !relay.pairs.is_empty() {
        // Also those whose other side has moved on by now.
        for seat in relay.pairs.everybody(true) {
            seat.close(RelayWord::Refused(CloseReason::Draining), Urgency::Now);
        }
        sleep(LOOK).await;
    }
}

async fn until_empty(relay: &Relay) {
    while !relay.pairs.is_empty() {
        sleep(LOOK).await;
    }
}
