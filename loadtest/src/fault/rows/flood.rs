//! F20 and F21: strangers who come in numbers, and strangers who take their time.
//!
//! They come from many addresses of loopback, as strangers do; the relay has its own limits here and not the wide ones
//! of the other rows, in which all tools share one address.

use std::{collections::BTreeMap, net::Ipv4Addr, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use link::{tcp, tls::Pin};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream, UdpSocket},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};

use super::beside::Beside;
use crate::{
    fault::{
        Call,
        crowd::{Load, Matchmaker},
        relays::{Plan, Relay},
        score::Outcome,
        trial::Trial,
    },
    process::usage,
};

/// Addresses the flood comes from.
const SOURCES: u8 = 32;
/// TCP connections a second.
const CONNECTS_PER_SEC: u32 = 5_000;
/// QUIC Initials a second.
const INITIALS_PER_SEC: u32 = 1_000;
/// Different Initials; more would only cost this machine.
const INITIALS: usize = 512;
/// Connections of the flood that are open at the same time: more are not begun.
const OPEN_MAX: usize = 4_000;
/// Length of a flood.
const FLOOD: Duration = Duration::from_secs(15);
/// The same in the short form.
const FLOOD_QUICK: Duration = Duration::from_secs(2);
/// Pause between two new sessions meanwhile.
const LEGITIMATE_EVERY: Duration = Duration::from_millis(200);
/// Growth of the relay that a flood may cost, KiB: what its limits on handshakes allow.
const GROWTH_MAX_KIB: u64 = 64 * 1024;
/// Bytes back for each byte of a stranger whose address nobody has proved. Source: RFC 9000 section 8.1.
const AMPLIFICATION_MAX: f64 = 3.0;
/// Sessions under load meanwhile.
const SESSIONS: usize = 10;

/// Slow connections that send nothing, and that send a byte now and then.
const SLOW: usize = 900;
/// Slow connections that finish TLS and say no hello.
const SLOW_TLS: usize = 100;
/// The others' input beside slow connections: often enough for some 6,000 readings in each window.
const PROBES: Load = Load { sessions: SESSIONS, inputs_per_sec: 50, ..Load::STANDING };
/// Each window is this long: slow connections live no longer than [`SLOW_MAX`].
const WINDOW: Duration = Duration::from_secs(6);
/// A slow connection is closed within this time.
const SLOW_MAX: Duration = Duration::from_secs(10);

fn plan(call: &Call) -> Plan {
    Plan { strict: true, ..Plan::of(2, false, call.seed) }
}

fn source(index: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 1, 0, 1 + u8::try_from(index % usize::from(SOURCES)).unwrap_or(0))
}

/// F20: connections that begin nothing and QUIC Initials with addresses of others, while new sessions begin.
pub(super) async fn flood(call: &Call) -> Result<Outcome> {
    let mut trial = Trial::start_with(call, plan(call), Load::of(SESSIONS)).await?;
    let relay = trial.relays.relay(0)?;
    let (listen, process_id) = (relay.listen(), relay.process_id());
    let before = usage(process_id)?.resident_kib;
    let span = if call.is_quick { FLOOD_QUICK } else { FLOOD };
    let maker = trial.relays.matchmaker();
    for _ in 0..=call.repeat {
        let arrived = trial.relays.relay(0)?.arrivals().await?;
        let (connects, initials, legitimate) = tokio::join!(
            connect_flood(listen, span),
            initial_flood(listen, relay_pin(trial.relays.relay(0)?)?, span),
            newcomers(&maker, span)
        );
        let (sent, back) = initials?;
        #[expect(clippy::cast_precision_loss, reason = "bytes of seconds")]
        let amplification = back as f64 / sent.max(1) as f64;
        let (tried, failed) = legitimate;
        let unmet: usize = failed.values().sum();
        trial.outcome.note(format!(
            "{connects} connections, {sent} bytes of Initials answered with {back} ({amplification:.2} ×), {} of \
             {tried} new sessions began, connections at the relay: {}",
            tried - unmet,
            since(&arrived, &trial.relays.relay(0)?.arrivals().await?)
        ));
        trial.outcome.must(unmet == 0, || format!("{unmet} of {tried} new sessions did not begin: {failed:?}"));
        trial.outcome.must(amplification <= AMPLIFICATION_MAX, || format!("amplification {amplification:.2}"));
        trial.outcome.bad_inputs = trial.outcome.bad_inputs.saturating_add(connects);
        trial.outcome.faults = trial.outcome.faults.saturating_add(1);
    }
    let grown = usage(process_id)?.resident_kib.saturating_sub(before);
    trial.outcome.note(format!("the relay grew by {grown} KiB"));
    trial.outcome.must(grown <= GROWTH_MAX_KIB, || format!("the relay grew by {grown} KiB"));
    // What a flood may leave in memory is judged here: how many strangers are there at once differs from flood to flood.
    trial.rebase()?;
    trial.finish().await
}

