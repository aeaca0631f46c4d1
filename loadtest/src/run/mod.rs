//! Runs a scenario: sessions over a relay, their latency, what was lost, and what each server used.

pub mod scenario;

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use ops::config::Span;
use proto::{frame::Lane, ticket::SigningKey};

use self::scenario::Scenario;
use crate::{
    bench::peers::{Ground, Kind, Peer},
    load::{
        generator::{self, Found, Plan},
        road::Road,
        session::LATE,
    },
    meter::Meter,
    progress::tell,
    report::{Curves, Files, Report, Table, Verdict, curve, machine, short},
};

/// The name of our key in the footer of tickets, for a relay that runs already.
const KEY_ID: &str = "loadtest";

/// A scenario by file and flags; a flag wins.
#[derive(Debug, Clone, Default, Args)]
pub struct Flags {
    /// A scenario, TOML; `loadtest/scenarios/example.toml` has every key with its reason.
    #[arg(long, value_name = "FILE")]
    pub scenario: Option<PathBuf>,
    /// Sessions held at once.
    #[arg(long)]
    pub sessions: Option<u32>,
    /// The share of them that speaks, 0–1.
    #[arg(long)]
    pub active_share: Option<f64>,
    /// `recorded`, `steady`, or a file in the form of `mixes/recorded.toml`.
    #[arg(long)]
    pub mix: Option<String>,
    /// Updates a second of each session, for `--mix steady`.
    #[arg(long)]
    pub pictures_per_sec: Option<f64>,
    /// Bytes of each, for `--mix steady`.
    #[arg(long)]
    pub picture_bytes: Option<u32>,
    /// Messages with input a second of each session, for `--mix steady`.
    #[arg(long)]
    pub inputs_per_sec: Option<f64>,
    /// How much faster than recorded everything goes.
    #[arg(long)]
    pub speed: Option<f64>,
    /// Opens the sessions evenly over this time, such as 10s.
    #[arg(long)]
    pub ramp: Option<Span>,
    /// From the last session open to the first frame that counts.
    #[arg(long)]
    pub warm_up: Option<Span>,
    /// How long frames count.
    #[arg(long)]
    pub duration: Option<Span>,
    /// Sessions a second that end and are replaced.
    #[arg(long)]
    pub churn_per_sec: Option<f64>,
    /// Threads of the generator.
    #[arg(long)]
    pub threads: Option<u32>,
    /// The same seed gives the same schedule.
    #[arg(long)]
    pub seed: Option<u64>,
    /// A relay that runs already, instead of one that is started for the run.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub relay: Option<std::net::SocketAddr>,
    /// Hash of that relay's key, 64 hexadecimal digits.
    #[arg(long, value_name = "HEX")]
    pub spki: Option<String>,
    /// File with the seed of a ticket key that the relay knows as `loadtest`, 64 hexadecimal digits.
    #[arg(long, value_name = "FILE")]
    pub ticket_seed_file: Option<PathBuf>,
    /// One more process whose CPU and memory are read; may be given several times.
    #[arg(long, value_name = "NAME=PID", value_parser = meter)]
    pub pid: Vec<Meter>,
    /// Where the report goes.
    #[command(flatten)]
    pub files: Files,
}

/// Runs, prints, and writes the files that were asked for.
///
/// # Errors
/// A mistake in the scenario, or the first thing that did not work; also when a frame went wrong.
pub async fn run(flags: Flags) -> Result<()> {
    let scenario = flags.scenario()?;
    let report = play(&scenario, &flags.pid).await?;
    report.publish(&flags.files)?;
    ensure!(report.verdicts.iter().all(Verdict::is_reached), "frames or connections went wrong");
    Ok(())
}

