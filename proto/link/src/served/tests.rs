//! Over loopback, with rustls as the tool.

use std::{
    io::{Read as _, Write as _},
    sync::atomic::Ordering,
    time::Duration,
};

use bytes::Bytes;
use proto::{
    frame::{Frame, FrameType, Lane},
    version,
};
use rustls::{ClientConnection, ServerConfig, sign::CertifiedKey};
use rustls_pki_types::PrivateKeyDer;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::TlsConnector;

use super::*;
use crate::{
    framed,
    tls::{self, Pin, pinned_client_config},
};

const PATIENCE: Duration = Duration::from_secs(10);

fn configs() -> (ServerConfig, rustls::ClientConfig) {
    let (server, client, _) = configs_and_pin();
    (server, client)
}

fn configs_and_pin() -> (ServerConfig, rustls::ClientConfig, Pin) {
    let made = rcgen::generate_simple_self_signed(["relay.invalid".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let crypto = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let certified = CertifiedKey::from_der(vec![made.cert.der().clone()], key, &crypto).unwrap();
    let mut server = ServerConfig::builder_with_provider(crypto)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)));
    server.alpn_protocols = vec![version::ALPN.to_vec()];
    let pin = Pin::of_certificate(made.cert.der()).unwrap();
    (server, pinned_client_config(pin).unwrap(), pin)
}

/// A tool's stream and the relay's end of it.
async fn pair() -> (tokio_rustls::client::TlsStream<TcpStream>, Box<Served>) {
    let (server, client) = configs();
    pair_with(server, client).await
}

async fn pair_with(
    server: ServerConfig,
    client: rustls::ClientConfig,
) -> (tokio_rustls::client::TlsStream<TcpStream>, Box<Served>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dial = async {
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let connector = TlsConnector::from(Arc::new(client));
        connector.connect("relay.invalid".try_into().unwrap(), stream).await.unwrap()
    };
    let serve = async { accept(listener.accept().await.unwrap().0, &server, PATIENCE).await.unwrap() };
    tokio::join!(dial, serve)
}

fn wire(len: usize) -> Bytes {
    framed::to_wire(&Frame::sealed(Lane::Screen, 0, Bytes::from(vec![7; len])).unwrap())
}

#[tokio::test]
async fn what_comes_with_the_end_of_the_handshake_is_not_lost() {
    let (server, client) = configs();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let accepted = tokio::spawn(async move { accept(listener.accept().await.unwrap().0, &server, PATIENCE).await });
    let mut tool = ClientConnection::new(Arc::new(client), "relay.invalid".try_into().unwrap()).unwrap();
    let mut bytes = Vec::new();
    tool.write_tls(&mut bytes).unwrap();
    for byte in &bytes {
        stream.write_all(&[*byte]).await.unwrap();
    }
    while tool.is_handshaking() {
        let mut read = [0; 1];
        stream.read_exact(&mut read).await.unwrap();
        tool.read_tls(&mut read.as_slice()).unwrap();
        tool.process_new_packets().unwrap();
    }
    for _ in 0..2 {
        tool.writer().write_all(&wire(20_000)).unwrap();
    }
    let mut bytes = Vec::new();
    while tool.wants_write() {
        tool.write_tls(&mut bytes).unwrap();
    }
    let last = bytes.pop().unwrap();
    stream.write_all(&bytes).await.unwrap();

    let mut served = accepted.await.unwrap().unwrap();
    assert_eq!(served.reader.next().await.unwrap().unwrap().wire, wire(20_000));
    stream.write_all(&[last]).await.unwrap();
    assert_eq!(served.reader.next().await.unwrap().unwrap().wire, wire(20_000));
    assert_eq!(served.exporter, tls::exporter(&tool).unwrap());
}

#[tokio::test]
async fn a_quiet_connection_holds_no_buffer() {
    let (mut tool, mut served) = pair().await;
    tool.write_all(&wire(30_000)).await.unwrap();
    tool.flush().await.unwrap();

    assert!(served.reader.next().await.unwrap().is_some());
    assert!(futures_util::poll!(std::pin::pin!(served.reader.fill())).is_pending());
    served.writer.send_all(&[wire(100)], PATIENCE).await.unwrap();

    assert_eq!((served.reader.part.capacity(), served.reader.plain.len()), (0, 0));
    assert_eq!((served.writer.rest.len(), served.writer.blocked_since()), (0, None));
}

#[tokio::test]
async fn a_tool_that_reads_slowly_gets_every_byte_and_one_that_does_not_is_stalled() {
    let (mut tool, mut served) = pair().await;
    let frame = wire(32_000);
    let mut sent = 0;
    while served.writer.blocked_since().is_none() {
        served.writer.send(std::slice::from_ref(&frame)).unwrap();
        sent += frame.len();
    }

    let stalled = served.writer.send_all(&[], Duration::from_millis(20)).await;
    assert_eq!(stalled.unwrap_err().kind(), io::ErrorKind::TimedOut);

    let read = async {
        let mut got = 0;
        let mut room = vec![0; 7_000];
        while got < sent {
            got += tool.read(&mut room).await.unwrap();
        }
        got
    };
    let (flushed, got) = tokio::join!(served.writer.send_all(&[], PATIENCE), read);
    flushed.unwrap();
    assert_eq!((got, served.writer.blocked_since()), (sent, None));
}

