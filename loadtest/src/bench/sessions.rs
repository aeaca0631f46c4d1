//! How many sessions of the recorded mix this machine holds: the generator and the relay share its cores.
//!
//! The number is doubled until the p99 of the forward latency passes the limit, then the limit is looked for between the
//! last that held and the first that did not. Each trial has a relay of its own. With `--hold` there is one trial: so
//! many sessions connected, some of them active.

use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;

use super::peers::{Ground, Kind};
use crate::{
    load::{
        generator::{self, Found, Plan},
        mix::Mix,
        session::LATE,
    },
    progress::tell,
    report::{Curves, Files, Report, Table, Verdict, curve, machine, short},
};

const WARM_UP: Duration = Duration::from_secs(2);
/// The limit lies between two numbers of sessions that differ by no more than this share.
const NEAR: f64 = 0.05;
/// Trials of one run: from 100 sessions on, doubling reaches every number that fits, and bisecting ends in 5.
const TRIALS_MAX: u32 = 16;
/// A generator that is this late itself cannot judge a server any more, microseconds.
const OWN_LATE_MAX_US: u64 = 10_000;

/// What is tried.
#[derive(Debug, Clone, Args)]
pub struct Flags {
    /// The number of sessions to begin with.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=9000))]
    from: u32,
    /// More are not tried: two sockets each, and 20,000 file descriptors for a process.
    #[arg(long, default_value_t = 8000, value_parser = clap::value_parser!(u32).range(1..=9000))]
    max: u32,
    /// The p99 of the forward latency may be this, milliseconds.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit_ms: u32,
    /// Seconds that count in each trial.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// Instead: holds this many sessions, once.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=9000))]
    hold: Option<u32>,
    /// How many of those speak.
    #[arg(long, requires = "hold", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(0..=9000))]
    active: u32,
    /// Threads of the generator.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16))]
    threads: u32,
    /// The same seed gives the same schedule.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    files: Files,
}

/// Measures, prints, and writes the files that were asked for.
///
/// # Errors
/// The first thing that did not work.
pub async fn run(flags: Flags) -> Result<()> {
    ensure!(flags.from <= flags.max, "--from is at most --max");
    let trials = match flags.hold {
        Some(sessions) => {
            ensure!(flags.active <= sessions, "--active is at most --hold");
            vec![trial(&flags, sessions, flags.active).await?]
        }
        None => search(&flags).await?,
    };
    report(&flags, &trials)?.publish(&flags.files)
}

/// One number of sessions that was tried.
struct Trial {
    sessions: u32,
    active: u32,
    found: Found,
}

impl Trial {
    fn p99_us(&self) -> u64 {
        self.found.latencies.all().value_at_quantile(0.99)
    }

    fn is_clean(&self) -> bool {
        let Found { outcome, refused, held_back, .. } = &self.found;
        outcome.faults.is_clean() && outcome.broken == 0 && refused.0 == 0 && *held_back == 0
    }

    fn holds(&self, limit_ms: u32) -> bool {
        self.is_clean() && self.p99_us() <= u64::from(limit_ms) * 1000
    }
}

async fn search(flags: &Flags) -> Result<Vec<Trial>> {
    let (mut held, mut failed, mut next) = (0, None, flags.from);
    let mut trials = Vec::new();
    for _ in 0..TRIALS_MAX {
        let trial = trial(flags, next, next).await?;
        if trial.holds(flags.limit_ms) {
            held = held.max(next);
        } else {
            failed = Some(next);
        }
        trials.push(trial);
        next = match failed {
            None if held == flags.max => break,
            None => held.saturating_mul(2).min(flags.max),
            Some(failed) if f64::from(failed - held) <= f64::from(failed) * NEAR || failed - held <= 1 => break,
            Some(failed) => u32::midpoint(held, failed),
        };
    }
    trials.sort_by_key(|trial| trial.sessions);
    Ok(trials)
}

async fn trial(flags: &Flags, sessions: u32, active: u32) -> Result<Trial> {
    tell(&format!("{sessions} sessions, {active} active: opening"));
    let ground = Ground::prepare()?;
    let peer = ground.start(Kind::Relay, sessions).await?;
    let found = generator::run(Plan {
        roads: vec![peer.road.clone()],
        sessions,
        active,
        script: Mix::recorded()?.script(1.0),
        ramp: Duration::ZERO,
        warm_up: WARM_UP,
        duration: Duration::from_secs(flags.seconds.into()),
        churn_per_sec: 0.0,
        late: LATE,
        seed: flags.seed,
        threads: flags.threads,
        meters: vec![peer.meter.clone()],
    })
    .await?;
    peer.stop().await?;
    let trial = Trial { sessions, active, found };
    tell(&format!("{sessions} sessions, {active} active: p99 {} µs", trial.p99_us()));
    Ok(trial)
}

