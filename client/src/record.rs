//! What the manager is told about a session, in order and more than once if need be.
//!
//! The session never waits for the manager: it hands over a [`Record`] and goes on. The first `view` that was granted
//! connects the session at the manager, the end closes it; both are repeatable there.

use std::time::Duration;

use link::api::{ApiError, ManagerApi};
use proto::{
    api::session::{ConsentAnswer, ConsentRequest, DeviceRequest, EndRequest},
    close::CloseReason,
    device::DeviceFact,
    grant::GrantKind,
    id::SessionId,
};
use tokio::sync::mpsc;

/// Records that wait at most: far more than a session has in the time of all tries.
pub const RECORDS_MAX: usize = 64;
/// Pauses between the tries of one record.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(10)];

/// One thing the manager is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// The secret was proved.
    Proved,
    /// The customer did something with a grant.
    Consent(GrantKind, ConsentAnswer),
    /// Facts that the customer agreed to send.
    Device(Vec<DeviceFact>),
    /// The session ended.
    End(CloseReason),
}

/// Tells the manager one record after the other, until nobody hands over any more.
pub async fn keep(api: ManagerApi, session: SessionId, mut records: mpsc::Receiver<Record>) {
    while let Some(record) = records.recv().await {
        tell_again(&api, session, &record).await;
    }
}

async fn tell_again(api: &ManagerApi, session: SessionId, record: &Record) {
    let mut pauses = PAUSES.into_iter();
    loop {
        let Err(error) = tell(api, session, record).await else { return };
        let Some(pause) = pauses.next().filter(|_| error.is_temporary()) else {
            tracing::warn!(
                session.id = %session, event = "record.lost", reason = %error, "The manager was not told: {error}"
            );
            return;
        };
        tokio::time::sleep(pause).await;
    }
}

async fn tell(api: &ManagerApi, session: SessionId, record: &Record) -> Result<(), ApiError> {
    match record {
        Record::Proved => api.proved(session).await,
        Record::Consent(kind, answer) => api.consent(session, &ConsentRequest { kind: *kind, answer: *answer }).await,
        Record::Device(facts) => api.device(session, &DeviceRequest { facts: facts.clone() }).await,
        Record::End(reason) => api.end(session, &EndRequest { reason: *reason }).await,
    }
}
