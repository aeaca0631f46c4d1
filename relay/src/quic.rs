//! Takes QUIC connections in, through the same entrance as TCP.
//!
//! A stranger's packet may say that it comes from anywhere. So it is let in unseen only while few such are half way in.
//! Once there are many, or its address has all that it may have, each is asked first to prove that it gets what is sent
//! to its address, which costs the relay nothing but the answer. What is turned away is counted by the reason, as on TCP.

use std::{
    net::UdpSocket,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use link::quic::{
    limits::UNPROVED_MAX,
    served::{AcceptError, Listener, Stranger},
};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{
    drain,
    gate::{Arrival, Handshake, Place},
    listen::Entrance,
    transport::{Connection, Transport},
};

/// Strangers who are half way in and have not proved their address.
#[derive(Debug, Clone)]
struct Unproved {
    count: Arc<AtomicUsize>,
    max: usize,
}

/// One of them; dropping it says that it is in or gone.
#[derive(Debug)]
struct One(Arc<AtomicUsize>);

/// Accepts QUIC connections until `closed`, and stays until those that are left have gone. Runs at the door.
/// `asks_always`: every stranger must prove its address first.
pub(crate) async fn accept_quic(
    entrance: Arc<Entrance>,
    socket: UdpSocket,
    asks_always: bool,
    closed: CancellationToken,
) {
    let listener = match Listener::new(socket, &entrance.relay.tls) {
        Ok(listener) => listener,
        Err(error) => return warn!(event = "listen.failed", error = %error, "QUIC cannot be listened for"),
    };
    let unproved = Unproved::new(if asks_always { 0 } else { UNPROVED_MAX });
    loop {
        tokio::select! {
            biased;
            () = closed.cancelled() => break,
            stranger = listener.next() => match stranger {
                Some(stranger) => entrance.meet(stranger, &unproved),
                None => return warn!(event = "listen.failed", "The socket for QUIC is gone"),
            },
        }
    }
    // Whoever accepts bounds the wait.
    listener.leave().await;
}

impl Entrance {
    /// Starts a stranger's task, asks for a proof of its address, or sends it away when a limit is reached.
    fn meet(self: &Arc<Self>, stranger: Stranger, unproved: &Unproved) {
        let (address, now) = (stranger.address().ip(), Instant::now());
        let one = if stranger.is_validated() {
            None
        } else if self.relay.gate.has_room_for(address, now)
            && let Some(one) = unproved.one()
        {
            Some(one)
        } else {
            self.count(Transport::Quic, Arrival::AskedForProof);
            return stranger.ask_for_proof();
        };
        // Else its handshake proves the address; until then it takes nothing of what that address may have.
        let proved = stranger.is_validated().then_some(address);
        let (place, handshake) = match self.relay.gate.let_in_datagram(proved, now) {
            Ok(places) => places,
            Err(arrival) => {
                self.count(Transport::Quic, arrival);
                return stranger.send_away();
            }
        };
        let entrance = Arc::clone(self);
        self.relay.connections.spawn(async move {
            let forced = entrance.shutdown.forced();
            tokio::select! {
                biased;
                () = entrance.let_stranger_in(stranger, one, place, handshake) => {}
                () = async { forced.cancelled().await; sleep(drain::FORCED_TIMEOUT).await } => {}
            }
        });
    }

    async fn let_stranger_in(&self, stranger: Stranger, one: Option<One>, mut place: Place, mut handshake: Handshake) {
        let (begun, address) = (Instant::now(), stranger.address().ip());
        let served = stranger.let_in(self.relay.deadlines.tls_handshake.get()).await;
        drop(one);
        if served.is_ok() && !place.has_source() {
            // Its handshake has proved the address.
            handshake = match self.relay.gate.came_from((&mut place, handshake), address, Instant::now()) {
                Ok(handshake) => handshake,
                Err(arrival) => return self.count(Transport::Quic, arrival),
            };
        }
        let result = match &served {
            Ok(_) => Arrival::Accepted,
            Err(AcceptError::Timeout) => Arrival::TlsTimeout,
            Err(AcceptError::Failed(_)) => Arrival::TlsFailed,
            Err(AcceptError::Alpn) => Arrival::WrongAlpn,
            Err(AcceptError::Streams) => Arrival::WrongStreams,
        };
        self.count(Transport::Quic, result);
        let connection = match served {
            Ok(served) => Connection::from(served),
            Err(error) => return debug!(error = %error, "A connection had no QUIC handshake"),
        };
        let seconds = self.relay.metrics.relay_handshake_seconds.with_label_values(&[Transport::Quic.as_str()]);
        seconds.observe(begun.elapsed().as_secs_f64());
        self.receive(connection, place, handshake).await;
    }
}

impl Unproved {
    fn new(max: usize) -> Self {
        Self { count: Arc::default(), max }
    }

    /// One more, if there is room.
    fn one(&self) -> Option<One> {
        let more = |count: usize| (count < self.max).then_some(count.saturating_add(1));
        let counted = self.count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        counted.ok().map(|_before| One(Arc::clone(&self.count)))
    }
}

impl Drop for One {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_are_half_way_in_than_may_be_and_places_come_back() {
        let unproved = Unproved::new(2);
        let (first, second) = (unproved.one(), unproved.one());

        assert!(first.is_some() && second.is_some() && unproved.one().is_none());
        drop(first);

        assert!(unproved.one().is_some());
        assert!(Unproved::new(0).one().is_none(), "everybody is asked");
    }
}
