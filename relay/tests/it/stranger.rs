//! What strangers send: garbage, nothing, too much, too slowly. Each ends in bounded time and is counted.

use bytes::Bytes;
use link::framed::write_frame;
use proto::{
    close::CloseReason,
    frame::{Frame, FrameType},
    hello::RelayWord,
    role::Role,
};
use relay::config::Deadlines;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::world::{PATIENCE, SHORT, Tool, World, refused};

async fn until_closed(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    // A reset is as good an end as a close.
    drop(timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("the relay closes"));
}

#[tokio::test]
async fn garbage_instead_of_tls_ends_at_once() {
    let world = World::start().await;
    let mut stream = TcpStream::connect(world.address).await.unwrap();

    stream.write_all(b"GET / HTTP/1.1\r\nHost: relay\r\n\r\n").await.unwrap();
    until_closed(&mut stream).await;

    world.until_metric("relay_connections_total{result=\"tls_failed\",transport=\"tcp\"}", 1.0).await;
    world.stop().await;
}

#[tokio::test]
async fn a_connection_that_says_nothing_ends_at_the_tls_deadline() {
    let world = World::start_hurried(Deadlines { tls_handshake: SHORT, ..Deadlines::default() }).await;
    let mut stream = TcpStream::connect(world.address).await.unwrap();

    until_closed(&mut stream).await;

    world.until_metric("relay_connections_total{result=\"tls_timeout\",transport=\"tcp\"}", 1.0).await;
    world.stop().await;
}

#[tokio::test]
async fn a_handshake_cut_in_the_middle_ends_at_once() {
    let world = World::start().await;
    let mut stream = TcpStream::connect(world.address).await.unwrap();

    stream.write_all(&[0x16, 3, 1, 2, 0, 1, 0]).await.unwrap();
    stream.shutdown().await.unwrap();
    until_closed(&mut stream).await;

    world.until_metric("relay_connections_total{result=\"tls_failed\",transport=\"tcp\"}", 1.0).await;
    world.stop().await;
}

#[tokio::test]
async fn tls_without_our_name_is_refused() {
    let world = World::start().await;
    let pin = link::tls::Pin::from_hex(&world.relay.spki()).unwrap();
    let mut config = link::tls::pinned_client_config(pin).unwrap();
    config.alpn_protocols.clear();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let stream = TcpStream::connect(world.address).await.unwrap();

    let mut stream = connector.connect("relay.invalid".try_into().unwrap(), stream).await.unwrap();
    let mut rest = Vec::new();
    drop(timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("the relay closes"));

    world.until_metric("relay_connections_total{result=\"wrong_alpn\",transport=\"tcp\"}", 1.0).await;
    world.stop().await;
}

#[tokio::test]
async fn a_tool_that_sees_another_key_than_the_pinned_one_does_not_connect() {
    let world = World::start().await;

    let dialed = link::tcp::dial(&world.address.to_string(), &"0".repeat(64)).await;

    assert!(dialed.is_err());
    world.until_metric("relay_connections_total{result=\"tls_failed\",transport=\"tcp\"}", 1.0).await;
    world.stop().await;
}

#[tokio::test]
async fn no_hello_in_time_is_refused() {
    let world = World::start_hurried(Deadlines { hello: SHORT, ..Deadlines::default() }).await;
    let mut tool = world.dial().await;

    assert_eq!(tool.last_word().await, Some(RelayWord::Refused(CloseReason::HelloTimeout)));
    assert!(world.metric(&refused(CloseReason::HelloTimeout)) >= 1.0);
    world.stop().await;
}

