//! QUIC at a real relay: sessions over it, mixed with TCP, and what strangers do to it.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::Arc,
};

use bytes::Bytes;
use link::{
    framed::write_frame,
    join::{self, Admission},
    meet::{MeetError, Meeting, meet},
    quic,
    race::Dialer,
    sealed::SealedEvent,
    tls::Pin,
    transport::{Choice, Transport},
};
use ops::config::Span;
use proto::{
    close::CloseReason,
    frame::{Frame, FrameType, Lane},
    hello::RelayWord,
    limits::{FRAME_PAYLOAD_MAX, RELAY_QUEUE_MAX},
    message::Message,
    role::Role,
    version,
};
use relay::config::{Config, Deadlines};
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::world::{PATIENCE, SHORT, Tool, World, config, refused};

const WAYS: [(Transport, Transport); 3] =
    [(Transport::Quic, Transport::Quic), (Transport::Quic, Transport::Tcp), (Transport::Tcp, Transport::Quic)];

fn connections(result: &str) -> String {
    format!("relay_connections_total{{result=\"{result}\",transport=\"quic\"}}")
}

#[tokio::test]
async fn every_byte_arrives_in_both_directions_and_each_lane_in_order_whatever_carries_it() {
    let world = World::start().await;
    for (session, (customer, operator)) in (1..).zip(WAYS) {
        let (mut customer, mut operator) = world.pair_over(session, customer, operator).await;
        let sent: Vec<Frame> = (0..120usize).map(some_frame).collect();
        for from_customer in [true, false] {
            let (from, to) =
                if from_customer { (&mut customer, &mut operator) } else { (&mut operator, &mut customer) };
            let send = async {
                for frame in &sent {
                    write_frame(&mut from.connection.writer, frame.clone()).await.unwrap();
                }
            };
            let receive = async {
                let mut got = Vec::new();
                while got.len() < sent.len() {
                    got.push(to.next().await.unwrap());
                }
                got
            };
            let ((), got) = timeout(PATIENCE, async { tokio::join!(send, receive) }).await.unwrap();
            for lane in Lane::ALL {
                let of_lane = |frames: &[Frame]| -> Vec<Frame> {
                    frames.iter().filter(|frame| frame.lane == lane).cloned().collect()
                };
                assert!(of_lane(&got) == of_lane(&sent), "{lane:?} in session {session}");
            }
        }
    }
    assert!(world.metric(&connections("accepted")) >= 4.0);
    world.stop().await;
}

/// Frames of every lane and many lengths, the longest included.
fn some_frame(number: usize) -> Frame {
    let lane = Lane::ALL[number % 4];
    let len = if number.is_multiple_of(50) { FRAME_PAYLOAD_MAX } else { (number * 977) % 9_000 };
    let payload: Vec<u8> = (0..len).map(|place| u8::try_from((place * 31 + number * 7) % 251).unwrap()).collect();
    Frame::sealed(lane, 0, Bytes::from(payload)).unwrap()
}

fn meeting(world: &World, role: Role, transport: Transport, secret: &[u8]) -> Meeting {
    let side = world.side(role, 1);
    Meeting {
        role,
        pairing: world.pairing(&side, "introduction"),
        proof_key: Arc::clone(&side.proof_key),
        secret: Zeroizing::new(secret.to_vec()),
        renew: None,
        dialer: Dialer::new(Choice::Only(transport)),
    }
}

#[tokio::test]
async fn two_tools_meet_and_talk_whatever_carries_them() {
    let world = World::start().await;
    for (over, other) in WAYS {
        let (customer, operator) = tokio::join!(
            meet(meeting(&world, Role::Customer, over, b"3381")),
            meet(meeting(&world, Role::Operator, other, b"3381")),
        );
        let (customer, mut operator) = (customer.unwrap(), operator.unwrap());
        assert_eq!((customer.sender.transport(), operator.sender.transport()), (over, other));
        let picture = Message::Screen((0..3_000_000u32).map(|n| u8::try_from(n % 253).unwrap()).collect());

        customer.sender.send(picture.clone()).await.unwrap();
        assert!(timeout(PATIENCE, operator.receiver.recv()).await.unwrap() == SealedEvent::Message(picture));
        let mut receiver = customer.receiver;
        let (ended, ()) = tokio::join!(receiver.recv(), operator.sender.end(CloseReason::OperatorEnded));

        assert_eq!(ended, SealedEvent::Ended(CloseReason::OperatorEnded));
        world.until("the session is over", |world| world.relay.sessions() == 0).await;
    }
    world.stop().await;
}

