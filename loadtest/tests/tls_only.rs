//! A capture of one whole session's traffic holds TLS and nothing else, and not one canary.
//!
//! Needs the right to capture (root); says so and checks nothing else where that is missing.
//! The judge of streams has a test of its own: a plain text is not TLS.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test stops at the first surprise")]

use std::{collections::BTreeMap, path::Path, process::Stdio, time::Duration};

use loadtest::{
    desktop::{Desktop, pause},
    stage::{PATIENCE, Stage},
    world::World,
};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
    time::timeout,
};

#[tokio::test]
async fn everything_between_tools_and_servers_is_tls() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("session.pcap");
    let world = World::start().await.unwrap();
    let ports = [world.account().manager.as_str(), &world.relays()[0].address.to_string()]
        .map(|address| address.rsplit(':').next().unwrap().to_owned());
    let filter = format!("tcp port {} or tcp port {}", ports[0], ports[1]);
    let Some(mut capture) = start_capture(&file, &filter).await else {
        eprintln!("no right to capture: run as root to check this");
        world.stop().await.unwrap();
        return;
    };
    let desktop = Desktop::start(640, 480, &world.folder().join("desktop")).await.unwrap();
    let mut stage = Stage::connect(world, desktop).await.unwrap();
    let typed = "canary-on-the-wire-2718281828";
    stage.operator.ask(json!({"do": "text", "text": typed}), "sent", PATIENCE).await.unwrap();
    stage.end().await.unwrap();
    // tcpdump writes when its buffer is handed over; it is told to do so packet by packet (-U).
    pause(Duration::from_millis(300)).await;
    loadtest::process::signal_pid(capture.id().unwrap(), rustix::process::Signal::INT);
    capture.wait().await.unwrap();

    let bytes = std::fs::read(&file).unwrap();
    let streams = streams_of(&bytes);

    assert!(8 <= streams.len(), "only {} directions were captured", streams.len());
    for (direction, stream) in &streams {
        assert!(is_tls(stream), "{direction:?} is not TLS: {:02x?}", &stream[..stream.len().min(32)]);
    }
    assert!(!bytes.windows(typed.len()).any(|window| window == typed.as_bytes()));
}

#[test]
fn a_plain_text_is_not_tls() {
    let record = [&[23, 3, 3, 0, 4][..], b"abcd"].concat();

    assert!(is_tls(&record));
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

/// Payload of each TCP direction of a pcap file of the loopback device, in order of capture; retransmissions do not
/// happen on loopback.
fn streams_of(pcap: &[u8]) -> BTreeMap<Direction, Vec<u8>> {
    let mut streams: BTreeMap<Direction, Vec<u8>> = BTreeMap::new();
    let mut rest = &pcap[24..];
    while 16 <= rest.len() {
        let length = u32::from_le_bytes(rest[8..12].try_into().unwrap()) as usize;
        let packet = &rest[16..16 + length];
        rest = &rest[16 + length..];
        // Ethernet 14, IPv4 with its length in words, TCP with its own.
        let ip = &packet[14..];
        let tcp = &ip[usize::from(ip[0] & 15) * 4..usize::from(u16::from_be_bytes([ip[2], ip[3]]))];
        let ports = (u16::from_be_bytes([tcp[0], tcp[1]]), u16::from_be_bytes([tcp[2], tcp[3]]));
        let payload = &tcp[usize::from(tcp[12] >> 4) * 4..];
        if !payload.is_empty() {
            streams.entry(ports).or_default().extend_from_slice(payload);
        }
    }
    streams
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
