//! A reception number: the tool draws a proof key and four digits, the manager gives six; then the tool listens.
//!
//! Guarantees: the four digits never leave this tool; a repeated request issues one number (idempotency key); the
//! manager's events are resumed where they stopped, so none is lost and none is taken twice.
//! Reception walk: before `operator/src/app/number.rs`, after `manager/src/reception/api.rs`.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use link::api::ManagerApi;
use proto::{
    api::reception::{Event, IssueRequest, ReceptionBody},
    number::{ReceptionNumber, Secret},
    ticket::ProofKey,
};
use rand_core::CryptoRngCore;
use tokio::{sync::mpsc, time};
use tracing::{info, warn};

use crate::{app::event::Own, failure::Failure};

/// Tries of one request when the manager is not reached.
const ISSUE_TRIES: u32 = 3;
/// First and longest pause between two connections for events.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A connection that stands this long counts as good.
const STANDS: Duration = Duration::from_secs(3);

/// Issues a number, or takes `given`, which a device management started and whose ten digits the operator was told.
///
/// # Errors
/// When the manager refuses, or is not reached three times.
pub async fn issue(
    api: &ManagerApi,
    reason: String,
    life_secs: Option<u64>,
    given: Option<ReceptionNumber>,
    rng: &mut (impl CryptoRngCore + Send),
) -> Result<(Own, ReceptionBody), Failure> {
    let proof_key = Arc::new(ProofKey::random(rng));
    let locator = given.as_ref().map(ReceptionNumber::locator);
    let request = IssueRequest { proof_key: proof_key.public_hex(), reason, life_secs, locator };
    let key = idempotency_key(rng);
    let mut tries = 1;
    let body = loop {
        match api.issue(&request, &key).await.map_err(Failure::from) {
            Ok(body) => break body,
            Err(failure) if failure.code == "unreachable" && tries < ISSUE_TRIES => {
                tries += 1;
                time::sleep(jittered(PAUSE_MIN, rng)).await;
            }
            Err(failure) => return Err(failure),
        }
    };
    if given.as_ref().is_some_and(|given| given.locator() != body.locator) {
        // A manager that does not know of such numbers has issued a new one.
        drop(api.cancel(body.reception_id).await);
        return Err(Failure::new("number_unusable", "this manager takes no numbers of a device management"));
    }
    info!(reception.id = %body.reception_id, event = "reception.issued", "Reception {} issued", body.reception_id);
    let number = given.unwrap_or_else(|| ReceptionNumber::new(body.locator, Secret::random(rng)));
    Ok((Own { number, proof_key }, body))
}

/// What listening gives.
#[derive(Debug, Clone)]
pub enum Heard {
    /// An event.
    Event(Event),
    /// The stream is lost or back.
    Listening(bool),
    /// The login is not valid any more; listening is over.
    LoggedOut(Failure),
}

/// Listens to the manager's events until the login ends or nobody wants them. Reconnects with a growing pause.
pub async fn listen(api: ManagerApi, heard: mpsc::Sender<Heard>, mut rng: impl CryptoRngCore + Send) {
    let mut last_id = None;
    let mut pause = PAUSE_MIN;
    let mut lost = false;
    loop {
        let mut events = api.events(last_id.clone());
        let failure = loop {
            let item = if lost {
                match time::timeout(STANDS, events.next()).await {
                    Ok(item) => item,
                    Err(_stands) => {
                        (lost, pause) = (false, PAUSE_MIN);
                        if heard.send(Heard::Listening(true)).await.is_err() {
                            return;
                        }
                        continue;
                    }
                }
            } else {
                events.next().await
            };
            match item {
                Some(Ok(numbered)) => {
                    last_id = Some(numbered.id);
                    pause = PAUSE_MIN;
                    let back = std::mem::take(&mut lost);
                    if back && heard.send(Heard::Listening(true)).await.is_err() {
                        return;
                    }
                    if heard.send(Heard::Event(numbered.event)).await.is_err() {
                        return;
                    }
                }
                Some(Err(error)) => break Some(Failure::from(error)),
                None => break None,
            }
        };
        if let Some(failure) = failure {
            if failure.is_logged_out() {
                // The receiver may be gone with the login; then nobody has to know.
                drop(heard.send(Heard::LoggedOut(failure)).await);
                return;
            }
            warn!(event = "events.lost", reason = failure.code, "The manager's events are lost; trying again");
            if !lost && heard.send(Heard::Listening(false)).await.is_err() {
                return;
            }
            lost = true;
        }
        time::sleep(jittered(pause, &mut rng)).await;
        pause = pause.saturating_mul(2).min(PAUSE_MAX);
    }
}

/// Between half of a pause and all of it, so that many tools do not come back at the same moment.
fn jittered(pause: Duration, rng: &mut impl CryptoRngCore) -> Duration {
    let half = pause / 2;
    let part = rng.next_u32();
    half + half.mul_f64(f64::from(part) / f64::from(u32::MAX))
}

fn idempotency_key(rng: &mut impl CryptoRngCore) -> String {
    format!("{:016x}{:016x}", rng.next_u64(), rng.next_u64())
}

#[cfg(test)]
mod tests {
    use rand_core::OsRng;

    use super::*;

    #[test]
    fn a_pause_is_between_half_and_whole() {
        for _ in 0..200 {
            let pause = jittered(Duration::from_secs(8), &mut OsRng);
            assert!((Duration::from_secs(4)..=Duration::from_secs(8)).contains(&pause), "{pause:?}");
        }
    }

    #[test]
    fn every_request_has_a_key_of_its_own() {
        let (a, b) = (idempotency_key(&mut OsRng), idempotency_key(&mut OsRng));
        assert!(a != b && a.len() == 32);
    }
}