#[tokio::test]
async fn a_wrong_secret_is_seen_by_both_over_quic() {
    let world = World::start().await;

    let (customer, operator) = tokio::join!(
        meet(meeting(&world, Role::Customer, Transport::Quic, b"3381")),
        meet(meeting(&world, Role::Operator, Transport::Quic, b"3382")),
    );

    assert_eq!((customer.err(), operator.err()), (Some(MeetError::WrongSecret), Some(MeetError::WrongSecret)));
    world.stop().await;
}

#[tokio::test]
async fn a_clean_goodbye_ends_the_session_and_a_cut_does_not() {
    let world = World::start().await;
    let (mut customer, mut operator) = world.pair_over(1, Transport::Quic, Transport::Tcp).await;
    customer.send(Lane::Screen, b"last picture".to_vec()).await;
    customer.connection.farewell().await;
    assert_eq!(operator.next().await.unwrap().payload.as_ref(), b"last picture");
    assert_eq!(operator.last_word().await, Some(RelayWord::PeerGone(CloseReason::CustomerEnded)));

    let (customer, mut operator) = world.pair_over(2, Transport::Quic, Transport::Quic).await;
    drop(customer);
    assert_eq!(operator.word().await, Some(RelayWord::PeerGone(CloseReason::PeerLost)));
    world.stop().await;
}

#[tokio::test]
async fn a_tool_that_reads_nothing_stalls_itself_and_nobody_else() {
    stalls_itself_only(Transport::Quic).await;
}

#[tokio::test]
async fn a_tool_that_reads_nothing_stalls_itself_and_nobody_else_over_tcp() {
    stalls_itself_only(Transport::Tcp).await;
}

async fn stalls_itself_only(transport: Transport) {
    let world = World::start_hurried(Deadlines { write_stall: Span::secs(1), ..Deadlines::default() }).await;
    let (mut other, mut others) = world.pair_over(2, transport, transport).await;
    let (customer, mut operator) = world.pair_over(1, transport, transport).await;
    let (mut reader, mut writer) = (customer.connection.reader, customer.connection.writer);

    // The operator reads nothing; what it says still arrives, and so does what others say.
    let flood = async {
        let frame = Frame::sealed(Lane::Screen, 0, Bytes::from(vec![5; FRAME_PAYLOAD_MAX])).unwrap();
        while write_frame(&mut writer, frame.clone()).await.is_ok() {}
        std::future::pending::<()>().await;
    };
    let meanwhile = async {
        for number in 0..20u8 {
            operator.send(Lane::Input, vec![number]).await;
            let frame = reader.next().await.unwrap().unwrap();
            assert_eq!(frame.payload().as_ref(), [number]);
            other.send(Lane::Screen, vec![number; 10_000]).await;
            assert_eq!(others.next().await.unwrap().payload.len(), 10_000);
            assert!(world.relay.queued_bytes() <= RELAY_QUEUE_MAX + FRAME_PAYLOAD_MAX);
        }
        loop {
            let frame = reader.next().await.unwrap().unwrap().to_frame();
            if let Some(word) = RelayWord::parse(&frame) {
                return word;
            }
        }
    };
    let word = timeout(PATIENCE, async {
        tokio::select! {
            word = meanwhile => word,
            () = flood => panic!("a flood does not end"),
        }
    });

    assert_eq!(word.await.unwrap(), RelayWord::PeerGone(CloseReason::WriteStalled));
    assert!(world.metric("relay_write_stalls_total") >= 1.0);
    other.send(Lane::Input, b"unharmed".to_vec()).await;
    assert_eq!(others.next().await.unwrap().payload.as_ref(), b"unharmed");
    world.stop().await;
}