#[tokio::test]
async fn a_hello_that_drips_in_is_refused_at_the_same_deadline() {
    let world = World::start_hurried(Deadlines { hello: SHORT, ..Deadlines::default() }).await;
    let mut tool = world.dial().await;
    let mut drip = tokio::time::interval(std::time::Duration::from_millis(20));
    let dripping = async {
        let (reader, writer) = (&mut tool.connection.reader, &mut tool.connection.writer);
        let write = async {
            for byte in [0x01u8, 0, 0, 200, 0].into_iter().chain(std::iter::repeat(1)) {
                drip.tick().await;
                if writer.write_all(&[byte]).await.is_err() || writer.flush().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::select! {
            frame = reader.next() => frame.ok().flatten().and_then(|frame| RelayWord::parse(&frame.to_frame())),
            () = write => None,
        }
    };

    let word = timeout(PATIENCE, dripping).await.unwrap();

    assert_eq!(word, Some(RelayWord::Refused(CloseReason::HelloTimeout)));
    world.stop().await;
}

#[tokio::test]
async fn a_hello_cut_in_the_middle_is_counted() {
    let world = World::start().await;
    let mut tool = world.dial().await;

    tool.connection.writer.write_all(&[0x01, 0, 0, 200, 0, 1, 2, 3]).await.unwrap();
    tool.connection.writer.shutdown().await.unwrap();

    world.until_metric(&refused(CloseReason::TransportLost), 1.0).await;
    world.stop().await;
}

async fn assert_malformed(world: &World, mut tool: Tool, bytes: &[u8]) {
    tool.connection.writer.write_all(bytes).await.unwrap();
    tool.connection.writer.flush().await.unwrap();

    assert_eq!(tool.last_word().await, Some(RelayWord::Refused(CloseReason::Malformed)));
    assert!(world.metric(&refused(CloseReason::Malformed)) >= 1.0);
}

#[tokio::test]
async fn bytes_that_are_no_hello_are_refused_by_their_header() {
    let world = World::start().await;

    // A hello that says it is longer than any hello; nothing of it is waited for.
    assert_malformed(&world, world.dial().await, &[0x01, 0, 0, 0xFF, 0x7F]).await;
    // A type that does not exist.
    assert_malformed(&world, world.dial().await, &[0xEE; 64]).await;
    // A sealed frame before the hello.
    assert_malformed(&world, world.dial().await, &[0x11, 2, 0, 1, 0, 9]).await;
    // A hello that is too short.
    assert_malformed(&world, world.dial().await, &[0x01, 0, 0, 1, 0, 1]).await;
    world.stop().await;
}

#[tokio::test]
async fn a_hello_of_another_version_is_refused_as_such() {
    let world = World::start().await;
    let mut tool = world.dial().await;

    tool.connection.writer.write_all(&[0x01, 0, 0, 2, 0, 99, 0]).await.unwrap();
    tool.connection.writer.flush().await.unwrap();

    assert_eq!(tool.last_word().await, Some(RelayWord::Refused(CloseReason::WrongVersion)));
    world.stop().await;
}

#[tokio::test]
async fn a_half_open_tool_frees_its_place() {
    let world = World::start_hurried(Deadlines { peer: SHORT, ..Deadlines::default() }).await;
    let side = world.side(Role::Customer, 1);
    let (tool, _) = world.try_join(&side, 1).await.unwrap();

    // Reads nothing and says nothing any more, but its socket stays open.
    world.until("the session is over", |world| world.relay.sessions() == 0).await;

    drop(tool);
    world.stop().await;
}

#[tokio::test]
async fn an_admitted_tool_that_breaks_the_protocol_loses_its_seat_and_harms_nobody_else() {
    let world = World::start().await;
    let (mut good, mut other) = world.pair(1).await;
    let (mut bad, mut peer) = world.pair(2).await;

    let second_hello = Frame::plain(FrameType::Hello, Bytes::from_static(b"again")).unwrap();
    write_frame(&mut bad.connection.writer, second_hello).await.unwrap();

    assert_eq!(bad.last_word().await, Some(RelayWord::Refused(CloseReason::Malformed)));
    assert_eq!(peer.word().await, Some(RelayWord::PeerGone(CloseReason::Malformed)));
    good.send(proto::frame::Lane::Control, b"unharmed".to_vec()).await;
    assert_eq!(other.next().await.unwrap().payload.as_ref(), b"unharmed");
    world.stop().await;
}

#[tokio::test]
async fn a_flood_of_pings_ends_the_connection() {
    let world = World::start().await;
    let mut tool = world.join(Role::Customer, 1).await;
    let ping = Frame::plain(FrameType::Ping, Bytes::from_static(&[0; 8])).unwrap();

    for _ in 0..200 {
        if write_frame(&mut tool.connection.writer, ping.clone()).await.is_err() {
            break;
        }
    }

    assert_eq!(tool.last_word().await, Some(RelayWord::Refused(CloseReason::Malformed)));
    world.stop().await;
}
