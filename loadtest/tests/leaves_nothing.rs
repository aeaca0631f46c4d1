//! A relay leaves nothing: no file is opened for writing, made or changed, no program is started, and it asks the kernel
//! for nothing that its systemd unit refuses.
//!
//! Three relays run under a trace of every call, with the whole file system read-only (as root; said otherwise), through
//! the life of a relay: strangers, garbage and a forged hello; a session that moves over all three while text is typed,
//! because the first is drained and the second killed; reports to the manager, scrapes of the metrics; the end by SIGTERM.
//!
//! How this was seen to fail: a relay that wrote a file at its start was named (`openat` with `O_CREAT`: opens a file for
//! writing); a unit without `madvise` was named (its `SystemCallFilter` refuses it); a relay without `core_dump::forbid` was
//! seen to have a hard limit for cores.
//! `loadtest/src/trace.rs` has a test of its judge, line by line.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test stops at the first surprise"
)]

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use link::{framed::write_frame, tcp};
use loadtest::{
    process::{installed, signal_pid},
    stage::{self, PATIENCE, Stage},
    trace::{Allowed, Call},
    world::World,
};
use proto::hello::{Hello, RelayWord};
use rustix::process::Signal;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// Runs its arguments with every mounted file system read-only.
const READ_ONLY: &str = "mount --make-rprivate / && while read -r _ _ _ _ point _; do \
                         mount -o remount,bind,ro \"$point\" 2>/dev/null || true; done </proc/self/mountinfo; exec \"$@\"";

/// A relay under a trace. Dropping it kills the relay, which the tracer would leave behind.
struct Traced {
    id: u32,
    address: SocketAddr,
    private: SocketAddr,
    trace: PathBuf,
    log: PathBuf,
}

impl Drop for Traced {
    fn drop(&mut self) {
        if Path::new(&format!("/proc/{}", self.id)).exists() {
            signal_pid(self.id, Signal::KILL);
        }
    }
}

#[tokio::test]
async fn a_relay_writes_no_file_starts_no_program_and_lives_under_its_unit() {
    assert!(installed("strace") && installed("systemd-analyze"), "ops/packages names the packages this test needs");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let allowed = Allowed::of_unit(&root.join("ops/systemd/uketsuke-relay.service")).unwrap();
    let traces = tempfile::tempdir().unwrap();
    let mut world = World::start_with(0).await.unwrap();
    let mut relays = Vec::new();
    for name in ["relay-1", "relay-2", "relay-3"] {
        relays.push(start(&mut world, traces.path().join(name)).await);
    }

    for relay in &relays {
        disturb(relay).await;
    }
    live(world, &relays).await;

    for relay in &relays {
        let text = std::fs::read_to_string(&relay.trace).unwrap();
        let calls: Vec<Call<'_>> = calls_of_the_relay(&text);
        assert!(300 < calls.len() && calls.iter().any(|call| call.name == "accept4"), "{} calls", calls.len());
        let objections: Vec<_> =
            calls.iter().filter_map(|call| Some((allowed.objection(call)?, call.name, call.rest))).take(20).collect();
        assert!(objections.is_empty(), "{objections:#?}");
        eprintln!("{}: {} calls, none refused", relay.trace.display(), calls.len());
    }
}

/// Starts one more relay of a world under a trace.
async fn start(world: &mut World, trace: PathBuf) -> Traced {
    let shown = trace.display().to_string();
    let tracer = ["strace", "-f", "-y", "-qq", "-s", "16", "-o", shown.as_str()];
    let sealed_off = ["unshare", "--mount", "sh", "-c", READ_ONLY, "sh"];
    let is_root = rustix::process::geteuid().is_root();
    let under = if is_root { [&tracer[..], &sealed_off].concat() } else { tracer.to_vec() };
    world.add_relay(&under).await.unwrap();
    let relay = world.relays().last().unwrap();
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", relay.id())).unwrap();
    let id = children.trim().parse().unwrap();
    let log = relay.log().to_owned();
    let traced = Traced { id, address: relay.address, private: relay.private, trace, log };
    if is_root {
        assert_read_only(id);
    } else {
        eprintln!("not root: the file system of the relay is as usual");
    }
    let limits = std::fs::read_to_string(format!("/proc/{id}/limits")).unwrap();
    let core: Vec<_> = limits.lines().find(|line| line.starts_with("Max core")).unwrap().split_whitespace().collect();
    assert_eq!(core[4..6], ["0", "0"], "the relay forbids its own core dumps");
    traced
}

/// Nothing that this process can see of a disk or of memory can be written.
fn assert_read_only(id: u32) {
    let mounts = std::fs::read_to_string(format!("/proc/{id}/mounts")).unwrap();
    // Of several mounts at one place only the last one is seen.
    let seen: BTreeMap<_, _> = mounts.lines().map(|mount| (mount.split(' ').nth(1), mount)).collect();
    for mount in seen.values() {
        let fields: Vec<_> = mount.split(' ').collect();
        let is_kernels = matches!(fields[2], "proc" | "sysfs" | "devpts" | "cgroup" | "cgroup2");
        assert!(is_kernels || fields[3].split(',').any(|option| option == "ro"), "{mount}");
    }
}

