//! A capture of one whole session's traffic holds TLS and QUIC and nothing else, and not one canary.
//!
//! Needs the right to capture (root); says so and checks nothing else where that is missing.
//! The judges have a test of their own: a plain text is neither TLS nor QUIC.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test stops at the first surprise")]

use std::{collections::BTreeMap, path::Path, process::Stdio, time::Duration};

use loadtest::{
    desktop::{Desktop, pause},
    stage::{PATIENCE, Stage, Ways},
    tool::Way,
    world::World,
};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
    time::timeout,
};

#[tokio::test]
async fn everything_between_tools_and_servers_is_tls_when_tcp_carries_the_session() {
    let captured = capture_a_session("tcp").await;
    let Some((tcp, udp)) = captured else { return };

    assert!(12 <= tcp.len(), "only {} directions were captured", tcp.len());
    assert_eq!(udp.len(), 0);
    assert_all_tls(&tcp);
}

#[tokio::test]
async fn everything_between_tools_and_servers_is_tls_or_quic_when_quic_carries_the_session() {
    let Some((tcp, udp)) = capture_a_session("quic").await else { return };

    assert!(8 <= tcp.len(), "only {} directions were captured", tcp.len());
    assert_all_tls(&tcp);
    assert!(20 <= udp.len(), "only {} datagrams were captured", udp.len());
    for datagram in &udp {
        assert!(is_quic(datagram), "not QUIC: {:02x?}", &datagram[..datagram.len().min(32)]);
    }
    let sealed: Vec<u8> = udp.iter().filter(|datagram| is_short(datagram)).flat_map(|d| d[9..].to_vec()).collect();
    assert!(10_000 <= sealed.len(), "only {} bytes were captured", sealed.len());
    assert!(looks_random(&sealed), "what stands in the datagrams is not sealed");
}

fn assert_all_tls(streams: &BTreeMap<Direction, Vec<u8>>) {
    for (direction, stream) in streams {
        assert!(is_tls(stream), "{direction:?} is not TLS: {:02x?}", &stream[..stream.len().min(32)]);
    }
}

/// A whole session over this transport: the TCP streams and the UDP datagrams of it; `None` without the right to capture.
async fn capture_a_session(transport: &'static str) -> Option<(BTreeMap<Direction, Vec<u8>>, Vec<Vec<u8>>)> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("session.pcap");
    let world = World::start().await.unwrap();
    let ports = [world.account().manager.as_str(), &world.relays()[0].address.to_string()]
        .map(|address| address.rsplit(':').next().unwrap().to_owned());
    let filter = format!("port {} or port {}", ports[0], ports[1]);
    let Some(mut capture) = start_capture(&file, &filter).await else {
        eprintln!("no right to capture: run as root to check this");
        world.stop().await.unwrap();
        return None;
    };
    let desktop = Desktop::start(640, 480, &world.folder().join("desktop")).await.unwrap();
    let ways = Ways { operator: Way::only(transport), client: Way::only(transport) };
    let mut stage = Stage::connect_by(&ways, world, desktop).await.unwrap();
    let typed = "canary-on-the-wire-2718281828";
    stage.operator.ask(json!({"do": "text", "text": typed}), "sent", PATIENCE).await.unwrap();
    stage.end().await.unwrap();
    // tcpdump writes when its buffer is handed over; it is told to do so packet by packet (-U).
    pause(Duration::from_millis(300)).await;
    loadtest::process::signal_pid(capture.id().unwrap(), rustix::process::Signal::INT);
    capture.wait().await.unwrap();

    let bytes = std::fs::read(&file).unwrap();
    assert!(!bytes.windows(typed.len()).any(|window| window == typed.as_bytes()));
    Some(parted(&bytes))
}

