//! A relay that runs out of file descriptors: it keeps some for itself, and recovers when there are more again.

#![cfg(target_os = "linux")]

use std::{
    io::{BufRead as _, BufReader, Lines, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::{Child, ChildStderr, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tokio::time::{interval, timeout};

use crate::world::PATIENCE;

/// A relay in a process of its own.
struct Program {
    child: Child,
    address: SocketAddr,
    private: SocketAddr,
    log: Lines<BufReader<ChildStderr>>,
    _config: tempfile::NamedTempFile,
}

impl Program {
    /// With this many descriptors, hard limit and soft.
    fn start(descriptors: u32) -> Self {
        let mut config = tempfile::NamedTempFile::new().unwrap();
        let key = "0".repeat(64);
        let text = format!(
            "listen = \"127.0.0.1:0\"\nprivate_listen = \"127.0.0.1:0\"\npublic_address = \"r:1\"\nlog_format = \"json\"\n\
             [[ticket_keys]]\nkey_id = \"a\"\npublic_key = \"{key}\"\n"
        );
        config.write_all(text.as_bytes()).unwrap();
        let mut child = Command::new("sh")
            .args(["-c", &format!("ulimit -n {descriptors}; exec \"$0\" serve --config \"$1\"")])
            .arg(env!("CARGO_BIN_EXE_uketsuke-relay"))
            .arg(config.path())
            .env_clear()
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let started = until_logged(&mut log, "relay.started");
        let at = |field: &str| started[field].as_str().unwrap().parse().unwrap();
        Self { child, address: at("address"), private: at("private_address"), log, _config: config }
    }

    fn limit(&self, descriptors: u64) {
        let pid = Pid::from_child(&self.child);
        let now = prlimit(Some(pid), Resource::Nofile, Rlimit { current: Some(descriptors), maximum: Some(256) });
        now.unwrap();
    }

    fn metric(&self, result: &str) -> u64 {
        let mut stream = TcpStream::connect(self.private).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let name = format!("relay_connections_total{{result=\"{result}\",transport=\"tcp\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&name)).map_or(0, |count| count.parse().unwrap())
    }

    /// Knocks and goes away again until that has moved a count.
    async fn until_moved(&self, result: &str) {
        let mut pause = interval(Duration::from_millis(50));
        let before = self.metric(result);
        let moved = async {
            while self.metric(result) <= before {
                drop(TcpStream::connect(self.address).unwrap());
                pause.tick().await;
            }
        };
        assert!(timeout(PATIENCE, moved).await.is_ok(), "{result} did not move");
    }
}

/// The first line of the log with this event; the test's own time limit is the patience.
fn until_logged(log: &mut Lines<BufReader<ChildStderr>>, event: &str) -> serde_json::Value {
    log.map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .find(|line: &serde_json::Value| line["event"] == event)
        .expect("the relay goes on")
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test]
async fn strangers_get_all_descriptors_but_those_of_the_reserve() {
    let program = Program::start(256);

    let open: Vec<_> = (0..256).map(|_| TcpStream::connect(program.address).unwrap()).collect();
    program.until_moved("descriptors_full").await;

    // The metrics were read meanwhile: the reserve is there for them.
    drop(open);
    program.until_moved("tls_failed").await;
    assert_eq!(program.metric("accept_failed"), 0);
}

#[tokio::test]
async fn a_relay_that_ran_out_all_the_same_waits_and_recovers_by_itself() {
    let mut program = Program::start(256);
    // It answers, so everything that it opens for itself is open.
    assert_eq!(program.metric("accept_failed"), 0);

    // Fewer than are open already: the system gives none any more, to nobody.
    program.limit(3);
    let waiting: Vec<_> = (0..4).map(|_| TcpStream::connect(program.address).unwrap()).collect();
    until_logged(&mut program.log, "accept.failed");
    program.limit(256);

    assert!(0 < program.metric("accept_failed"));
    drop(waiting);
    program.until_moved("tls_failed").await;
}
