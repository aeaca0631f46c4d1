//! What was read so far, and the report of it.

use hdrhistogram::Histogram;
use proto::frame::Lane;

use super::{Flags, Kind};
use crate::{
    bench::bulk::FRAME_BYTES,
    load::{generator::Found, mix::Mix},
    report::{Curves, Measure, Report, Row, Verdict, curve, machine, median, short},
};

/// Our relay with the hybrid key exchange.
pub(super) const HYBRID: &str = "relay, X25519MLKEM768";

/// Our relay with both sides of each session on QUIC.
pub(super) const QUIC: &str = "relay, QUIC";

/// What is read in each round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Figure {
    CpuPerGb,
    GbPerSec,
    AddedP50,
    AddedP99,
    AddedP999,
    WholeP50,
    WholeP99,
    WholeP999,
    InputP99,
    LiveCpu,
    IdleKib,
    Handshakes,
}

impl Figure {
    const ALL: [Self; 12] = [
        Self::CpuPerGb,
        Self::GbPerSec,
        Self::AddedP50,
        Self::AddedP99,
        Self::AddedP999,
        Self::WholeP50,
        Self::WholeP99,
        Self::WholeP999,
        Self::InputP99,
        Self::LiveCpu,
        Self::IdleKib,
        Self::Handshakes,
    ];

    /// Name and unit.
    const fn title(self) -> (&'static str, &'static str) {
        match self {
            Self::CpuPerGb => ("CPU of the server for one GB forwarded", "s/GB"),
            Self::GbPerSec => ("Throughput beside the generator on the same machine", "GB/s"),
            Self::AddedP50 => ("Latency added to a direct connection, p50", "µs"),
            Self::AddedP99 => ("Latency added to a direct connection, p99", "µs"),
            Self::AddedP999 => ("Latency added to a direct connection, p99.9", "µs"),
            Self::WholeP50 => ("Latency from due to heard, p50", "µs"),
            Self::WholeP99 => ("Latency from due to heard, p99", "µs"),
            Self::WholeP999 => ("Latency from due to heard, p99.9", "µs"),
            Self::InputP99 => ("Latency of input from due to heard, p99", "µs"),
            Self::LiveCpu => ("CPU of the server under the recorded mix", "% of one core"),
            Self::IdleKib => ("Memory of an idle session (two connections)", "KiB"),
            Self::Handshakes => ("Full TLS 1.3 handshakes for one CPU second", "1/s"),
        }
    }
}

pub(super) struct Book {
    measures: Vec<(Figure, Measure)>,
    whole: Vec<(String, Histogram<u64>)>,
    late_p99_us: u64,
    late_max_us: u64,
    held_back: u64,
    frames: u64,
    own_cpu: Vec<f64>,
    facts: Vec<(String, String)>,
    has_haproxy: bool,
}

impl Book {
    pub(super) fn new(flags: &Flags, kinds: &[Kind]) -> Self {
        let measures = Figure::ALL.map(|figure| {
            let (name, unit) = figure.title();
            let bases = match figure {
                Figure::CpuPerGb => vec!["HAProxy".to_owned(), "TLS copy".to_owned(), "plain copy".to_owned()],
                Figure::IdleKib | Figure::Handshakes | Figure::LiveCpu => {
                    vec!["HAProxy".to_owned(), "TLS copy".to_owned()]
                }
                Figure::GbPerSec
                | Figure::AddedP50
                | Figure::AddedP99
                | Figure::AddedP999
                | Figure::WholeP50
                | Figure::WholeP99
                | Figure::WholeP999
                | Figure::InputP99 => vec!["HAProxy".to_owned()],
            };
            let less_is_better = !matches!(figure, Figure::GbPerSec | Figure::Handshakes);
            (figure, Measure { name: name.to_owned(), unit: unit.to_owned(), less_is_better, bases, rows: Vec::new() })
        });
        let mut facts = machine();
        let (messages, bytes) = Mix::recorded().map_or((0.0, 0.0), |mix| mix.script(1.0).rates());
        let all = f64::from(flags.sessions);
        facts.extend([
            ("rounds".to_owned(), format!("{}, who begins changes", flags.rounds)),
            ("TLS".to_owned(), "1.3, AES-128-GCM, X25519, ECDSA P-256, nothing resumed".to_owned()),
            (
                "bulk".to_owned(),
                format!("{} GB in frames of {FRAME_BYTES} bytes, {} streams", flags.gigabytes, flags.streams),
            ),
            (
                "latency".to_owned(),
                format!(
                    "{} sessions of the recorded mix, {:.0} messages/s and {:.1} Mbit/s in all, {} s a round, open loop",
                    flags.sessions,
                    messages * all,
                    bytes * all * 8e-6,
                    flags.seconds
                ),
            ),
            ("memory".to_owned(), format!("growth of PSS over {} sessions", flags.idle)),
            ("handshakes".to_owned(), format!("{} a round", flags.handshakes)),
        ]);
        Self {
            measures: measures.to_vec(),
            whole: Vec::new(),
            late_p99_us: 0,
            late_max_us: 0,
            held_back: 0,
            frames: 0,
            own_cpu: Vec::new(),
            facts,
            has_haproxy: kinds.contains(&Kind::Haproxy),
        }
    }

    pub(super) fn add(&mut self, figure: Figure, who: &str, value: f64) {
        let Some((_, measure)) = self.measures.iter_mut().find(|(own, _)| *own == figure) else { return };
        match measure.rows.iter_mut().find(|row| row.who == who) {
            Some(row) => row.values.push(value),
            None => measure.rows.push(Row { who: who.to_owned(), values: vec![value] }),
        }
    }

