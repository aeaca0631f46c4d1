//! Accepts connections, within bounds, and takes each through its life on a task of its own.
//!
//! The accept loop never waits for a stranger: what takes time happens on the connection's task, under a deadline.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use link::{
    framed,
    served::{self, AcceptError, Served},
};
use ops::shutdown::Shutdown;
use proto::{close::CloseReason, hello::RelayWord, ticket::Ticket};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, timeout},
};
use tracing::{debug, warn};

use crate::{
    Relay,
    admit::{self, Expected},
    drain, forward,
    limit::{Counted, Sources},
    pair::Claim,
};

/// A refusal is said and heard within this time, or not at all.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause after a failed accept, for example when there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The places a connection holds; dropping them gives them back.
struct Places {
    _total: OwnedSemaphorePermit,
    _source: Counted,
}

/// Who may come in.
struct Gate {
    total: Arc<Semaphore>,
    handshakes: Arc<Semaphore>,
    sources: Sources,
    serial: AtomicU64,
}

/// Accepts until the relay has drained or is forced to stop.
pub(crate) async fn accept_until_drained(relay: &Arc<Relay>, listener: TcpListener, shutdown: &Shutdown) {
    let gate = Gate {
        total: Arc::new(Semaphore::new(relay.limits.connections)),
        handshakes: Arc::new(Semaphore::new(relay.limits.handshakes)),
        sources: Sources::default(),
        serial: AtomicU64::new(0),
    };
    let mut drained = std::pin::pin!(drain::drained(relay, shutdown));
    loop {
        tokio::select! {
            biased;
            () = &mut drained => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => gate.let_in(relay, stream, address, shutdown),
                Err(error) => after_failed_accept(relay, &error).await,
            },
        }
    }
}

impl Gate {
    /// Starts a connection's task, or closes the connection when a limit is reached.
    fn let_in(&self, relay: &Arc<Relay>, stream: TcpStream, address: SocketAddr, shutdown: &Shutdown) {
        let turn_away = |result| relay.metrics.relay_connections_total.with_label_values(&["tcp", result]).inc();
        let Ok(total) = Arc::clone(&self.total).try_acquire_owned() else { return turn_away("full") };
        let Some(source) = self.sources.count(address.ip(), relay.limits.connections_per_address) else {
            return turn_away("address_full");
        };
        let Ok(handshake) = Arc::clone(&self.handshakes).try_acquire_owned() else {
            return turn_away("handshakes_full");
        };
        let places = Places { _total: total, _source: source };
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let (relay, shutdown) = (Arc::clone(relay), shutdown.clone());
        let task = Arc::clone(&relay);
        relay.connections.spawn(async move {
            let forced = shutdown.forced();
            tokio::select! {
                biased;
                () = live(&task, stream, serial, handshake, &shutdown) => {}
                // Those with a seat are told by the drain; whoever is left after that is cut.
                () = async { forced.cancelled().await; sleep(drain::FORCED_TIMEOUT).await } => {}
            }
            drop(places);
        });
    }
}

/// The life of a connection.
async fn live(relay: &Relay, stream: TcpStream, serial: u64, handshake: OwnedSemaphorePermit, shutdown: &Shutdown) {
    let begun = Instant::now();
    let deadlines = &relay.deadlines;
    // In a box, so that a connection does not carry the room of its handshake for the rest of its life.
    let accepted = Box::pin(served::accept(stream, &relay.tls, deadlines.tls_handshake.get())).await;
    let result = match &accepted {
        Ok(_) => "accepted",
        Err(AcceptError::Timeout) => "tls_timeout",
        Err(AcceptError::Failed(_)) => "tls_failed",
        Err(AcceptError::Alpn) => "wrong_alpn",
    };
    relay.metrics.relay_connections_total.with_label_values(&["tcp", result]).inc();
    let connection = match accepted {
        Ok(connection) => connection,
        Err(error) => return debug!(error = %error, "A connection had no TLS handshake"),
    };
    relay.metrics.relay_handshake_seconds.with_label_values(&["tcp"]).observe(begun.elapsed().as_secs_f64());
    if let Err((connection, reason)) = admit_and_forward(relay, connection, serial, handshake, shutdown).await {
        Box::pin(refuse(relay, connection, reason)).await;
    }
}

/// Gives the connection back with the reason to refuse it.
async fn admit_and_forward(
    relay: &Relay,
    mut connection: Box<Served>,
    serial: u64,
    handshake: OwnedSemaphorePermit,
    shutdown: &Shutdown,
) -> Result<(), (Box<Served>, CloseReason)> {
    let (ticket, claim) = match Box::pin(admitted(relay, &mut connection, serial)).await {
        Ok(admitted) => admitted,
        Err(reason) => return Err((connection, reason)),
    };
    drop(handshake);
    let may_begin = !shutdown.draining().is_cancelled();
    forward::run(relay, connection, ticket, claim, may_begin).await
}

async fn admitted(relay: &Relay, connection: &mut Served, serial: u64) -> Result<(Ticket, Claim), CloseReason> {
    let hello = admit::hear(&mut connection.reader, relay.deadlines.hello.get()).await?;
    let spki = relay.spki();
    let expected = Expected { exporter: &connection.exporter, spki: &spki, now_ms: relay.clock.now_ms() };
    let ticket = relay.keys.admit(&hello, &expected)?;
    let claim = Claim { role: ticket.role, proof_key: hello.proof_key, generation: hello.generation, serial };
    Ok((ticket, claim))
}

/// Says why, counts it, and closes.
async fn refuse(relay: &Relay, mut connection: Box<Served>, reason: CloseReason) {
    relay.metrics.relay_joins_refused_total.with_label_values(&[reason.as_str()]).inc();
    debug!(event = "join.refused", reason = reason.as_str(), "A join was refused: {}", reason.as_str());
    let goodbye = async {
        let word = framed::to_wire(&RelayWord::Refused(reason).to_frame());
        if connection.writer.send_all(&[word], REFUSAL_TIMEOUT).await.is_ok() {
            connection.farewell().await;
        }
    };
    let _in_time = timeout(REFUSAL_TIMEOUT, goodbye).await;
}

async fn after_failed_accept(relay: &Relay, error: &io::Error) {
    relay.metrics.relay_connections_total.with_label_values(&["tcp", "accept_failed"]).inc();
    warn!(event = "accept.failed", error = %error, "A connection could not be accepted");
    sleep(ACCEPT_PAUSE).await;
}
