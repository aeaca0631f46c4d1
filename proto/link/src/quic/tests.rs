//! Both ends over loopback, and strangers that break the rules of the streams.

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use proto::{
    frame::{Frame, FrameError, FrameType},
    limits::FRAME_PAYLOAD_MAX,
    version,
};
use quinn::Endpoint;
use rustls::{ServerConfig, crypto::aws_lc_rs, sign::CertifiedKey};
use rustls_pki_types::PrivateKeyDer;
use tokio::{io::AsyncWriteExt as _, task::JoinHandle, time::timeout};

use super::{
    served::{AcceptError, Listener, Served},
    *,
};
use crate::{
    framed::{ReadError, to_wire, write_frame},
    line::Told,
    stall::Stalling,
    tcp::{AnyStream, Connection, DialError},
    tls::Pin,
};

const PATIENCE: Duration = Duration::from_secs(10);
const HOST: &str = "relay.invalid";

struct World {
    listener: Listener,
    endpoint: Endpoint,
    pin: Pin,
}

/// A tool that does as it likes. Its streams are neither finished nor stopped as long as it lives.
struct Raw {
    connection: quinn::Connection,
    _streams: Vec<(quinn::SendStream, quinn::RecvStream)>,
}

type Tool = Connection<Stalling<LaneIo>>;

impl World {
    fn new() -> Self {
        Self::with(|_config| {})
    }

    /// With a change to the relay's TLS.
    fn with(change: impl FnOnce(&mut ServerConfig)) -> Self {
        let (mut server, pin) = certified();
        change(&mut server);
        let listener = Listener::new(UdpSocket::bind("127.0.0.1:0").unwrap(), &server).unwrap();
        let endpoint = endpoint(listener.local_addr().unwrap()).unwrap();
        Self { listener, endpoint, pin }
    }

    async fn accept(&self) -> Result<Served, AcceptError> {
        self.listener.next().await.unwrap().let_in(PATIENCE).await
    }

    async fn dial(&self) -> Result<Tool, DialError> {
        connect(&self.endpoint, self.listener.local_addr().unwrap(), HOST, self.pin).await
    }

    async fn pair(&self) -> (Tool, Served) {
        let (tool, served) = tokio::join!(self.dial(), self.accept());
        (tool.unwrap(), served.unwrap())
    }

    /// A tool that opens streams as it likes, and what the relay makes of it.
    async fn raw(&self, openings: &[&[u8]]) -> (Raw, Result<Served, AcceptError>) {
        let address = self.listener.local_addr().unwrap();
        let tool = async {
            let config = config::client(self.pin).unwrap();
            let connection = self.endpoint.connect_with(config, address, HOST).unwrap().await.unwrap();
            let mut streams = Vec::new();
            for opening in openings {
                let (mut send, receive) = connection.open_bi().await.unwrap();
                send.write_all(opening).await.unwrap();
                streams.push((send, receive));
            }
            Raw { connection, _streams: streams }
        };
        tokio::join!(tool, self.accept())
    }
}

/// A tool and a relay, and what carries packets between them: one address that the tool knows the relay by. When it
/// ends, that address is gone without a word, as that of a killed relay.
struct Front {
    _world: World,
    tool: Connection<AnyStream>,
    served: Served,
    /// Another handle of the tool's socket.
    socket: UdpSocket,
    address: SocketAddr,
    carrier: JoinHandle<()>,
}

impl Front {
    async fn new() -> Self {
        let world = World::new();
        let front = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (relay, address) = (world.listener.local_addr().unwrap(), front.local_addr().unwrap());
        let carrier = tokio::spawn(async move {
            let (mut tool, mut packet) = (relay, [0; 2048]);
            loop {
                let (len, from) = front.recv_from(&mut packet).await.unwrap();
                if from != relay {
                    tool = from;
                }
                let to = if from == relay { tool } else { relay };
                front.send_to(&packet[..len], to).await.unwrap();
            }
        });
        let own = dial::socket(address).unwrap();
        let socket = own.try_clone().unwrap();
        let dialing = dial::connect_from(own, address, HOST, world.pin);
        let (tool, served) = tokio::join!(dialing, world.accept());
        Self { tool: tool.unwrap(), served: served.unwrap(), _world: world, socket, address, carrier }
    }

    /// The tool says something, and the relay hears it.
    async fn passes(&mut self) {
        write_frame(&mut self.tool.writer, ping()).await.unwrap();
        let heard = timeout(PATIENCE, self.served.reader.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(heard.to_frame(), ping());
    }
}

/// TLS of a relay with a certificate of its own, and the pin of that.
fn certified() -> (ServerConfig, Pin) {
    let made = rcgen::generate_simple_self_signed([HOST.to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let crypto = Arc::new(aws_lc_rs::default_provider());
    let certified = CertifiedKey::from_der(vec![made.cert.der().clone()], key, &crypto).unwrap();
    let mut server = ServerConfig::builder_with_provider(crypto)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)));
    server.alpn_protocols = vec![version::ALPN.to_vec()];
    (server, Pin::of_certificate(made.cert.der()).unwrap())
}

