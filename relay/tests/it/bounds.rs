//! Every bound by its name: who meets one is told or turned away, it is counted, and nobody else is concerned.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use link::{join::JoinError, tls};
use ops::config::Bytes;
use proto::{close::CloseReason, frame::Lane, proxied, role::Role};
use relay::config::{Config, Deadlines, Limits};
use rustls::pki_types::ServerName;
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::world::{PATIENCE, SHORT, Side, World, config};

/// A connection with TLS on it that says nothing more.
type Arrived = TlsStream<TcpStream>;

fn arrivals(result: &str) -> String {
    format!("relay_connections_total{{result=\"{result}\",transport=\"tcp\"}}")
}

fn overloaded(bound: &str) -> String {
    format!("relay_overloaded_total{{bound=\"{bound}\"}}")
}

async fn with_limits(limits: Limits) -> World {
    World::start_with(Config { limits, ..config() }).await
}

/// A relay behind a load balancer on this machine.
async fn behind_a_balancer(limits: Limits, deadlines: Deadlines) -> World {
    let proxy_from = ["127.0.0.0/8".parse().unwrap()].into_iter().collect();
    World::start_with(Config { limits, deadlines, proxy_from, ..config() }).await
}

/// Connects, says `first`, and shakes hands.
async fn arrive(world: &World, first: &[u8]) -> std::io::Result<Arrived> {
    let mut stream = TcpStream::connect(world.address).await?;
    stream.write_all(first).await?;
    shake_hands(world, stream).await
}

/// Arrives from another address of this machine.
async fn arrive_by(world: &World, source: [u8; 4]) -> std::io::Result<Arrived> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((source, 0).into())?;
    shake_hands(world, socket.connect(world.address).await?).await
}

async fn shake_hands(world: &World, stream: TcpStream) -> std::io::Result<Arrived> {
    let pin = tls::Pin::from_hex(&world.relay.spki()).unwrap();
    let connector = TlsConnector::from(Arc::new(tls::pinned_client_config(pin).unwrap()));
    let handshake = connector.connect(ServerName::try_from("relay.invalid").unwrap(), stream);
    timeout(PATIENCE, handshake).await.expect("the relay answers or closes")
}

/// Arrives through the balancer, from an address of the documentation networks.
async fn arrive_from(world: &World, source: &str) -> std::io::Result<Arrived> {
    let source: SocketAddr = source.parse().unwrap();
    arrive(world, &proxied::header(source, world.address)).await
}

#[tokio::test]
async fn behind_a_balancer_the_real_address_counts() {
    let limits = Limits { connections_per_address: 2, ..Limits::default() };
    let world = behind_a_balancer(limits, Deadlines::default()).await;

    let _first = arrive_from(&world, "192.0.2.1:1000").await.unwrap();
    let _second = arrive_from(&world, "192.0.2.1:1001").await.unwrap();
    let third = arrive_from(&world, "192.0.2.1:1002").await;
    let _other = arrive_from(&world, "192.0.2.2:1000").await.unwrap();

    assert!(third.is_err());
    world.until_metric(&arrivals("address_full"), 1.0).await;
    world.stop().await;
}

#[tokio::test]
async fn a_balancer_that_looks_whether_the_relay_lives_counts_for_itself() {
    let world = behind_a_balancer(Limits::default(), Deadlines::default()).await;
    let mut check = proxied::header(world.address, world.address);
    check[12] = 0x20;

    assert!(arrive(&world, &check).await.is_ok());

    world.until_metric(&arrivals("accepted"), 1.0).await;
    world.stop().await;
}