/// What strangers do, and a monitor.
async fn disturb(relay: &Traced) {
    let mut stranger = TcpStream::connect(relay.address).await.unwrap();
    stranger.write_all(b"GET / HTTP/1.1\r\nHost: relay\r\n\r\n").await.unwrap();
    until_closed(&mut stranger).await;
    drop(TcpStream::connect(relay.address).await.unwrap());

    let spki = spki(relay);
    let mut garbage = tcp::dial(&relay.address.to_string(), &spki).await.unwrap();
    garbage.writer.write_all(&[0xee; 64]).await.unwrap();
    garbage.writer.flush().await.unwrap();
    assert!(matches!(timeout(PATIENCE, garbage.reader.next()).await.unwrap(), Ok(Some(_))), "is told why");

    let mut forger = tcp::dial(&relay.address.to_string(), &spki).await.unwrap();
    let hello = Hello { proof_key: [3; 32], generation: 1, signature: [4; 64], ticket: "v4.public.AAAA".to_owned() };
    write_frame(&mut forger.writer, hello.to_frame().unwrap()).await.unwrap();
    let word = timeout(PATIENCE, forger.reader.next()).await.unwrap().unwrap().unwrap();
    assert!(matches!(RelayWord::parse(&word.to_frame()), Some(RelayWord::Refused(_))));
    assert!(scrape(relay).await.contains("relay_joins_refused_total"));
}

/// One session over all three relays: the first that forwards is drained, the next is killed.
async fn live(world: World, relays: &[Traced]) {
    let (desktop, note) = stage::terminal(&world, "a terminal").await.unwrap();
    let mut stage = Stage::connect(world, desktop).await.unwrap();
    stage.focus_terminal().await.unwrap();
    stage.type_line("before", &note).await.unwrap();

    let drained = busiest(relays, &[]).await;
    signal_pid(relays[drained].id, Signal::TERM);
    stage.type_line("drained", &note).await.unwrap();
    assert!(stage.world.relay_left(drained, PATIENCE).await.unwrap(), "the drained relay ends");
    let killed = busiest(relays, &[drained]).await;
    signal_pid(relays[killed].id, Signal::KILL);
    stage.type_line("killed", &note).await.unwrap();

    let last = busiest(relays, &[drained, killed]).await;
    stage.operator.ask(serde_json::json!({"do": "end"}), "ended", PATIENCE).await.unwrap();
    stage.client.wait_for("ended", PATIENCE).await.unwrap();
    signal_pid(relays[last].id, Signal::TERM);
    assert!(stage.world.relay_left(last, PATIENCE).await.unwrap(), "the last relay ends");
    for event in ["session.admitted", "session.paired", "relay.draining", "relay.stopped"] {
        assert!(std::fs::read_to_string(&relays[drained].log).unwrap().contains(event), "{event}");
    }
    stage.client.finish(PATIENCE).await.unwrap();
    stage.operator.finish(PATIENCE).await.unwrap();
    stage.desktop.stop().await.unwrap();
    stage.world.stop().await.unwrap();
}

/// The place of the relay that has forwarded the most, those that are gone left out.
async fn busiest(relays: &[Traced], gone: &[usize]) -> usize {
    let mut most = (0, None);
    for (place, relay) in relays.iter().enumerate().filter(|(place, _)| !gone.contains(place)) {
        let metrics = scrape(relay).await;
        let lines = metrics.lines().filter(|line| line.starts_with("relay_forwarded_bytes_total{"));
        let bytes: u64 = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum();
        if most.0 < bytes {
            most = (bytes, Some(place));
        }
    }
    most.1.expect("one of them forwards the session")
}

/// The calls behind the start of the relay's own program; those before it are of the shell that mounts.
fn calls_of_the_relay(trace: &str) -> Vec<Call<'_>> {
    let mut lines = trace.lines();
    let started = |line: &str| line.contains("execve(") && line.contains("uketsuke-relay\"") && line.ends_with(" = 0");
    assert!(lines.any(|line| started(line) && !line.contains("unshare")), "the relay was started");
    lines.filter_map(Call::parse).collect()
}

async fn until_closed(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    // A reset is as good an end as a close.
    drop(timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("the relay closes"));
}

/// The key that tools pin, as the relay logs it when it starts.
fn spki(relay: &Traced) -> String {
    let log = std::fs::read_to_string(&relay.log).unwrap();
    let started = log.lines().find(|line| line.contains("relay.started")).unwrap();
    let (_, rest) = started.split_once("\"spki\":\"").unwrap();
    rest.chars().take(64).collect()
}

/// The metrics, as Prometheus gets them.
async fn scrape(relay: &Traced) -> String {
    let mut socket = TcpStream::connect(relay.private).await.unwrap();
    socket.write_all(b"GET /metrics HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, socket.read_to_string(&mut answer)).await.unwrap().unwrap();
    answer
}