impl Flags {
    /// The scenario of the file, changed by the flags, and checked.
    ///
    /// # Errors
    /// One line that names the key.
    pub fn scenario(&self) -> Result<Scenario> {
        let mut scenario = Scenario::load(self.scenario.as_deref())?;
        let given = self.clone();
        scenario.sessions = given.sessions.unwrap_or(scenario.sessions);
        scenario.active_share = given.active_share.unwrap_or(scenario.active_share);
        scenario.mix = given.mix.unwrap_or(scenario.mix);
        scenario.pictures_per_sec = given.pictures_per_sec.unwrap_or(scenario.pictures_per_sec);
        scenario.picture_bytes = given.picture_bytes.unwrap_or(scenario.picture_bytes);
        scenario.inputs_per_sec = given.inputs_per_sec.unwrap_or(scenario.inputs_per_sec);
        scenario.speed = given.speed.unwrap_or(scenario.speed);
        scenario.ramp = given.ramp.unwrap_or(scenario.ramp);
        scenario.warm_up = given.warm_up.unwrap_or(scenario.warm_up);
        scenario.duration = given.duration.unwrap_or(scenario.duration);
        scenario.churn_per_sec = given.churn_per_sec.unwrap_or(scenario.churn_per_sec);
        scenario.threads = given.threads.unwrap_or(scenario.threads);
        scenario.seed = given.seed.unwrap_or(scenario.seed);
        scenario.relay = given.relay.or(scenario.relay);
        scenario.spki = given.spki.or(scenario.spki);
        scenario.ticket_seed_file = given.ticket_seed_file.or(scenario.ticket_seed_file);
        scenario.check()?;
        Ok(scenario)
    }
}

/// Plays a scenario that was checked. `others` are read besides the relay that is started.
///
/// # Errors
/// When the relay does not start or no session can be opened.
pub async fn play(scenario: &Scenario, others: &[Meter]) -> Result<Report> {
    let script = scenario.mix()?.script(scenario.speed);
    let (messages, bytes) = script.rates();
    let (road, own) = if let Some(road) = running(scenario)? {
        (road, None)
    } else {
        let ground = Ground::prepare()?;
        // Those that leave may still be there when the new ones come.
        let peer = ground.start(Kind::Relay, scenario.sessions.saturating_mul(2)).await?;
        (peer.road.clone(), Some((ground, peer)))
    };
    let mut meters: Vec<Meter> = own.iter().map(|(_, peer)| peer.meter.clone()).collect();
    meters.extend_from_slice(others);
    tell(&format!("{} sessions, {} active, for {}", scenario.sessions, scenario.active(), scenario.duration));
    let found = generator::run(Plan {
        roads: vec![road],
        sessions: scenario.sessions,
        active: scenario.active(),
        script,
        ramp: scenario.ramp.get(),
        warm_up: scenario.warm_up.get(),
        duration: scenario.duration.get(),
        churn_per_sec: scenario.churn_per_sec,
        late: LATE,
        seed: scenario.seed,
        threads: scenario.threads,
        meters: meters.clone(),
    })
    .await?;
    if let Some((_ground, peer)) = own {
        Peer::stop(peer).await?;
    }
    let all = f64::from(scenario.active());
    let rates = format!("{:.0} messages/s, {:.1} Mbit/s in all", messages * all, bytes * all * 8e-6);
    report(scenario, &found, &meters, &rates)
}

/// The way over a relay that runs already, if that is asked for.
fn running(scenario: &Scenario) -> Result<Option<Road>> {
    let (Some(address), Some(spki), Some(file)) = (scenario.relay, &scenario.spki, &scenario.ticket_seed_file) else {
        return Ok(None);
    };
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut seed = [0; 32];
    hex::decode_to_slice(text.trim(), &mut seed)
        .with_context(|| format!("{} has not 64 hexadecimal digits", file.display()))?;
    let key = SigningKey::from_seed(KEY_ID, seed)?;
    tell(&format!(
        "the relay needs: [[ticket_keys]] key_id = \"{KEY_ID}\", public_key = \"{}\"",
        key.verifying_key().to_hex()
    ));
    Road::over_pinned_relay(address, spki, key).map(Some)
}