fn frame(lane: Lane, len: usize, fill: u8) -> Frame {
    Frame::sealed(lane, 0, Bytes::from(vec![fill; len])).unwrap()
}

fn ping() -> Frame {
    Frame::plain(FrameType::Ping, Bytes::from_static(b"12345678")).unwrap()
}

#[tokio::test]
async fn a_relay_that_stops_after_the_handshake_is_given_up_whatever_step_it_stops_at() {
    let none = VarInt::from_u32(0);
    let steps: [fn(&mut quinn::TransportConfig, VarInt); 2] = [
        |transport, none| {
            transport.max_concurrent_bidi_streams(none);
        },
        |transport, none| {
            transport.stream_receive_window(none);
        },
    ];
    for step in steps {
        let (tls, pin) = certified();
        let mut transport = quinn::TransportConfig::default();
        step(&mut transport, none);
        let mut server = config::server(&tls).unwrap();
        server.transport_config(Arc::new(transport));
        let relay = Endpoint::server(server, ([127, 0, 0, 1], 0).into()).unwrap();
        let address = relay.local_addr().unwrap();
        let tool = endpoint(address).unwrap();

        let patience = Duration::from_millis(500);
        let dialing = dial::open_within(patience, &tool, address, HOST, pin);
        let shakes_hands = async { relay.accept().await.unwrap().await };
        let (dialed, shaken) = timeout(PATIENCE, async { tokio::join!(dialing, shakes_hands) }).await.unwrap();

        assert!(matches!(dialed.err(), Some(DialError::Timeout)));
        drop(shaken);
    }
}

#[tokio::test]
async fn every_lane_arrives_in_order_and_whole_in_both_directions() {
    let world = World::new();
    let (mut tool, mut served) = world.pair().await;
    served.reader.admit();
    let frames: Vec<_> = (0..200usize)
        .map(|n| frame(Lane::ALL[n % 4], if n % 50 == 0 { FRAME_PAYLOAD_MAX } else { n * 131 % 9_000 }, 7))
        .collect();
    let of_lane = |frames: &[Frame], lane| frames.iter().filter(|f| f.lane == lane).cloned().collect::<Vec<_>>();

    let (up, down) = (frames.clone(), frames.clone());
    let send_up = async {
        for frame in up {
            write_frame(&mut tool.writer, frame).await.unwrap();
        }
    };
    let send_down = async {
        for frame in down {
            served.writer.send_all(&[to_wire(&frame)], PATIENCE).await.unwrap();
        }
    };
    let receive_up = async {
        let mut got = Vec::new();
        while got.len() < frames.len() {
            got.push(served.reader.next().await.unwrap().unwrap().to_frame());
        }
        got
    };
    let receive_down = async {
        let mut got = Vec::new();
        while got.len() < frames.len() {
            got.push(tool.reader.next().await.unwrap().unwrap().to_frame());
        }
        got
    };
    let all = async { tokio::join!(send_up, send_down, receive_up, receive_down) };
    let ((), (), up, down) = timeout(PATIENCE, all).await.unwrap();

    for lane in Lane::ALL {
        assert!(of_lane(&up, lane) == of_lane(&frames, lane), "{lane:?} up");
        assert!(of_lane(&down, lane) == of_lane(&frames, lane), "{lane:?} down");
    }
    assert_eq!(tool.exporter, served.exporter, "a proof is bound to the same");
}

#[tokio::test]
async fn both_ends_agree_on_keys_that_a_quantum_computer_does_not_find() {
    let hybrid_only = |config: &mut ServerConfig| {
        let mut crypto = aws_lc_rs::default_provider();
        crypto.kx_groups = vec![aws_lc_rs::kx_group::X25519MLKEM768];
        let certificates = Arc::clone(&config.cert_resolver);
        *config = ServerConfig::builder_with_provider(Arc::new(crypto))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(certificates);
        config.alpn_protocols = vec![version::ALPN.to_vec()];
    };

    World::with(hybrid_only).pair().await;
}

#[tokio::test]
async fn a_relay_with_another_key_is_not_connected_to() {
    let world = World { pin: Pin::from_hex(&"0".repeat(64)).unwrap(), ..World::new() };

    let (dialed, accepted) = tokio::join!(world.dial(), world.accept());

    assert!(matches!(dialed.err(), Some(DialError::Failed(_))));
    assert!(matches!(accepted.err(), Some(AcceptError::Failed(_))));
}