fn report(flags: &Flags, trials: &[Trial]) -> Result<Report> {
    let (messages, bytes) = Mix::recorded()?.script(1.0).rates();
    let mut facts = machine();
    facts.push((
        "one active session".to_owned(),
        format!("{messages:.1} messages/s, {:.0} kbit/s, recorded mix, open loop", bytes * 8e-3),
    ));
    facts.push(("a trial".to_owned(), format!("{} s, relay and generator on the same machine", flags.seconds)));
    let head = [
        "sessions",
        "active",
        "p50 µs",
        "p99 µs",
        "p99.9 µs",
        "relay CPU %",
        "generator CPU %",
        "generator late p99 µs",
        "relay KiB a session",
        "relay MiB",
        "wrong frames",
        "broken",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(trials.iter().map(row));
    let curves = Curves {
        name: "Latency from due to heard".to_owned(),
        unit: "µs".to_owned(),
        rows: trials.iter().map(|t| curve(&format!("{} sessions", t.sessions), &t.found.latencies.all())).collect(),
    };
    let mut readings = Vec::new();
    if flags.hold.is_none() {
        let best = trials.iter().filter(|trial| trial.holds(flags.limit_ms)).map(|trial| trial.sessions).max();
        readings.push((
            format!("sessions with p99 within {} ms", flags.limit_ms),
            best.map_or_else(|| format!("fewer than {}", flags.from), |best| best.to_string()),
        ));
        let is_own = |trial: &&Trial| !trial.holds(flags.limit_ms) && OWN_LATE_MAX_US < own_late_us(trial);
        let limit = match trials.iter().find(|trial| !trial.holds(flags.limit_ms)) {
            None => "--max".to_owned(),
            Some(first) if is_own(&first) => "the generator beside the relay: the figure is a floor".to_owned(),
            Some(_) => "the relay".to_owned(),
        };
        readings.push(("what the limit was".to_owned(), limit));
    }
    let verdicts = flags.hold.map(|_| trials.iter().flat_map(verdicts).collect()).unwrap_or_default();
    Ok(Report {
        title: "uketsuke-loadtest bench sessions".to_owned(),
        facts,
        tables: vec![Table { name: "Trials".to_owned(), rows }],
        readings,
        curves: vec![curves],
        verdicts,
        ..Report::default()
    })
}

fn own_late_us(trial: &Trial) -> u64 {
    trial.found.late.value_at_quantile(0.99)
}

fn row(trial: &Trial) -> Vec<String> {
    let Trial { sessions, active, found } = trial;
    let all = found.latencies.all();
    let faults = found.outcome.faults;
    let [before, first, last] = found.readings.first().copied().unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "KiB of one process")]
    let (grown, whole) = (last.memory_kib.saturating_sub(before.memory_kib) as f64, last.memory_kib as f64 / 1024.0);
    vec![
        sessions.to_string(),
        active.to_string(),
        all.value_at_quantile(0.5).to_string(),
        all.value_at_quantile(0.99).to_string(),
        all.value_at_quantile(0.999).to_string(),
        short((last.cpu_secs - first.cpu_secs) / found.secs * 100.0),
        short(found.own_cpu_secs / found.secs * 100.0),
        own_late_us(trial).to_string(),
        short(grown / f64::from(*sessions)),
        short(whole),
        (faults.lost + faults.duplicated + faults.reordered + faults.altered).to_string(),
        (found.outcome.broken + u64::from(found.refused.0)).to_string(),
    ]
}

fn verdicts(trial: &Trial) -> Vec<Verdict> {
    let faults = trial.found.outcome.faults;
    let none = |what: &str, found: u64| Verdict {
        what: what.to_owned(),
        found: u32::try_from(found).map_or(f64::INFINITY, f64::from),
        bound: 0.0,
        at_most: true,
    };
    vec![
        Verdict {
            what: "sessions connected".to_owned(),
            found: trial.found.opened.into(),
            bound: trial.sessions.into(),
            at_most: false,
        },
        none("frames lost", faults.lost),
        none("frames doubled", faults.duplicated),
        none("frames out of order", faults.reordered),
        none("frames altered", faults.altered),
        none("connections broken", trial.found.outcome.broken),
    ]
}
