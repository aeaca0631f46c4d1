//! The faults, one function each.

mod again;
mod beside;
mod blocked;
mod drain;
mod evil;
mod flood;
mod halt;
mod lose;
mod lossy;
mod outage;
mod redundant;
mod soup;
mod stop;
mod times;
mod upgrade;
mod weather;

use anyhow::Result;
use clap::ValueEnum;

use super::{Call, score::Outcome};
use crate::managers;

/// A row of the fault matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Row {
    /// A relay is killed.
    #[value(name = "F01")]
    Kill,
    /// A relay is killed that sessions reach by QUIC.
    #[value(name = "F01q")]
    KillQuic,
    /// A relay is cut off.
    #[value(name = "F02")]
    Partition,
    /// A relay is cut off by the kernel.
    #[value(name = "F02n")]
    PartitionHoused,
    /// All relays are replaced one after another.
    #[value(name = "F03")]
    Drain,
    /// A relay stands still for five seconds.
    #[value(name = "F04")]
    Freeze,
    /// One of two managers is killed.
    #[value(name = "F05")]
    Redundant,
    /// The manager is killed and away.
    #[value(name = "F07")]
    Outage,
    /// The network is bad.
    #[value(name = "F13")]
    Weather,
    /// The network is bad, and sessions go by QUIC.
    #[value(name = "F13q")]
    WeatherQuic,
    /// The kernel loses packets.
    #[value(name = "F13n")]
    Lossy,
    /// UDP is swallowed, nearly all lost, or cut to small packets.
    #[value(name = "F14")]
    Blocked,
    /// One receiver is slow.
    #[value(name = "F15")]
    Slow,
    /// Clocks differ.
    #[value(name = "F16")]
    Clocks,
    /// A certificate is renewed.
    #[value(name = "F18")]
    Certificates,
    /// The machine is busy.
    #[value(name = "F19")]
    Busy,
    /// Strangers come in numbers.
    #[value(name = "F20")]
    Flood,
    /// Strangers take their time.
    #[value(name = "F21")]
    Slowloris,
    /// A tool is killed and started again, without a manager.
    #[value(name = "F24")]
    Again,
    /// A relay and a manager are bad.
    #[value(name = "F25")]
    Evil,
    /// Everything at random.
    #[value(name = "F26")]
    Soup,
    /// Somebody is stopped at one of two managers.
    #[value(name = "stop")]
    Stop,
    /// The whole service is halted at one of two managers.
    #[value(name = "halt")]
    Halt,
    /// Two managers are upgraded, one after the other.
    #[value(name = "upgrade")]
    Upgrade,
    /// A relay with a thousand sessions is killed.
    #[value(name = "rehome")]
    Rehome,
}

impl Row {
    /// All rows, in the order in which they run.
    pub const ALL: &[Self] = &[
        Self::Kill,
        Self::KillQuic,
        Self::Partition,
        Self::PartitionHoused,
        Self::Drain,
        Self::Freeze,
        Self::Redundant,
        Self::Outage,
        Self::Weather,
        Self::WeatherQuic,
        Self::Lossy,
        Self::Blocked,
        Self::Slow,
        Self::Clocks,
        Self::Certificates,
        Self::Busy,
        Self::Flood,
        Self::Slowloris,
        Self::Again,
        Self::Evil,
        Self::Soup,
        Self::Stop,
        Self::Halt,
        Self::Upgrade,
        Self::Rehome,
    ];