#[tokio::test]
async fn a_tool_of_another_protocol_is_not_let_in() {
    let world = World::with(|config| config.alpn_protocols = vec![b"other".to_vec()]);

    let (dialed, accepted) = tokio::join!(world.dial(), world.accept());

    assert!(dialed.is_err());
    assert!(matches!(accepted.err(), Some(AcceptError::Alpn)));
}

#[tokio::test]
async fn streams_that_are_not_one_for_each_lane_are_refused() {
    let world = World::new();
    for openings in [&[&[0u8][..], &[1], &[2], &[2]], &[&[0], &[1], &[2], &[4]], &[&[0], &[1], &[0xFF], &[3]]] {
        let (Raw { connection, _streams }, accepted) = world.raw(openings).await;
        assert!(matches!(accepted.err(), Some(AcceptError::Streams)), "{openings:?}");
        assert!(matches!(connection.closed().await, quinn::ConnectionError::ApplicationClosed(_)));
    }
}

#[tokio::test]
async fn lanes_may_be_opened_in_any_order_and_a_fifth_stream_never() {
    let world = World::new();
    let (Raw { connection, _streams }, accepted) = world.raw(&[&[3], &[1], &[0], &[2]]).await;
    let mut served = accepted.unwrap();

    // The streams of this end are done with; that makes no room for others.
    served.writer.close().unwrap();
    let fifth = timeout(Duration::from_millis(200), connection.open_bi()).await;

    assert!(fifth.is_err(), "a fifth stream is never allowed");
    assert!(timeout(Duration::from_millis(50), connection.open_uni()).await.is_err());
    assert_eq!(connection.max_datagram_size(), None);
}

#[tokio::test]
async fn a_frame_on_the_stream_of_another_lane_is_refused() {
    let world = World::new();
    for (stream, wrong) in [(0, frame(Lane::Screen, 3, 1)), (1, frame(Lane::Screen, 3, 1)), (2, ping())] {
        let mut openings: Vec<Vec<u8>> = (0..4).map(|lane| vec![lane]).collect();
        openings[stream].extend_from_slice(&to_wire(&wrong));
        let openings: Vec<&[u8]> = openings.iter().map(Vec::as_slice).collect();

        let (_tool, accepted) = world.raw(&openings).await;
        let read = timeout(PATIENCE, accepted.unwrap().reader.next()).await.unwrap();

        assert!(matches!(read, Err(ReadError::Malformed(FrameError::Lane(lane))) if lane == wrong.lane.code()));
    }
}

#[tokio::test]
async fn a_frame_that_is_too_long_is_refused_by_its_header() {
    let world = World::new();
    let (_tool, accepted) = world.raw(&[&[0, 1, 0, 0, 0, 9], &[1], &[2], &[3]]).await;
    let mut served = accepted.unwrap();
    served.reader.set_payload_max(1125);

    let read = timeout(PATIENCE, served.reader.next()).await.unwrap();

    assert!(matches!(read, Err(ReadError::Malformed(FrameError::Length(2304)))));
}

#[tokio::test]
async fn a_stranger_fills_no_more_than_the_window_of_strangers() {
    let world = World::new();
    let (mut tool, served) = world.pair().await;
    let mut taken = 0u32;

    while timeout(Duration::from_millis(300), write_frame(&mut tool.writer, frame(Lane::Bulk, 4096, 1))).await.is_ok() {
        taken += 4096;
        assert!(taken < 1 << 20);
    }

    // Handshake and acknowledgements are a few packets more.
    let came = served.reader.bytes_received();
    assert!(came <= u64::from(limits::STRANGER_WINDOW) + 16 * 1024, "{came}");
}

#[tokio::test]
async fn a_tool_that_reads_nothing_stops_the_writer_within_bounds() {
    let world = World::new();
    let (tool, mut served) = world.pair().await;
    let mut given = 0u64;

    let stalled = loop {
        let batch = vec![to_wire(&frame(Lane::Screen, 32 * 1024, 1)); 4];
        given += 4 * 32 * 1024;
        match served.writer.send_all(&batch, Duration::from_millis(500)).await {
            Ok(()) => assert!(given < 16 << 20),
            Err(error) => break error,
        }
    };

    assert_eq!(stalled.kind(), io::ErrorKind::TimedOut);
    assert!(served.writer.blocked_since().is_some());
    let bound = u64::from(limits::TOOL_STREAM_WINDOW) + limits::RELAY_SEND_WINDOW + 4 * 32 * 1024 + 64 * 1024;
    assert!(given <= bound, "{given} of {bound}");
    // Another lane passes.
    served.writer.send(&[to_wire(&frame(Lane::Input, 3, 9))]).unwrap();
    let mut reader = tool.reader;
    let mut before = 0;
    while timeout(PATIENCE, reader.next()).await.unwrap().unwrap().unwrap().header.lane != Lane::Input {
        before += 1;
        // What is there already is read without a wait, and the connection's own tasks need their turn.
        tokio::task::yield_now().await;
    }
    assert!(before < 40, "{before} frames of the 64 that stood in front");
}

