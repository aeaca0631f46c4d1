//! Certificates change while tools come: nobody notices.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use link::transport::Transport;
use ops::tls;
use proto::{frame::Lane, role::Role};
use relay::config::{Config, Limits};
use tempfile::TempDir;

use crate::world::{World, config};

/// The files of a relay's certificate.
pub(crate) struct Files {
    folder: TempDir,
}

impl Files {
    pub(crate) fn new() -> Self {
        let files = Self { folder: tempfile::tempdir().unwrap() };
        files.renew();
        files
    }

    /// Puts another certificate with another key there.
    pub(crate) fn renew(&self) {
        let made = tls::self_signed(&["relay.invalid"]).unwrap();
        std::fs::write(self.path("cert.pem"), made.cert_pem).unwrap();
        std::fs::write(self.path("key.pem"), made.key_pem).unwrap();
    }

    pub(crate) fn config(&self) -> Config {
        let (certificate_file, key_file) = (Some(self.path("cert.pem")), Some(self.path("key.pem")));
        // All of this test comes from one address.
        let limits = Limits { accepts_per_second_per_address: 100_000, ..Limits::default() };
        Config { certificate_file, key_file, limits, ..config() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// One after the other, with the key that is told at that moment; counts those that are done and those that failed.
async fn keep_dialing(world: Arc<World>, done: Arc<AtomicUsize>, failed: Arc<AtomicUsize>, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        let spki = world.relay.spki();
        if link::tcp::dial(&world.address.to_string(), &spki).await.is_err() {
            failed.fetch_add(1, Ordering::Relaxed);
        }
        done.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn twenty_changes_of_keys_under_a_stream_of_handshakes_fail_none() {
    let files = Files::new();
    let world = Arc::new(World::start_with(files.config()).await);
    let (failed, stop) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
    let done: Vec<Arc<AtomicUsize>> = (0..3).map(|_| Arc::default()).collect();
    let tasks: Vec<_> = done
        .iter()
        .map(|done| {
            let (done, failed, stop) = (Arc::clone(done), Arc::clone(&failed), Arc::clone(&stop));
            tokio::spawn(keep_dialing(Arc::clone(&world), done, failed, stop))
        })
        .collect();

    for _ in 0..20 {
        files.renew();
        assert!(world.relay.renew_certificate().unwrap());
        // The one that was under way, and one that began with the new key.
        let before: Vec<_> = done.iter().map(|done| done.load(Ordering::Relaxed)).collect();
        let moved =
            |_: &World| done.iter().zip(&before).all(|(done, before)| before + 2 <= done.load(Ordering::Relaxed));
        world.until("everybody dials again", moved).await;
    }

    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(failed.load(Ordering::Relaxed), 0);
    Arc::into_inner(world).unwrap().stop().await;
}

#[tokio::test]
async fn twenty_changes_of_keys_are_not_felt_by_sessions_that_are_here() {
    let files = Files::new();
    let world = World::start_with(files.config()).await;
    let ways =
        [(Transport::Tcp, Transport::Tcp), (Transport::Quic, Transport::Quic), (Transport::Quic, Transport::Tcp)];
    let mut pairs = Vec::new();
    for (session, (customer, operator)) in (1..).zip(ways) {
        pairs.push(world.pair_over(session, customer, operator).await);
    }

    for change in 0..20u8 {
        files.renew();
        assert!(world.relay.renew_certificate().unwrap());
        for (customer, operator) in &mut pairs {
            customer.send(Lane::Screen, vec![change; 50]).await;
            assert_eq!(operator.next().await.unwrap().payload.as_ref(), [change; 50]);
            operator.send(Lane::Input, vec![change]).await;
            assert_eq!(customer.next().await.unwrap().payload.as_ref(), [change]);
        }
        // Whoever comes now gets the new key, by either transport.
        let transport = if change % 2 == 0 { Transport::Quic } else { Transport::Tcp };
        pairs.push(world.pair_over(100 + change, transport, transport).await);
    }

    assert!((world.metric("relay_sessions_active") - 23.0).abs() < 0.5, "nobody was lost");
    world.stop().await;
}

#[tokio::test]
async fn a_ticket_that_names_the_earlier_key_admits_after_the_change() {
    let files = Files::new();
    let world = World::start_with(files.config()).await;
    let side = world.side(Role::Customer, 1);
    let earlier = world.relay.spki();
    files.renew();
    assert!(world.relay.renew_certificate().unwrap());

    let mut connection = link::tcp::dial(&world.address.to_string(), &earlier).await.unwrap();
    let ticket = side.ticket.sign(&world.key).unwrap();
    let admission = link::join::Admission { ticket: &ticket, proof_key: &side.proof_key, generation: 1 };

    assert_eq!(link::join::join(&mut connection, &admission).await, Ok(false));
    world.stop().await;
}