fn report(scenario: &Scenario, found: &Found, meters: &[Meter], rates: &str) -> Result<Report> {
    let all = found.latencies.all();
    let mut facts = machine();
    facts.push(("load".to_owned(), format!("{rates}, open loop")));
    facts.extend(
        ops::config::print(scenario)?
            .lines()
            .filter_map(|line| line.split_once(" = "))
            .map(|(key, value)| (key.to_owned(), value.trim_matches('"').to_owned())),
    );
    let curves = [("all frames", all.clone())].into_iter().chain(lanes(found)).filter(|(_, lane)| !lane.is_empty());
    let curves = curves.map(|(name, lane)| curve(name, &lane)).collect();
    let faults = found.outcome.faults;
    let none = |what: &str, count: u64| Verdict {
        what: what.to_owned(),
        found: u32::try_from(count).map_or(f64::INFINITY, f64::from),
        bound: 0.0,
        at_most: true,
    };
    Ok(Report {
        title: "uketsuke-loadtest run".to_owned(),
        facts,
        tables: vec![latencies(found), used(found, meters, scenario.sessions)],
        readings: readings(found),
        curves: vec![Curves { name: "Latency from due to heard".to_owned(), unit: "µs".to_owned(), rows: curves }],
        verdicts: vec![
            none("frames lost", faults.lost),
            none("frames doubled", faults.duplicated),
            none("frames out of order", faults.reordered),
            none("frames altered", faults.altered),
            none("connections broken before their planned end", found.outcome.broken),
            none("sessions that could not be opened", found.refused.0.into()),
            none("messages that found no room", found.held_back),
        ],
        ..Report::default()
    })
}

fn lanes(found: &Found) -> impl Iterator<Item = (&'static str, hdrhistogram::Histogram<u64>)> {
    Lane::ALL.into_iter().map(|lane| (lane.as_str(), found.latencies.lane(lane).clone()))
}

fn latencies(found: &Found) -> Table {
    let head = ["lane", "frames", "p50 µs", "p90 µs", "p99 µs", "p99.9 µs", "max µs"].map(str::to_owned).to_vec();
    let mut rows = vec![head];
    for (name, lane) in [("all", found.latencies.all())].into_iter().chain(lanes(found)) {
        if lane.is_empty() {
            continue;
        }
        let mut row = vec![name.to_owned(), lane.len().to_string()];
        row.extend([0.5, 0.9, 0.99, 0.999, 1.0].map(|share| lane.value_at_quantile(share).to_string()));
        rows.push(row);
    }
    Table { name: "Latency from due to heard".to_owned(), rows }
}

fn used(found: &Found, meters: &[Meter], sessions: u32) -> Table {
    let head = ["process", "pid", "CPU % of one core", "MiB before", "MiB at the end", "KiB a session", "descriptors"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for (meter, [before, first, last]) in meters.iter().zip(&found.readings) {
        #[expect(clippy::cast_precision_loss, reason = "KiB of one process")]
        let mib = |kib: u64| kib as f64 / 1024.0;
        let grown = mib(last.memory_kib.saturating_sub(before.memory_kib)) * 1024.0;
        rows.push(vec![
            meter.name.clone(),
            meter.pid.to_string(),
            short((last.cpu_secs - first.cpu_secs) / found.secs * 100.0),
            short(mib(before.memory_kib)),
            short(mib(last.memory_kib)),
            short(grown / f64::from(sessions)),
            last.descriptors.to_string(),
        ]);
    }
    let own = short(found.own_cpu_secs / found.secs * 100.0);
    let mut row = vec!["generator".to_owned(), std::process::id().to_string(), own];
    row.resize(7, String::new());
    rows.push(row);
    Table { name: "What each process used".to_owned(), rows }
}

fn readings(found: &Found) -> Vec<(String, String)> {
    let mut readings = vec![
        ("sessions opened".to_owned(), found.opened.to_string()),
        ("frames heard".to_owned(), found.outcome.frames.to_string()),
        ("counted for".to_owned(), format!("{:?}", Duration::from_secs_f64(found.secs))),
        ("the generator itself was late, p99".to_owned(), format!("{} µs", found.late.value_at_quantile(0.99))),
        ("the generator itself was late, longest".to_owned(), format!("{} µs", found.late.max())),
    ];
    readings
        .extend(found.refused.1.clone().map(|reason| ("first session that could not be opened".to_owned(), reason)));
    readings
}

/// Reads `NAME=PID`.
fn meter(text: &str) -> Result<Meter, String> {
    let parsed = text.split_once('=').and_then(|(name, pid)| Some((name, pid.parse().ok().filter(|pid| 0 < *pid)?)));
    let (name, pid) = parsed.filter(|(name, _)| !name.is_empty()).ok_or("a process is NAME=PID, such as relay=1234")?;
    Ok(Meter { name: name.to_owned(), pid })
}