#[tokio::test]
async fn a_listed_balancer_must_say_who_connected_and_in_time() {
    let deadlines = Deadlines { tls_handshake: SHORT, ..Deadlines::default() };
    let world = behind_a_balancer(Limits::default(), deadlines).await;

    assert!(arrive(&world, b"").await.is_err(), "TLS at once is no header");
    assert!(arrive(&world, b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 443\r\n").await.is_err(), "nor is version 1");
    world.until_metric(&arrivals("proxy_header"), 2.0).await;

    let _silent = TcpStream::connect(world.address).await.unwrap();
    world.until_metric(&arrivals("proxy_timeout"), 1.0).await;
    world.stop().await;
}

#[tokio::test]
async fn from_anybody_else_the_header_is_not_tls() {
    let world = World::start().await;

    assert!(arrive_from(&world, "192.0.2.1:1000").await.is_err());

    world.until_metric(&arrivals("tls_failed"), 1.0).await;
    world.stop().await;
}

#[tokio::test]
async fn an_ipv6_48_is_bounded_as_a_whole() {
    let limits = Limits {
        connections_per_address: 2,
        connections_per_network: 3,
        accepts_per_second_per_address: 1,
        ..Limits::default()
    };
    let world = behind_a_balancer(limits, Deadlines::default()).await;
    let mut open = Vec::new();
    for host in 1..=3 {
        open.push(arrive_from(&world, &format!("[2001:db8:1:{host}::1]:1000")).await.unwrap());
    }

    assert!(arrive_from(&world, "[2001:db8:1:9::1]:1000").await.is_err());
    world.until_metric(&arrivals("network_full"), 1.0).await;
    let _other = arrive_from(&world, "[2001:db8:2:1::1]:1000").await.unwrap();
    drop(open);
    // Its burst is used up, so it is held to its rate now that it has places again.
    for host in 10..40 {
        drop(arrive_from(&world, &format!("[2001:db8:1:{host}::1]:1000")).await);
    }
    world.until_metric(&arrivals("network_rate"), 1.0).await;
    world.stop().await;
}

#[tokio::test]
async fn one_address_that_comes_and_goes_is_held_to_its_rate() {
    let limits = Limits { connections_per_address: 2, accepts_per_second_per_address: 1, ..Limits::default() };
    let world = with_limits(limits).await;

    for _ in 0..30 {
        drop(arrive(&world, b"").await);
    }

    world.until_metric(&arrivals("address_rate"), 1.0).await;
    world.stop().await;
}

#[tokio::test]
async fn all_together_are_held_to_a_rate() {
    let world = with_limits(Limits { accepts_per_second: 1, ..Limits::default() }).await;

    for _ in 0..20 {
        drop(arrive(&world, b"").await);
    }

    world.until_metric(&arrivals("rate"), 1.0).await;
    world.stop().await;
}

#[tokio::test]
async fn those_who_never_show_a_ticket_fill_their_own_places_only() {
    let world = with_limits(Limits { handshakes: 2, ..Limits::default() }).await;
    let (mut customer, mut operator) = world.pair(1).await;
    let _strangers =
        (arrive_by(&world, [127, 0, 0, 2]).await.unwrap(), arrive_by(&world, [127, 0, 0, 3]).await.unwrap());

    assert!(arrive(&world, b"").await.is_err());

    world.until_metric(&arrivals("handshakes_full"), 1.0).await;
    customer.send(Lane::Input, b"unharmed".to_vec()).await;
    assert_eq!(operator.next().await.unwrap().payload.as_ref(), b"unharmed");
    world.stop().await;
}

#[tokio::test]
async fn one_address_that_never_shows_a_ticket_leaves_places_to_the_others() {
    let world = with_limits(Limits { handshakes: 8, ..Limits::default() }).await;
    let mut strangers = Vec::new();
    while let Ok(stranger) = arrive_by(&world, [127, 0, 0, 2]).await {
        strangers.push(stranger);
        assert!(strangers.len() <= 8);
    }

    let _pair = world.pair(1).await;

    world.until_metric(&arrivals("address_handshakes"), 1.0).await;
    assert!(world.metric(&arrivals("handshakes_full")) < 1.0, "{} held places", strangers.len());
    world.stop().await;
}

#[tokio::test]
async fn the_last_places_are_for_tools_whose_session_is_here() {
    let world = with_limits(Limits { connections: 10, ..Limits::default() }).await;
    let mut seated = Vec::new();
    for session in 1..=9 {
        seated.push(world.join(Role::Customer, session).await);
    }

    let stranger = world.try_join(&world.side(Role::Customer, 99), 1).await;
    let second_side = world.try_join(&world.side(Role::Operator, 1), 1).await;

    assert_eq!(stranger.err(), Some(JoinError::Refused(CloseReason::Overloaded)));
    assert!(second_side.is_ok(), "the other side of a session that is here");
    assert!(world.metric(&overloaded("connections")) >= 1.0);
    world.stop().await;
}

#[tokio::test]
async fn a_full_table_of_sessions_is_counted_by_its_name() {
    let world = with_limits(Limits { sessions: 1, ..Limits::default() }).await;
    let _first = world.join(Role::Customer, 1).await;

    let second = world.try_join(&world.side(Role::Customer, 2), 1).await;

    assert_eq!(second.err(), Some(JoinError::Refused(CloseReason::Overloaded)));
    assert!(world.metric(&overloaded("sessions")) >= 1.0);
    world.stop().await;
}

#[tokio::test]
async fn above_the_memory_ceiling_nothing_begins_what_is_here_goes_on_and_it_recovers() {
    const BALLAST_LEN: usize = 256 * 1024 * 1024;
    let ceiling = relay::memory::used().unwrap() + 128 * 1024 * 1024;
    let world = with_limits(Limits { memory: Some(Bytes::new(ceiling)), handshakes: 100, ..Limits::default() }).await;
    let (mut customer, mut operator) = world.pair(1).await;
    let _waiting = world.join(Role::Customer, 2).await;

    // This process is the relay's, so what is filled here is filled there.
    let ballast = vec![1u8; BALLAST_LEN];
    let full = overloaded("memory");
    let mut session = 10;
    let refused = async {
        while world.metric(&full) < 1.0 {
            session += 1;
            drop(world.try_join(&world.side(Role::Customer, session), 1).await);
        }
    };
    timeout(PATIENCE, refused).await.expect("new sessions are refused in time");
    let stranger = world.try_join(&world.side(Role::Customer, 99), 1).await;
    assert_eq!(stranger.err(), Some(JoinError::Refused(CloseReason::Overloaded)));
    assert!(world.try_join(&world.side(Role::Operator, 2), 1).await.is_ok(), "its session is here");
    customer.send(Lane::Screen, b"goes on".to_vec()).await;
    assert_eq!(operator.next().await.unwrap().payload.as_ref(), b"goes on");
    // Few may still try at all.
    let mut trying = Vec::new();
    while let Ok(arrived) = arrive(&world, b"").await {
        trying.push(arrived);
        assert!(trying.len() <= 100);
    }
    world.until_metric(&arrivals("memory"), 1.0).await;
    drop((trying, ballast));

    let recovers = async {
        let mut pause = tokio::time::interval(Duration::from_millis(20));
        while arrive(&world, b"").await.is_err() || world.try_join(&world.side(Role::Customer, 98), 1).await.is_err() {
            pause.tick().await;
        }
    };
    timeout(PATIENCE, recovers).await.expect("new sessions begin again");
    world.stop().await;
}

#[tokio::test]
async fn an_address_that_shows_bad_tickets_is_held_to_a_rate() {
    let limits = Limits { verifications_per_second_per_address: 1, ..Limits::default() };
    let world = with_limits(limits).await;

    until_overloaded(&world, "address_verifications").await;

    world.stop().await;
}

#[tokio::test]
async fn bad_tickets_altogether_are_held_to_a_rate() {
    let world = with_limits(Limits { verifications_per_second: 1, ..Limits::default() }).await;

    until_overloaded(&world, "verifications").await;

    world.stop().await;
}

async fn until_overloaded(world: &World, bound: &str) {
    let Side { proof_key, .. } = world.side(Role::Customer, 1);
    let mut answers = Vec::new();
    for number in 0..20 {
        let joined = world.try_join_with(&format!("v4.public.{number}"), &proof_key, 1).await;
        answers.push(joined.err().unwrap());
    }
    assert_eq!(answers[0], JoinError::Refused(CloseReason::TicketUnknown));
    assert!(answers.contains(&JoinError::Refused(CloseReason::Overloaded)));
    assert!(world.metric(&overloaded(bound)) >= 1.0);
}

#[tokio::test]
async fn a_bad_ticket_that_comes_again_is_refused_without_a_look() {
    let world = World::start().await;
    let Side { proof_key, .. } = world.side(Role::Customer, 1);

    for _ in 0..3 {
        let joined = world.try_join_with("v4.public.nonsense", &proof_key, 1).await;
        assert_eq!(joined.err(), Some(JoinError::Refused(CloseReason::TicketUnknown)));
    }

    assert!((world.metric("relay_tickets_refused_again_total") - 2.0).abs() < 0.5);
    world.stop().await;
}