    /// Its name.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Kill => "F01",
            Self::KillQuic => "F01q",
            Self::Partition => "F02",
            Self::PartitionHoused => "F02n",
            Self::Drain => "F03",
            Self::Freeze => "F04",
            Self::Redundant => "F05",
            Self::Outage => "F07",
            Self::Weather => "F13",
            Self::Lossy => "F13n",
            Self::WeatherQuic => "F13q",
            Self::Blocked => "F14",
            Self::Slow => "F15",
            Self::Clocks => "F16",
            Self::Certificates => "F18",
            Self::Busy => "F19",
            Self::Flood => "F20",
            Self::Slowloris => "F21",
            Self::Again => "F24",
            Self::Evil => "F25",
            Self::Soup => "F26",
            Self::Stop => "stop",
            Self::Halt => "halt",
            Self::Upgrade => "upgrade",
            Self::Rehome => "rehome",
        }
    }

    /// What is done to the system.
    pub const fn what(self) -> &'static str {
        match self {
            Self::Kill => "SIGKILL of the active relay",
            Self::KillQuic => "the same over QUIC",
            Self::Partition => "relay cut off: both, one side, one way",
            Self::PartitionHoused => "the same by packet filters, unanswered",
            Self::Drain => "rolling drain of all relays",
            Self::Freeze => "SIGSTOP of the active relay for 5 s",
            Self::Redundant => "SIGKILL of one of two managers, in turns",
            Self::Outage => "SIGKILL of the manager, then of a relay",
            Self::Weather => "delay, jitter, loss and rates, over TCP",
            Self::WeatherQuic => "the same over QUIC, reorder, doubles",
            Self::Lossy => "packets lost by filters; a slow cable",
            Self::Blocked => "UDP swallowed, 90 % lost, MTU 1,280",
            Self::Slow => "a slow receiver beside the others",
            Self::Clocks => "clocks of signer and relay differ",
            Self::Certificates => "certificate and key replaced while sessions begin",
            Self::Busy => "four hogs, then half a processor for the relays",
            Self::Flood => "5,000 connects and 1,000 Initials a second",
            Self::Slowloris => "1,900 slow connections",
            Self::Again => "SIGKILL of a tool and its restart, no manager",
            Self::Evil => "tampered frames, pairings with a stranger",
            Self::Soup => "faults at random",
            Self::Stop => "stopped at one manager, at work at the other",
            Self::Halt => "everything halted at one manager, then lifted",
            Self::Upgrade => "both managers in turn, a changed schema",
            Self::Rehome => "SIGKILL of a relay with 1,000 sessions",
        }
    }

    /// What must hold beside the invariants.
    pub const fn target(self) -> &'static str {
        match self {
            Self::Kill | Self::KillQuic => "gap p50 < 150 ms, p99 < 500 ms",
            Self::Partition | Self::PartitionHoused => "gap p99 < 2.5 s",
            Self::Drain => "gap p99 < 100 ms, no session lost",
            Self::Freeze => "gap p99 < 2.5 s, no split session",
            Self::Redundant => "0 requests fail twice, each number entered once",
            Self::Outage => "each session once in the log with its end, audit whole",
            Self::Weather | Self::WeatherQuic => "input p99 <= round trip + jitter + 100 ms up to 5 % loss",
            Self::Lossy => "sessions go on, none leaves a slow cable",
            Self::Blocked => "begins <= 300 ms later, then <= 50 ms",
            Self::Slow => "input p99 of the others + < 1 ms, relay + <= 4 MiB",
            Self::Clocks => "tickets out of their time: none taken",
            Self::Certificates => "0 sessions fail to begin",
            Self::Busy => "input p99 < 150 ms, no session lost",
            Self::Flood => "all new sessions begin, answer <= 3 x, relay + <= 64 MiB",
            Self::Slowloris => "closed within 10 s, input p99 + <= 10 % and 1 ms",
            Self::Again => "first picture p99 <= 5 s after the start",
            Self::Evil => "none accepted",
            Self::Soup => "every invariant holds",
            Self::Stop => "sessions, stream and login end within 5 s",
            Self::Halt => "sessions and streams end, all refused within 5 s",
            Self::Upgrade => "0 requests fail, no session ends",
            Self::Rehome => "all re-homed within 3 s",
        }
    }

    /// Where to look when it has not passed.
    pub const fn look_at(self) -> &'static str {
        match self {
            Self::Kill | Self::Rehome => "proto/link/src/roam.rs (who moves) and sealed/actor/ (what is sent again)",
            Self::KillQuic => "proto/link/src/quic/refusals.rs (what the system tells), then keepalive.rs",
            Self::Blocked => "proto/link/src/race/",
            Self::Partition | Self::PartitionHoused | Self::Freeze => {
                "proto/link/src/keepalive.rs (when silence is noticed), then roam.rs"
            }
            Self::Redundant => "manager/README.md (the balancer), manager/src/reception/ and session/ (idempotency)",
            Self::Outage => "relay/src/report.rs (what waits), manager/src/session/sweep.rs (what is closed)",
            Self::Drain => "relay/src/drain.rs (goaway), then proto/link/src/roam.rs (make before break)",
            Self::Weather | Self::Lossy => "proto/link/src/keepalive.rs (patience), relay/src/forward/ (lanes)",
            Self::WeatherQuic => "proto/link/src/quic/config.rs (congestion, loss)",
            Self::Slow => "relay/src/forward/seat.rs (queues and room)",
            Self::Clocks => "proto/src/ticket.rs (times), relay/src/admit.rs",
            Self::Certificates => "relay/src/lib.rs (renew_certificate), ops (Certificate)",
            Self::Busy => "relay/src/plane.rs (what shares a thread)",
            Self::Flood => "relay/src/gate.rs and sources.rs",
            Self::Slowloris => "relay/src/listen.rs (deadlines)",
            Self::Again => "proto/link/src/sealed/exchange.rs (who calls), proto/desk/src/bookmark/ (what is kept)",
            Self::Evil => "proto/src/seal/",
            Self::Stop => "manager/src/session/sweep.rs and events/api.rs (pauses), relay/src/report.rs (heartbeats)",
            Self::Halt => {
                "manager/src/halt/mod.rs (who reads the switch), relay/src/report.rs and events/api.rs (pauses)"
            }
            Self::Upgrade => {
                "ops/src/web.rs (how a manager leaves), manager/src/db/migrate.rs (which schema it runs on)"
            }
            Self::Soup => "the seed: run the row again with it, and the rows of the single faults",
        }
    }

    /// How often the fault happens in a full run.
    pub const fn repeat(self) -> u32 {
        match self {
            Self::Kill | Self::KillQuic => 50,
            Self::Partition => 28,
            Self::PartitionHoused => 14,
            Self::Freeze | Self::Redundant | Self::Again => 20,
            Self::Evil | Self::Blocked => 10,
            Self::Slow | Self::Slowloris => 7,
            Self::Upgrade => 6,
            Self::Drain | Self::Outage | Self::Flood | Self::Halt => 3,
            Self::Soup | Self::Stop => 5,
            Self::Certificates | Self::Busy => 2,
            Self::Weather | Self::WeatherQuic | Self::Lossy | Self::Clocks | Self::Rehome => 1,
        }
    }

    /// How often in a short run.
    pub const fn quick(self) -> u32 {
        if matches!(self, Self::Kill | Self::PartitionHoused) {
            3
        } else if matches!(self, Self::Redundant | Self::Again | Self::Upgrade) {
            // Each manager, each side once.
            2
        } else {
            1
        }
    }

    /// Why it is not run in its short form, if so.
    pub const fn not_quick(self) -> Option<&'static str> {
        match self {
            Self::Certificates => Some("a relay looks for a renewed certificate once a minute"),
            Self::Kill
            | Self::KillQuic
            | Self::Blocked
            | Self::Partition
            | Self::PartitionHoused
            | Self::Drain
            | Self::Freeze
            | Self::Redundant
            | Self::Outage
            | Self::Weather
            | Self::WeatherQuic
            | Self::Lossy
            | Self::Slow
            | Self::Clocks
            | Self::Busy
            | Self::Flood
            | Self::Slowloris
            | Self::Again
            | Self::Evil
            | Self::Soup
            | Self::Stop
            | Self::Halt
            | Self::Upgrade
            | Self::Rehome => None,
        }
    }

    /// Why it cannot be run on this machine, if so.
    pub fn lacks(self) -> Option<String> {
        if matches!(self, Self::Redundant | Self::Stop | Self::Halt | Self::Upgrade) {
            managers::lacks_for_two()
        } else {
            None
        }
    }

    /// Whether it runs in namespaces of its own ([`super::house`]).
    pub const fn is_housed(self) -> bool {
        matches!(self, Self::PartitionHoused | Self::Lossy)
    }

    /// The row in one line.
    pub fn describe(self) -> String {
        let (id, what, target) = (self.id(), self.what(), self.target());
        format!("{id:<7}  {what:<40}  repeat {:>3}, quick {:>2}  target: {target}", self.repeat(), self.quick())
    }

    /// Its outcome before anything has happened.
    pub fn outcome(self) -> Outcome {
        Outcome {
            row: self.id().to_owned(),
            what: self.what().to_owned(),
            target: self.target().to_owned(),
            look_at: self.look_at().to_owned(),
            ..Outcome::default()
        }
    }

    /// Runs it.
    ///
    /// # Errors
    /// When it cannot be run to its end.
    pub async fn run(self, call: &Call) -> Result<Outcome> {
        match self {
            Self::Kill => lose::kill(call).await,
            Self::KillQuic => lose::kill_quic(call).await,
            Self::Blocked => blocked::blocked(call).await,
            Self::Partition => lose::partition(call).await,
            Self::PartitionHoused => lose::partition_housed(call).await,
            Self::Drain => drain::drain(call).await,
            Self::Freeze => lose::freeze(call).await,
            Self::Redundant => redundant::one_of_two(call).await,
            Self::Outage => outage::outage(call).await,
            Self::Weather => weather::grid(call).await,
            Self::Lossy => lossy::lossy(call).await,
            Self::WeatherQuic => weather::grid_quic(call).await,
            Self::Slow => weather::slow_receiver(call).await,
            Self::Clocks => times::clocks(call).await,
            Self::Certificates => times::certificates(call).await,
            Self::Busy => times::busy(call).await,
            Self::Flood => flood::flood(call).await,
            Self::Slowloris => flood::slowloris(call).await,
            Self::Again => again::again(call).await,
            Self::Evil => evil::evil(call).await,
            Self::Soup => soup::soup(call).await,
            Self::Stop => stop::stop(call).await,
            Self::Halt => halt::halt(call).await,
            Self::Upgrade => upgrade::upgrade(call).await,
            Self::Rehome => lose::rehome(call).await,
        }
    }
}
