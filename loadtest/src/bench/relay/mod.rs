//! The comparison: rounds in which each of those that are compared is started, measured in every way, and ended.
//!
//! All figures of a round are taken one after the other, so that what the machine does meanwhile meets everybody; ratios
//! are taken within a round. Who begins changes from round to round.

mod book;

use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;

use self::book::{Book, Figure};
use super::{
    bulk, handshakes, idle,
    peers::{Ground, Kind, Peer, haproxy},
};
use crate::{
    load::{
        generator::{self, Found, Plan},
        mix::Mix,
        road::Road,
        session::LATE,
        tls::KeyExchange,
    },
    meter::Meter,
    progress::tell,
    report::{Files, Report},
};

/// Of the gigabytes, what goes by QUIC, which costs several times as much time.
const QUIC_SHARE: f64 = 0.25;
/// From the last session open to the first frame that counts.
const WARM_UP: Duration = Duration::from_millis(500);

/// How much is measured.
#[derive(Debug, Clone, Args)]
pub struct Flags {
    /// Rounds; each measures everybody once. 5 or more make a comparison.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=50))]
    pub rounds: u32,
    /// Gigabytes (10⁹ bytes of payload) forwarded in each round for the CPU per GB.
    #[arg(long, default_value_t = 1.0)]
    pub gigabytes: f64,
    /// Sessions over which these go at once.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub streams: u32,
    /// Sessions of the recorded mix for the latency.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=4000))]
    pub sessions: u32,
    /// Seconds of latency in each round.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=600))]
    pub seconds: u32,
    /// Idle sessions for the memory.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=9000))]
    pub idle: u32,
    /// Handshakes in each round.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub handshakes: u32,
    /// The same seed gives the same schedule.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Two small rounds that only show that everything works; their figures say little.
    #[arg(long, conflicts_with_all = ["rounds", "gigabytes", "sessions", "seconds", "idle", "handshakes"])]
    pub quick: bool,
    /// Where the report goes.
    #[command(flatten)]
    pub files: Files,
}

impl Flags {
    /// What `--quick` means.
    pub fn quick() -> Self {
        Self {
            rounds: 2,
            gigabytes: 0.05,
            streams: 1,
            sessions: 20,
            seconds: 1,
            idle: 50,
            handshakes: 50,
            seed: 1,
            quick: true,
            files: Files::default(),
        }
    }
}

/// Measures, prints, and writes the files that were asked for.
///
/// # Errors
/// The first thing that did not work.
pub async fn run(flags: Flags) -> Result<()> {
    let files = flags.files.clone();
    let flags = if flags.quick { Flags::quick() } else { flags };
    compare(&flags, &Kind::ALL).await?.publish(&files)
}

/// Measures those in `kinds`.
///
/// # Errors
/// When one of them cannot be started or loses something, or a flag is out of range.
pub async fn compare(flags: &Flags, kinds: &[Kind]) -> Result<Report> {
    ensure!((0.01..=100.0).contains(&flags.gigabytes), "--gigabytes is from 0.01 to 100");
    if kinds.contains(&Kind::Haproxy) {
        haproxy()?;
    }
    let (ground, mut book) = (Ground::prepare()?, Book::new(flags, kinds));
    for round in 0..flags.rounds {
        let told = format!("round {} of {}", round + 1, flags.rounds);
        tell(&format!("{told}: direct"));
        let direct = live(flags, round, &ground.direct()?, &[]).await?;
        book.add_live("direct", &direct, None);
        for place in 0..kinds.len() {
            let first = usize::try_from(round)? % kinds.len();
            let kind = kinds[(place + first) % kinds.len()];
            one(flags, round, &ground, kind, &mut book, &direct).await?;
            tell(&format!("{told}: {}", book.newest(kind.as_str())));
        }
    }
    Ok(book.report())
}

/// Measures one of them in one round.
async fn one(flags: &Flags, round: u32, ground: &Ground, kind: Kind, book: &mut Book, direct: &Found) -> Result<()> {
    let peer = ground.start(kind, flags.idle.max(flags.sessions)).await?;
    let who = kind.as_str();
    let kib = idle::kib_per_session(&peer.road, &peer.meter, flags.idle).await?;
    book.add(Figure::IdleKib, who, kib);
    let bulk = bulk::forward(&peer.road, &peer.meter, flags.gigabytes, flags.streams).await?;
    book.add(Figure::CpuPerGb, who, bulk.cpu_secs_per_gb);
    book.add(Figure::GbPerSec, who, bulk.gb_per_sec);
    let found = live(flags, round, &peer.road, std::slice::from_ref(&peer.meter)).await?;
    book.add_live(who, &found, Some(direct));
    if kind == Kind::Relay {
        by_quic(flags, round, &peer, book, direct).await?;
    }
    if let Some(address) = peer.handshakes {
        let client = ground.handshake_client(KeyExchange::X25519)?;
        let rate = handshakes::per_cpu_sec(address, &client, &peer.meter, flags.handshakes).await?;
        book.add(Figure::Handshakes, who, rate);
        if kind == Kind::Relay {
            let client = ground.handshake_client(KeyExchange::X25519MlKem768)?;
            let rate = handshakes::per_cpu_sec(address, &client, &peer.meter, flags.handshakes).await?;
            book.add(Figure::Handshakes, book::HYBRID, rate);
        }
    }
    peer.stop().await
}

/// What our relay costs when both sides of each session come by QUIC.
async fn by_quic(flags: &Flags, round: u32, peer: &Peer, book: &mut Book, direct: &Found) -> Result<()> {
    let road = peer.road.by_quic()?;
    let bulk = bulk::forward(&road, &peer.meter, flags.gigabytes * QUIC_SHARE, flags.streams).await?;
    book.add(Figure::CpuPerGb, book::QUIC, bulk.cpu_secs_per_gb);
    book.add(Figure::GbPerSec, book::QUIC, bulk.gb_per_sec);
    let found = live(flags, round, &road, std::slice::from_ref(&peer.meter)).await?;
    book.add_live(book::QUIC, &found, Some(direct));
    Ok(())
}

/// The recorded mix over one road.
async fn live(flags: &Flags, round: u32, road: &Road, meters: &[Meter]) -> Result<Found> {
    let found = generator::run(Plan {
        roads: vec![road.clone()],
        sessions: flags.sessions,
        active: flags.sessions,
        script: Mix::recorded()?.script(1.0),
        ramp: Duration::ZERO,
        warm_up: WARM_UP,
        duration: Duration::from_secs(flags.seconds.into()),
        churn_per_sec: 0.0,
        late: LATE,
        // Everybody in a round meets the same schedule.
        seed: flags.seed.wrapping_add(round.into()),
        threads: 1,
        meters: meters.to_vec(),
    })
    .await?;
    let who = meters.first().map_or("direct", |meter| &meter.name);
    ensure!(
        found.refused.0 == 0,
        "{who}: {} sessions were not opened: {}",
        found.refused.0,
        found.refused.1.unwrap_or_default()
    );
    ensure!(found.outcome.broken == 0, "{who}: {} connections broke before their planned end", found.outcome.broken);
    ensure!(found.outcome.faults.is_clean(), "{who}: frames went wrong: {:?}", found.outcome.faults);
    Ok(found)
}