fn relay_pin(relay: &Relay) -> Result<Pin> {
    Pin::from_hex(&relay.spki()).context("a relay has a key that is not one")
}

/// Opens connections that say a few bytes of nonsense; how many.
async fn connect_flood(relay: std::net::SocketAddr, span: Duration) -> u64 {
    let mut strangers = JoinSet::new();
    let (mut count, until) = (0, Instant::now() + span);
    let mut tick = interval(Duration::from_millis(10));
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while Instant::now() < until {
        tick.tick().await;
        while strangers.try_join_next().is_some() {}
        for _ in 0..CONNECTS_PER_SEC / 100 {
            if strangers.len() < OPEN_MAX {
                let from = source(strangers.len());
                count += 1;
                strangers.spawn(async move {
                    let Ok(mut stream) = connect_from(from, relay).await else { return };
                    // A relay that has closed already is what is hoped for.
                    drop(stream.write_all(b"\x16\x03\x01\x02\x00nonsense").await);
                    drop(timeout(SLOW_MAX, stream.read(&mut [0; 64])).await);
                });
            }
        }
    }
    count
}

async fn connect_from(from: Ipv4Addr, relay: std::net::SocketAddr) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    Ok(socket.connect(relay).await?)
}

/// Sends Initials of true handshakes from many addresses; bytes sent, bytes that came back.
async fn initial_flood(relay: std::net::SocketAddr, pin: Pin, span: Duration) -> Result<(u64, u64)> {
    let initials = initials(pin).await?;
    let mut sockets = Vec::new();
    for index in 0..usize::from(SOURCES) {
        sockets.push(UdpSocket::bind((source(index), 0)).await?);
    }
    let (mut sent, mut back, until) = (0u64, 0u64, Instant::now() + span);
    let mut tick = interval(Duration::from_millis(10));
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut turn = 0usize;
    while Instant::now() < until {
        tick.tick().await;
        for _ in 0..INITIALS_PER_SEC / 100 {
            let (socket, initial) = (&sockets[turn % sockets.len()], &initials[turn % initials.len()]);
            turn = turn.wrapping_add(1);
            sent = sent.saturating_add(u64::try_from(socket.send_to(initial, relay).await?)?);
        }
        let mut answer = [0; 2048];
        for socket in &sockets {
            while let Ok(len) = socket.try_recv(&mut answer) {
                back = back.saturating_add(u64::try_from(len)?);
            }
        }
    }
    Ok((sent, back))
}

/// First packets of handshakes that nobody goes on with.
async fn initials(pin: Pin) -> Result<Vec<Vec<u8>>> {
    let trap = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let at = trap.local_addr()?;
    let mut initials = Vec::new();
    for _ in 0..INITIALS {
        let dialing = tokio::spawn(async move { link::quic::connect_any(at, "localhost", pin).await.map(drop) });
        let mut packet = vec![0; 2048];
        let len = timeout(SLOW_MAX, trap.recv(&mut packet)).await.context("no Initial was sent")??;
        packet.truncate(len);
        initials.push(packet);
        dialing.abort();
    }
    Ok(initials)
}

/// What was counted between two looks.
fn since(before: &BTreeMap<String, f64>, after: &BTreeMap<String, f64>) -> String {
    let counted = after.iter().map(|(result, count)| (result, count - before.get(result).unwrap_or(&0.0)));
    let said: Vec<_> =
        counted.filter(|(_, count)| 0.0 < *count).map(|(result, count)| format!("{result} {count}")).collect();
    said.join(", ")
}