    /// Takes the latencies of one run of the mix; those of `direct` are what a server adds to.
    pub(super) fn add_live(&mut self, who: &str, found: &Found, direct: Option<&Found>) {
        let all = found.latencies.all();
        for (whole, added, share) in [
            (Figure::WholeP50, Figure::AddedP50, 0.5),
            (Figure::WholeP99, Figure::AddedP99, 0.99),
            (Figure::WholeP999, Figure::AddedP999, 0.999),
        ] {
            let value = at(&all, share);
            self.add(whole, who, value);
            if let Some(direct) = direct {
                self.add(added, who, value - at(&direct.latencies.all(), share));
            }
        }
        self.add(Figure::InputP99, who, at(found.latencies.lane(Lane::Input), 0.99));
        if let [[_, first, last]] = found.readings[..] {
            self.add(Figure::LiveCpu, who, (last.cpu_secs - first.cpu_secs) / found.secs * 100.0);
        }
        match self.whole.iter_mut().find(|(own, _)| own == who) {
            // Both have the same range, so nothing is left out.
            Some((_, sum)) => *sum += &all,
            None => self.whole.push((who.to_owned(), all)),
        }
        self.late_p99_us = self.late_p99_us.max(found.late.value_at_quantile(0.99));
        self.late_max_us = self.late_max_us.max(found.late.max());
        self.held_back += found.held_back;
        self.frames += found.outcome.frames;
        self.own_cpu.push(found.own_cpu_secs / found.secs * 100.0);
    }

    /// The newest figures of one of them, for the person who waits.
    pub(super) fn newest(&self, who: &str) -> String {
        let value = |figure: Figure| {
            let measure = self.measures.iter().find(|(own, _)| *own == figure);
            measure
                .and_then(|(_, measure)| measure.row(who).last())
                .map_or_else(|| "–".to_owned(), |value| short(*value))
        };
        format!(
            "{who}: {} s/GB, added p50 {} µs and p99 {} µs, {} KiB idle, {} handshakes/s",
            value(Figure::CpuPerGb),
            value(Figure::AddedP50),
            value(Figure::AddedP99),
            value(Figure::IdleKib),
            value(Figure::Handshakes),
        )
    }

    pub(super) fn report(self) -> Report {
        let verdicts = self.verdicts();
        let curves = Curves {
            name: "Latency from due to heard, all rounds together".to_owned(),
            unit: "µs".to_owned(),
            rows: self.whole.iter().map(|(who, all)| curve(who, all)).collect(),
        };
        let readings = vec![
            ("frames lost, doubled, out of order or altered".to_owned(), format!("0 of {}", self.frames)),
            ("messages the generator could not hand over".to_owned(), self.held_back.to_string()),
            ("the generator itself was late, worst p99 of a run".to_owned(), format!("{} µs", self.late_p99_us)),
            ("the generator itself was late, longest".to_owned(), format!("{} µs", self.late_max_us)),
            (
                "CPU of the generator under the mix".to_owned(),
                format!("{} % of one core", short(median(&self.own_cpu))),
            ),
        ];
        let measures = self.measures.into_iter().map(|(_, measure)| measure).filter(|measure| !measure.rows.is_empty());
        Report {
            title: "uketsuke-loadtest bench relay".to_owned(),
            facts: self.facts,
            measures: measures.collect(),
            readings,
            curves: vec![curves],
            verdicts,
            ..Report::default()
        }
    }

    /// The figures of the relay against what they should be.
    fn verdicts(&self) -> Vec<Verdict> {
        let measure = |figure: Figure| self.measures.iter().find(|(own, _)| *own == figure).map(|(_, measure)| measure);
        let own = |figure: Figure| measure(figure).map_or(0.0, |measure| median(measure.row("relay")));
        let ratio = |figure: Figure, base: &str| measure(figure).map_or(0.0, |m| median(&m.ratios("relay", base)));
        let other = |figure: Figure, who: &str| measure(figure).map_or(0.0, |measure| median(measure.row(who)));
        let quic_ratio = measure(Figure::CpuPerGb).map_or(0.0, |measure| median(&measure.ratios(QUIC, "relay")));
        let verdict =
            |what: &str, found: f64, bound: f64| Verdict { what: what.to_owned(), found, bound, at_most: true };
        let mut verdicts = vec![
            verdict("CPU per GB × TLS copy", ratio(Figure::CpuPerGb, "TLS copy"), 1.1),
            verdict("CPU per GB by QUIC × TLS over TCP", quic_ratio, 2.5),
            verdict("added latency p50, µs", own(Figure::AddedP50), 60.0),
            verdict("added latency p99, µs", own(Figure::AddedP99), 1000.0),
            verdict("KiB for an idle session", own(Figure::IdleKib), 24.0),
        ];
        if self.has_haproxy {
            let (p50, p99) = (other(Figure::AddedP50, "HAProxy"), other(Figure::AddedP99, "HAProxy"));
            verdicts.extend([
                verdict("CPU per GB × HAProxy", ratio(Figure::CpuPerGb, "HAProxy"), 0.45),
                verdict("added latency p50 no worse than HAProxy's, µs", own(Figure::AddedP50), p50),
                verdict("added latency p99 no worse than HAProxy's, µs", own(Figure::AddedP99), p99),
                Verdict {
                    at_most: false,
                    ..verdict("handshakes for one CPU second × HAProxy", ratio(Figure::Handshakes, "HAProxy"), 1.2)
                },
            ]);
        }
        verdicts
    }
}

/// A quantile, microseconds.
fn at(all: &Histogram<u64>, share: f64) -> f64 {
    u32::try_from(all.value_at_quantile(share)).map_or(f64::INFINITY, f64::from)
}