#[tokio::test]
async fn a_tool_that_changes_its_address_goes_on() {
    let world = World::start().await;
    let endpoint = quic::endpoint(world.address).unwrap();
    let pin = Pin::from_hex(&world.relay.spki()).unwrap();
    let mut customer = quic::connect(&endpoint, world.address, "127.0.0.1", pin).await.unwrap();
    let side = world.side(Role::Customer, 1);
    let ticket = side.ticket.sign(&world.key).unwrap();
    let admission = Admission { ticket: &ticket, proof_key: &side.proof_key, generation: 1 };
    join::join(&mut customer, &admission).await.unwrap();
    let (mut operator, _) = world.join_over(&world.side(Role::Operator, 1), Transport::Tcp).await.unwrap();
    join::wait_for_peer(&mut customer).await.unwrap();

    endpoint.rebind(UdpSocket::bind("0.0.0.0:0").unwrap()).unwrap();
    let moved = Frame::sealed(Lane::Screen, 0, Bytes::from(vec![1; 20_000])).unwrap();
    write_frame(&mut customer.writer, moved.clone()).await.unwrap();
    assert!(operator.next().await.unwrap() == moved);
    operator.send(Lane::Input, b"key".to_vec()).await;
    let heard = timeout(PATIENCE, customer.reader.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(heard.payload().as_ref(), b"key");

    let ping = Frame::plain(FrameType::Ping, Bytes::from_static(b"12345678")).unwrap();
    write_frame(&mut customer.writer, ping).await.unwrap();
    world.until_metric("relay_migrations_total", 1.0).await;
    world.stop().await;
}

#[tokio::test]
async fn a_draining_relay_sends_quic_tools_on_and_leaves() {
    let world = World::start().await;
    let (mut customer, mut operator) = world.pair_over(1, Transport::Quic, Transport::Quic).await;
    let (mut waiting, _) = world.join_over(&world.side(Role::Customer, 2), Transport::Quic).await.unwrap();

    world.shutdown.drain();

    assert_eq!(waiting.last_word().await, Some(RelayWord::Refused(CloseReason::Draining)));
    assert_eq!(operator.next().await.unwrap().kind, FrameType::Goaway);
    customer.send(Lane::Screen, b"work goes on".to_vec()).await;
    assert_eq!(operator.next().await.unwrap().payload.as_ref(), b"work goes on");
    customer.connection.farewell().await;
    assert_eq!(operator.last_word().await, Some(RelayWord::PeerGone(CloseReason::CustomerEnded)));
    drop((operator, waiting, customer));
    timeout(PATIENCE, world.serving).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_relay_that_is_forced_to_stop_says_so_over_quic() {
    let world = World::start().await;
    let (mut customer, mut operator) = world.pair_over(1, Transport::Quic, Transport::Quic).await;

    world.shutdown.force();

    let word = Some(RelayWord::Refused(CloseReason::RelayStopped));
    let (first, second) = tokio::join!(customer.last_word(), operator.last_word());
    assert_eq!((first, second), (word, word));
    drop((customer, operator));
    timeout(PATIENCE, world.serving).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn no_hello_in_time_and_no_handshake_in_time_are_counted() {
    let deadlines = Deadlines { hello: SHORT, tls_handshake: SHORT, ..Deadlines::default() };
    let world = World::start_hurried(deadlines).await;
    let mut tool = world.dial_over(Transport::Quic).await;
    half_open(world.address, 1).await;

    assert_eq!(tool.last_word().await, Some(RelayWord::Refused(CloseReason::HelloTimeout)));
    assert!(world.metric(&refused(CloseReason::HelloTimeout)) >= 1.0);
    world.until_metric(&connections("tls_timeout"), 1.0).await;
    world.stop().await;
}

#[tokio::test]
async fn streams_that_are_not_one_for_each_lane_and_another_name_are_counted() {
    let world = World::start().await;
    let pin = Pin::from_hex(&world.relay.spki()).unwrap();
    let client = |alpn: &[u8]| {
        let mut tls = link::tls::pinned_client_config(pin).unwrap();
        tls.alpn_protocols = vec![alpn.to_vec()];
        let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls).unwrap();
        quinn::ClientConfig::new(Arc::new(crypto))
    };
    let endpoint = quic::endpoint(world.address).unwrap();
    let dial = |alpn| endpoint.connect_with(client(alpn), world.address, "127.0.0.1").unwrap();

    let stranger = dial(version::ALPN).await.unwrap();
    let mut streams = Vec::new();
    for lane in [0, 0] {
        let (mut send, receive) = stranger.open_bi().await.unwrap();
        send.write_all(&[lane]).await.unwrap();
        streams.push((send, receive));
    }
    timeout(PATIENCE, stranger.closed()).await.expect("the relay closes");
    world.until_metric(&connections("wrong_streams"), 1.0).await;

    assert!(timeout(PATIENCE, dial(b"h3")).await.unwrap().is_err());
    world.until_metric(&connections("wrong_alpn"), 1.0).await;
    world.stop().await;
}

#[tokio::test]
async fn a_frame_that_is_longer_than_a_hello_is_refused_before_there_was_one() {
    let world = World::start().await;
    let mut tool = world.dial_over(Transport::Quic).await;
    let long = Frame::plain(FrameType::Hello, Bytes::from(vec![1; 2_000])).unwrap();

    write_frame(&mut tool.connection.writer, long).await.unwrap();

    assert_eq!(tool.last_word().await, Some(RelayWord::Refused(CloseReason::Malformed)));
    world.stop().await;
}

#[tokio::test]
async fn a_flood_of_half_open_handshakes_is_asked_for_proof_and_tools_still_come_in() {
    // Long enough that none of them makes room for another.
    let deadlines = Deadlines { tls_handshake: Span::secs(60), ..Deadlines::default() };
    let world = World::start_hurried(deadlines).await;
    let (sent, received) = half_open(world.address, quic::limits::UNPROVED_MAX + 20).await;

    world.until_metric(&connections("asked_for_proof"), 1.0).await;
    let (mut customer, mut operator) = world.pair_over(1, Transport::Quic, Transport::Quic).await;
    customer.send(Lane::Input, b"in".to_vec()).await;

    assert_eq!(operator.next().await.unwrap().payload.as_ref(), b"in");
    assert!(received <= 3 * sent, "{received} bytes to somebody who sent {sent}");
    world.stop().await;
}

#[tokio::test]
async fn a_relay_may_ask_everybody_for_a_proof() {
    let world = World::start_with(Config { quic_retry_always: true, ..config() }).await;

    world.pair_over(1, Transport::Quic, Transport::Quic).await;

    assert!(world.metric(&connections("asked_for_proof")) >= 2.0);
    assert!(world.metric(&connections("accepted")) >= 2.0);
    world.stop().await;
}

#[tokio::test]
async fn sources_are_limited_over_quic_as_over_tcp() {
    let mut limited = config();
    limited.limits.connections_per_address = 2;
    let world = World::start_with(limited).await;
    let _pair = world.pair_over(1, Transport::Tcp, Transport::Quic).await;

    let third = Dialer::new(Choice::Only(Transport::Quic)).dial(&world.relay_address()).await;

    assert!(third.is_err());
    assert!(world.metric(&connections("address_full")) >= 1.0);
    world.stop().await;
}

#[tokio::test]
async fn a_tool_that_gets_no_answer_over_udp_goes_on_by_tcp_and_remembers() {
    let world = World::start_with(Config { quic: false, ..config() }).await;
    let dialer = Dialer::new(Choice::Auto);

    for _ in 0..2 {
        let connection = timeout(PATIENCE, dialer.dial(&world.relay_address())).await.unwrap().unwrap();
        assert_eq!(connection.transport, Transport::Tcp);
    }
    world.stop().await;
}

#[tokio::test]
async fn where_both_work_quic_is_taken() {
    let world = World::start().await;

    let connection = Dialer::new(Choice::Auto).dial(&world.relay_address()).await.unwrap();

    assert_eq!(connection.transport, Transport::Quic);
    drop(Tool { connection });
    world.stop().await;
}

/// Begins `count` handshakes and finishes none: sends the first packets of real ones, from one socket, and answers
/// nothing. Gives the bytes that were sent, and those that came back in a moment.
async fn half_open(relay: SocketAddr, count: usize) -> (usize, usize) {
    let stage = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let flood = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let nowhere = stage.local_addr().unwrap();
    let pin = Pin::from_hex(&"0".repeat(64)).unwrap();
    let mut sent = 0;
    let mut packet = vec![0; 2_048];
    for _ in 0..count {
        let endpoint = quic::endpoint(nowhere).unwrap();
        let port = endpoint.local_addr().unwrap().port();
        let dialing =
            tokio::spawn(async move { quic::connect(&endpoint, nowhere, "relay.invalid", pin).await.is_ok() });
        // A hello with the hybrid key exchange fills two packets. What others say when they are given up is not passed on.
        let mut passed = 0;
        while passed < 2 {
            let (len, from) = timeout(PATIENCE, stage.recv_from(&mut packet)).await.unwrap().unwrap();
            if from.port() == port {
                sent += flood.send_to(&packet[..len], relay).await.unwrap();
                passed += 1;
            }
        }
        dialing.abort();
    }
    let mut received = 0;
    while let Ok(Ok(len)) = timeout(std::time::Duration::from_millis(300), flood.recv(&mut packet)).await {
        received += len;
    }
    (sent, received)
}