#[test]
fn a_plain_text_is_neither_tls_nor_quic() {
    let record = [&[23, 3, 3, 0, 4][..], b"abcd"].concat();

    assert!(is_tls(&record));
    assert!(is_quic(&[0x43; 21]) && is_quic(&[0xc0, 0, 0, 0, 1, 8]));
    assert!(!is_quic(b"\x11\x01 a frame") && !is_quic(&[0xc0, 0, 0, 0, 2, 8]) && !is_quic(b""));
    let text: Vec<u8> = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".bytes().cycle().take(20_000).collect();
    assert!(!looks_random(&text) && looks_random(&(0..=255).cycle().take(20_000).collect::<Vec<u8>>()));
    assert!(!is_tls(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    assert!(!is_tls(&[record, b"plain text behind it".to_vec()].concat()));
}

async fn start_capture(file: &Path, filter: &str) -> Option<tokio::process::Child> {
    let mut capture = Command::new("tcpdump")
        .args(["-i", "lo", "-U", "--immediate-mode", "-s", "0", "-B", "65536", "-Z", "root", "-w"])
        .arg(file)
        .arg(filter)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .ok()?;
    let mut lines = BufReader::new(capture.stderr.take()?).lines();
    let listening = async {
        while let Ok(Some(line)) = lines.next_line().await {
            if line.contains("listening on") {
                return true;
            }
        }
        false
    };
    if timeout(PATIENCE, listening).await != Ok(true) {
        return None;
    }
    // The rest of what it says must be read, or it would wait for us.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Some(capture)
}

type Direction = (u16, u16);

/// Payload of each TCP direction of a pcap file of the loopback device, in order of capture, and that of each UDP
/// datagram; retransmissions do not happen on loopback.
fn parted(pcap: &[u8]) -> (BTreeMap<Direction, Vec<u8>>, Vec<Vec<u8>>) {
    const UDP: u8 = 17;
    let (mut streams, mut datagrams) = (BTreeMap::<Direction, Vec<u8>>::new(), Vec::new());
    let mut rest = &pcap[24..];
    while 16 <= rest.len() {
        let length = u32::from_le_bytes(rest[8..12].try_into().unwrap()) as usize;
        let packet = &rest[16..16 + length];
        rest = &rest[16 + length..];
        // Ethernet 14, IPv4 with its length in words, TCP with its own; UDP 8, several datagrams may stand in one packet.
        let ip = &packet[14..];
        if ip[9] == UDP {
            datagrams.push(ip[usize::from(ip[0] & 15) * 4 + 8..].to_vec());
            continue;
        }
        let tcp = &ip[usize::from(ip[0] & 15) * 4..usize::from(u16::from_be_bytes([ip[2], ip[3]]))];
        let ports = (u16::from_be_bytes([tcp[0], tcp[1]]), u16::from_be_bytes([tcp[2], tcp[3]]));
        let payload = &tcp[usize::from(tcp[12] >> 4) * 4..];
        if !payload.is_empty() {
            streams.entry(ports).or_default().extend_from_slice(payload);
        }
    }
    (streams, datagrams)
}

/// Whether a datagram may be of QUIC version 1, by what can be seen of it: a short header, or a long one that says so.
fn is_quic(datagram: &[u8]) -> bool {
    is_short(datagram) || matches!(datagram, [0x80..=0xff, 0, 0, 0, 1, ..])
}

/// Flags, a connection id of eight bytes, and at least what header protection needs.
fn is_short(datagram: &[u8]) -> bool {
    matches!(datagram, [0..=0x7f, ..]) && 21 <= datagram.len()
}

/// Whether no byte is much rarer or more frequent than another, which what is not sealed hardly reaches.
fn looks_random(bytes: &[u8]) -> bool {
    let mut counts = [0usize; 256];
    for byte in bytes {
        counts[usize::from(*byte)] += 1;
    }
    let mean = bytes.len() / 256;
    counts.iter().all(|count| (mean / 3..=2 * mean).contains(count))
}

/// Whether a stream is nothing but TLS records, the last one perhaps cut.
fn is_tls(mut stream: &[u8]) -> bool {
    while 5 <= stream.len() {
        let length = usize::from(u16::from_be_bytes([stream[3], stream[4]]));
        if !(20..=23).contains(&stream[0]) || stream[1] != 3 || 16_384 + 256 < length {
            return false;
        }
        stream = &stream[(5 + length).min(stream.len())..];
    }
    true
}