#[tokio::test]
async fn a_tool_that_gets_another_address_stays_connected() {
    let world = World::new();
    let (mut tool, mut served) = world.pair().await;
    let before = served.reader.address();

    world.endpoint.rebind(UdpSocket::bind("0.0.0.0:0").unwrap()).unwrap();
    write_frame(&mut tool.writer, ping()).await.unwrap();
    let heard = timeout(PATIENCE, served.reader.next()).await.unwrap().unwrap().unwrap();
    served.writer.send(&[to_wire(&frame(Lane::Screen, 50_000 % 32_000, 4))]).unwrap();
    let answered = timeout(PATIENCE, tool.reader.next()).await.unwrap().unwrap().unwrap();

    assert_eq!(heard.to_frame(), ping());
    assert_eq!(answered.header.lane, Lane::Screen);
    assert_ne!(served.reader.address(), before);
}

/// Only Linux tells a socket that is not tied to one address; elsewhere silence ends the wait, much later.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_relay_that_is_gone_without_a_word_is_noticed_by_what_its_system_answers() {
    assert!(PATIENCE < proto::limits::SILENCE_TIMEOUT, "or silence would do");
    let mut front = Front::new().await;
    front.passes().await;

    front.carrier.abort();
    assert!(front.carrier.await.unwrap_err().is_cancelled());
    write_frame(&mut front.tool.writer, ping()).await.unwrap();
    let read = timeout(PATIENCE, front.tool.reader.next()).await.unwrap();

    assert!(matches!(read, Err(ReadError::Broken(_))), "{read:?}");
}

#[tokio::test]
async fn a_line_over_quic_knows_that_what_is_sent_arrives() {
    let mut front = Front::new().await;
    let answers = async {
        while front.tool.line.told() != Told::Answers {
            front.passes().await;
        }
    };

    timeout(PATIENCE, answers).await.unwrap();
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn where_nobody_listens_a_dial_fails_at_once() {
    for any in ["127.0.0.1:0", "[::1]:0"] {
        let Ok(socket) = UdpSocket::bind(any) else { continue };
        let nobody = socket.local_addr().unwrap();
        drop(socket);

        let dialed = connect_any(nobody, HOST, Pin::from_hex(&"0".repeat(64)).unwrap()).await;

        let Err(DialError::Failed(cause)) = dialed.map(drop) else { panic!("{any}: not refused") };
        assert_eq!(cause.kind(), io::ErrorKind::ConnectionRefused);
    }
}

#[tokio::test]
async fn what_the_network_says_about_other_packets_cuts_no_connection() {
    let mut front = Front::new().await;
    let nobody = {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap()
    };
    for _ in 0..8 {
        // Refused, but not by the relay; and too long for the way to it. The library's packets may be in between.
        drop(front.socket.send_to(b"anybody?", nobody));
        let too_long = front.socket.send_to(&vec![0; 65_507], front.address);
        assert!(too_long.is_err(), "every network refuses that");
        front.passes().await;
    }
}

#[tokio::test]
async fn a_goodbye_is_told_from_a_cut() {
    let world = World::new();
    let (mut tool, mut served) = world.pair().await;
    served.reader.admit();
    write_frame(&mut tool.writer, frame(Lane::Screen, 30_000, 1)).await.unwrap();
    tool.writer.shutdown().await.unwrap();
    assert!(served.reader.next().await.unwrap().is_some(), "what was said before is heard");
    assert!(matches!(served.reader.next().await, Ok(None)));

    let (tool, mut served) = world.pair().await;
    drop(tool);
    assert!(matches!(timeout(PATIENCE, served.reader.next()).await.unwrap(), Err(ReadError::Broken(_))));
}

#[tokio::test]
async fn a_last_word_of_the_relay_arrives_before_the_end() {
    let world = World::new();
    let (mut tool, mut served) = world.pair().await;

    served.writer.send(&[to_wire(&ping())]).unwrap();
    let goodbye = tokio::spawn(async move { timeout(PATIENCE, served.farewell()).await });

    assert_eq!(tool.reader.next().await.unwrap().unwrap().to_frame(), ping());
    assert!(matches!(tool.reader.next().await, Ok(None)));
    drop(tool);
    goodbye.await.unwrap().unwrap();
}