/// Begins sessions one after another; how many were tried, and how often each error kept one from beginning.
async fn newcomers(maker: &Arc<dyn Matchmaker>, span: Duration) -> (usize, BTreeMap<String, usize>) {
    let mut sessions = JoinSet::new();
    let until = Instant::now() + span;
    let mut index = 0;
    while Instant::now() < until {
        sessions.spawn(maker.make(index));
        index += 1;
        sleep(LEGITIMATE_EVERY).await;
    }
    let made = sessions.join_all().await;
    let mut failed = BTreeMap::new();
    for error in made.iter().filter_map(|made| made.as_ref().err()) {
        *failed.entry(format!("{error:#}")).or_default() += 1;
    }
    (made.len(), failed)
}

/// F21: connections that send nothing, a byte now and then, or nothing after TLS.
///
/// Each round is a window without and a window with slow connections, in which the others say ten times as many inputs
/// as in other rows; [`Beside`] says why one pair of windows of a few hundred readings is no verdict.
pub(super) async fn slowloris(call: &Call) -> Result<Outcome> {
    let mut trial = Trial::start_with(call, plan(call), PROBES).await?;
    let (share, span) = if call.is_quick { (10, WINDOW / 3) } else { (1, WINDOW) };
    let mut ways = Beside::default();
    for round in 0..=call.repeat {
        if round == 1 {
            // The first round has shown how much memory one takes.
            trial.rebase()?;
        }
        ways.without(&trial.crowd, span).await?;
        let relay = trial.relays.relay(0)?;
        let (listen, pin) = (relay.listen(), relay_pin(relay)?);
        let mut slow = JoinSet::new();
        for index in 0..SLOW / share {
            slow.spawn(silent(listen, source(index), false));
            slow.spawn(silent(listen, source(index), true));
            if index % 20 == 0 {
                // More at once than the system's queue of a listener holds would count as open before the relay sees them.
                sleep(Duration::from_millis(20)).await;
            }
        }
        for _ in 0..SLOW_TLS / share {
            slow.spawn(speechless(listen, pin));
        }
        let count = slow.len();
        ways.with(&trial.crowd, span).await?;
        let closed: Vec<Duration> = slow.join_all().await.into_iter().flatten().collect();
        let last = closed.iter().max().copied().unwrap_or_default();
        trial.outcome.note(format!(
            "{} of {count} were closed, the last after {:.1} s",
            closed.len(),
            last.as_secs_f64()
        ));
        trial.outcome.must(closed.len() == count, || format!("{} are open still", count - closed.len()));
        trial.outcome.bad_inputs = trial.outcome.bad_inputs.saturating_add(u64::try_from(count)?);
        trial.outcome.faults = trial.outcome.faults.saturating_add(1);
    }
    trial.outcome.note(ways.describe());
    let [calm, beside] = ways.medians();
    let is_fine = call.is_quick || beside <= calm.mul_add(1.1, 1.0);
    trial.outcome.must(is_fine, || format!("p99 of the others rose from {calm:.1} to {beside:.1} ms"));
    trial.finish().await
}

/// Says nothing, or a byte each second; after how long the relay closed, if it did in time.
async fn silent(relay: std::net::SocketAddr, from: Ipv4Addr, drips: bool) -> Option<Duration> {
    let mut stream = connect_from(from, relay).await.ok()?;
    let begun = Instant::now();
    let dripping = async {
        let (mut reader, mut writer) = stream.split();
        let mut drip = interval(Duration::from_secs(1));
        let mut answer = [0; 64];
        loop {
            tokio::select! {
                read = reader.read(&mut answer) => if matches!(read, Ok(0) | Err(_)) { return },
                _ = drip.tick(), if drips => if writer.write_all(&[0x16]).await.is_err() { return },
            }
        }
    };
    timeout(SLOW_MAX, dripping).await.ok()?;
    Some(begun.elapsed())
}

/// Finishes TLS and says no hello; after how long the relay closed, if it did in time.
async fn speechless(relay: std::net::SocketAddr, pin: Pin) -> Option<Duration> {
    let begun = Instant::now();
    // One that was not let in is closed, too.
    if let Ok(mut connection) = tcp::connect_any(relay, "localhost", pin).await {
        timeout(SLOW_MAX, connection.reader.drain()).await.ok()?;
    }
    Some(begun.elapsed())
}
