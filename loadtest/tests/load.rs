//! The generator, its checker, and the comparison: what they see, not how fast it is.

#![cfg(test)]

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use link::framed::{FrameReader, WireFrame};
use loadtest::{
    bench::{
        peers::Kind,
        relay::{Flags, compare},
    },
    load::{
        check::Faults,
        generator::{self, Found, Plan},
        mix::Mix,
        road::{Road, SinkAddress},
    },
    meter::Meter,
    report::Verdict,
    run,
};
use ops::config::Span;
use proto::frame::{FrameType, Lane};
use tokio::{
    io::AsyncWriteExt as _,
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

/// What the forwarder does to the third picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    None,
    Lose,
    Double,
    Swap,
    Alter,
}

/// What does not come any more is given up after this.
const LATE: Duration = Duration::from_millis(400);

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_forwarder_is_found_clean() {
    let found = through(Lie::None).await;

    assert_eq!(found.outcome.faults, Faults::default());
    assert_eq!((found.outcome.broken, found.held_back, found.refused.0), (0, 0, 0));
    assert!(20 < found.outcome.frames, "{} frames", found.outcome.frames);
    assert_eq!(found.opened, 2);
    assert!([Lane::Screen, Lane::Control].iter().all(|lane| !found.latencies.lane(*lane).is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_a_doubled_a_swapped_and_an_altered_frame_are_each_found() {
    let expected = [
        (Lie::Lose, Faults { lost: 2, ..Faults::default() }),
        (Lie::Double, Faults { duplicated: 2, ..Faults::default() }),
        (Lie::Swap, Faults { reordered: 2, ..Faults::default() }),
        // It counts as lost, too: what was sent did not come.
        (Lie::Alter, Faults { altered: 2, lost: 2, ..Faults::default() }),
    ];
    for (lie, faults) in expected {
        let found = through(lie).await;

        // Two sessions, one picture each.
        assert_eq!(found.outcome.faults, faults, "{lie:?}");
        assert_eq!(found.outcome.broken, 0, "{lie:?}: the connections held");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_cut_counts_as_broken() {
    let sink = SinkAddress::listen(None).unwrap();
    let (address, forwarder) = forwarder(sink.address, Lie::None).await;
    let road = Road::to_sink(address, None, &sink).unwrap();
    let plan = plan(road);
    let run = tokio::spawn(generator::run(Plan { duration: Duration::from_secs(2), ..plan }));

    forwarder.at_work(2).await;
    forwarder.cut();
    let found = run.await.unwrap().unwrap();

    assert!(2 <= found.outcome.broken, "{:?}", found.outcome);
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_measured_and_every_figure_is_there() {
    link::tls::install_provider();
    let flags = Flags { rounds: 1, gigabytes: 0.01, sessions: 5, idle: 10, handshakes: 10, ..Flags::quick() };

    let report = compare(&flags, &Kind::ALL).await.unwrap();

    for measure in &report.measures {
        assert!(measure.rows.iter().all(|row| row.values.len() == 1), "{}: {:?}", measure.name, measure.rows);
        for who in ["relay", "HAProxy", "TLS copy"] {
            assert!(!measure.row(who).is_empty(), "{}: nothing of {who}", measure.name);
        }
    }
    let cpu = &report.measures[0];
    assert!(
        ["relay", "relay, QUIC", "HAProxy", "TLS copy", "plain copy"].iter().all(|who| 0.0 < cpu.row(who)[0]),
        "{:?}",
        cpu.rows
    );
    assert_eq!(report.verdicts.len(), 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scenario_holds_idle_and_active_sessions_replaces_some_and_loses_nothing() {
    link::tls::install_provider();
    let flags = run::Flags {
        sessions: Some(12),
        active_share: Some(0.5),
        ramp: Some(Span::new(Duration::from_millis(200))),
        warm_up: Some(Span::secs(0)),
        duration: Some(Span::secs(1)),
        churn_per_sec: Some(5.0),
        threads: Some(2),
        ..run::Flags::default()
    };
    let own = Meter { name: "own".to_owned(), pid: std::process::id() };

    let report = run::play(&flags.scenario().unwrap(), &[own]).await.unwrap();

    assert!(report.verdicts.iter().all(Verdict::is_reached), "{:?}", report.verdicts);
    let opened: u32 = report.readings.iter().find(|(name, _)| name == "sessions opened").unwrap().1.parse().unwrap();
    assert!(12 < opened, "{opened} sessions: some were replaced");
    let processes: Vec<_> = report.tables[1].rows.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(processes, ["process", "relay", "own", "generator"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_sessions_than_file_descriptors_are_refused_in_one_line() {
    let sink = SinkAddress::listen(None).unwrap();
    let plan = plan(Road::to_sink(sink.address, None, &sink).unwrap());
    let run = generator::run(Plan { sessions: 2_000_000_000, ..plan });

    let message = format!("{:#}", run.await.err().unwrap());

    assert!(message.contains("file descriptors") && message.lines().count() == 1, "{message}");
}

fn plan(road: Road) -> Plan {
    Plan {
        roads: vec![road],
        sessions: 2,
        active: 2,
        script: Mix::steady(40.0, 500, 0.0).script(1.0),
        ramp: Duration::ZERO,
        warm_up: Duration::ZERO,
        duration: Duration::from_millis(500),
        churn_per_sec: 0.0,
        late: LATE,
        threads: 1,
        seed: 1,
        meters: Vec::new(),
    }
}

async fn through(lie: Lie) -> Found {
    let sink = SinkAddress::listen(None).unwrap();
    let (address, _forwarder) = forwarder(sink.address, lie).await;
    generator::run(plan(Road::to_sink(address, None, &sink).unwrap())).await.unwrap()
}

/// Forwards every connection; ends with this value.
struct Forwarder {
    accepting: JoinHandle<()>,
    at_work: watch::Receiver<u32>,
    cut: watch::Sender<bool>,
}

impl Forwarder {
    /// Waits until so many sessions have sent a picture.
    async fn at_work(&self, count: u32) {
        self.at_work.clone().wait_for(|sessions| count <= *sessions).await.unwrap();
    }

    fn cut(&self) {
        self.cut.send_replace(true);
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn forwarder(to: SocketAddr, lie: Lie) -> (SocketAddr, Forwarder) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (count, at_work) = watch::channel(0);
    let cut = watch::Sender::new(false);
    let cutting = cut.clone();
    let accepting = tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(to).await.unwrap();
            let count = count.clone();
            let mut cut = cutting.subscribe();
            tokio::spawn(async move {
                let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                let both = async {
                    tokio::join!(forward(near_in, far_out, lie, &count), forward(far_in, near_out, Lie::None, &count))
                };
                tokio::select! {
                    _ = both => {}
                    _ = cut.wait_for(|cut| *cut) => {}
                }
            });
        }
    });
    (address, Forwarder { accepting, at_work, cut })
}

async fn forward(from: OwnedReadHalf, mut to: OwnedWriteHalf, lie: Lie, count: &watch::Sender<u32>) {
    let mut reader = FrameReader::new(from);
    let (mut pictures, mut held) = (0, None::<Bytes>);
    while let Ok(Some(frame)) = reader.next().await {
        let is_picture = frame.header.kind == FrameType::Sealed && frame.header.lane == Lane::Screen;
        pictures += u32::from(is_picture);
        if is_picture && pictures == 1 {
            count.send_modify(|count| *count += 1);
        }
        let mut out = if is_picture && pictures == 3 { told(lie, &frame, &mut held) } else { vec![frame.wire] };
        if is_picture && pictures == 4 {
            out.extend(held.take());
        }
        for wire in out {
            if to.write_all(&wire).await.is_err() {
                return;
            }
        }
    }
    drop(to.shutdown().await);
}

/// What goes out for the third picture.
fn told(lie: Lie, frame: &WireFrame, held: &mut Option<Bytes>) -> Vec<Bytes> {
    let wire = frame.wire.clone();
    match lie {
        Lie::None => vec![wire],
        Lie::Lose => vec![],
        Lie::Double => vec![wire.clone(), wire],
        Lie::Swap => {
            *held = Some(wire);
            vec![]
        }
        Lie::Alter => {
            let mut altered = wire.to_vec();
            altered[100] ^= 1;
            vec![altered.into()]
        }
    }
}