#[tokio::test]
async fn ends_are_told_apart() {
    let (mut tool, mut served) = pair().await;
    tool.write_all(&wire(5)).await.unwrap();
    tool.shutdown().await.unwrap();
    assert!(served.reader.next().await.unwrap().is_some());
    assert!(served.reader.next().await.unwrap().is_none(), "a goodbye is an end");

    let (tool, mut served) = pair().await;
    drop(tool.into_inner());
    let cut = served.reader.fill().await.unwrap_err();
    assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof);

    let (tool, mut served) = pair().await;
    let mut socket = tool.into_inner().0;
    socket
        .write_all(&[23, 3, 3, 0, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20])
        .await
        .unwrap();
    let forged = served.reader.fill().await.unwrap_err();
    assert_eq!(forged.kind(), io::ErrorKind::InvalidData);
    assert_eq!(served.reader.fill().await.unwrap_err().kind(), io::ErrorKind::InvalidData, "nothing follows");
}

#[tokio::test]
async fn a_key_that_the_tool_asks_for_comes_before_the_next_frame() {
    let (server, client) = configs();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tool = tokio::task::spawn_blocking(move || {
        let mut socket = std::net::TcpStream::connect(address).unwrap();
        let mut tool = ClientConnection::new(Arc::new(client), "relay.invalid".try_into().unwrap()).unwrap();
        while tool.is_handshaking() {
            tool.complete_io(&mut socket).unwrap();
        }
        tool.refresh_traffic_keys().unwrap();
        let mut stream = rustls::Stream::new(&mut tool, &mut socket);
        stream
            .write_all(&framed::to_wire(&Frame::plain(FrameType::Ping, Bytes::from_static(b"12345678")).unwrap()))
            .unwrap();
        let mut answer = vec![0; wire(300).len()];
        stream.read_exact(&mut answer).unwrap();
        answer
    });
    let mut served = accept(listener.accept().await.unwrap().0, &server, PATIENCE).await.unwrap();

    assert!(served.reader.next().await.unwrap().is_some());
    assert!(served.writer.asked.load(Ordering::Acquire));
    served.writer.send_all(&[wire(300)], PATIENCE).await.unwrap();

    assert_eq!(tool.await.unwrap(), wire(300));
    assert!(!served.writer.asked.load(Ordering::Acquire));
}

#[tokio::test]
async fn a_connection_goes_on_at_another_runtime_with_what_was_read_before() {
    let (mut tool, mut served) = pair().await;
    tool.write_all(&wire(9_000)).await.unwrap();
    tool.write_all(&wire(9_000)[..4_000]).await.unwrap();
    assert!(served.reader.next().await.unwrap().is_some());
    let (there, stop) = (tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(), Arc::default());
    let handle = there.handle().clone();
    let waits = Arc::<tokio::sync::Notify>::clone(&stop);
    let thread = std::thread::Builder::new().name("there".to_owned());
    let thread = thread.spawn(move || there.block_on(waits.notified())).unwrap();

    let mut served = served.move_to(&handle).unwrap();
    let echo = handle.spawn(async move {
        let frame = served.reader.next().await.unwrap().unwrap();
        served.writer.send_all(&[frame.wire], PATIENCE).await.unwrap();
    });
    tool.write_all(&wire(9_000)[4_000..]).await.unwrap();
    let mut answer = vec![0; wire(9_000).len()];
    tool.read_exact(&mut answer).await.unwrap();

    assert_eq!(answer, wire(9_000));
    echo.await.unwrap();
    stop.notify_one();
    thread.join().unwrap();
}

/// rustls changes its key by itself after 2^24 records under AES-GCM; here after ten, so that it happens.
fn hasty(suite: &'static rustls::Tls13CipherSuite) -> rustls::SupportedCipherSuite {
    let common = rustls::crypto::CipherSuiteCommon {
        suite: suite.common.suite,
        hash_provider: suite.common.hash_provider,
        confidentiality_limit: 10,
    };
    let hasty = rustls::Tls13CipherSuite { common, ..*suite };
    rustls::SupportedCipherSuite::Tls13(Box::leak(Box::new(hasty)))
}

#[tokio::test]
async fn a_tool_whose_key_has_sealed_enough_goes_on_with_a_new_one_in_both_directions() {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    for suite in rustls::crypto::aws_lc_rs::DEFAULT_CIPHER_SUITES.iter().filter_map(rustls::SupportedCipherSuite::tls13)
    {
        provider.cipher_suites = vec![hasty(suite)];
        let (server, _, pin) = configs_and_pin();
        let client = tls::client_config(pin, Arc::new(provider.clone())).unwrap();
        let (tool, served) = pair_with(server, client).await;
        let Served { mut reader, mut writer, .. } = *served;
        let (mut from_relay, mut to_relay) = tokio::io::split(tool);

        let speak = async {
            for number in 0..100 {
                to_relay.write_all(&wire(500 + number)).await.unwrap();
                to_relay.flush().await.unwrap();
            }
        };
        let echo = async {
            let mut rekeyed = 0;
            for number in 0..100 {
                let frame = reader.next().await.unwrap().unwrap();
                assert_eq!(frame.wire, wire(500 + number));
                rekeyed += u32::from(writer.asked.load(Ordering::Acquire));
                writer.send_all(&[frame.wire], PATIENCE).await.unwrap();
            }
            rekeyed
        };
        let hear = async {
            for number in 0..100 {
                let mut answer = vec![0; wire(500 + number).len()];
                from_relay.read_exact(&mut answer).await.unwrap();
                assert_eq!(answer, wire(500 + number));
            }
        };
        let ((), rekeyed, ()) = tokio::join!(speak, echo, hear);

        assert!(0 < rekeyed, "{:?} changed its key", suite.common.suite);
    }
}
