//! F03: every relay is replaced while its sessions go on.

use std::time::Duration;

use anyhow::Result;

use crate::fault::{Call, score::Outcome, trial::Trial};

/// What is said this long after a relay was asked to leave is said after the move.
const AFTER_LEAVE: Duration = Duration::from_millis(500);

/// F03: relays are asked to leave one after another, as often as the call says.
pub(super) async fn drain(call: &Call) -> Result<Outcome> {
    let mut trial = Trial::start(call, 3, false).await?;
    for place in (0..trial.relays.all().len()).cycle().take(3 * usize::try_from(call.repeat)?) {
        let id = trial.relays.relay(place)?.id;
        let (held, mark) = (trial.crowd.at(id), trial.crowd.mark());
        trial.relays.drain(place).await?;
        if 0 < held {
            trial.recover(&mark, AFTER_LEAVE, id).await;
        }
        trial.relays.restart(place).await?;
        trial.ready().await?;
    }
    trial.outcome.must(0 < trial.outcome.faults, || "no relay had a session when it left".to_owned());
    trial.judge(f64::MAX, 100.0);
    trial.finish().await
}
