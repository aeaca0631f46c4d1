//! How much may be under way on a connection: as Cubic has it, and never less than a floor.
//!
//! Cubic takes every lost packet for a queue that is full. Where a radio loses one in twenty it lets two or three packets
//! out for each round trip, and with so few under way the loss of a packet is noticed by a timer only, seconds later: a
//! key press waits for room that the network has. So a session may always send at the rate of a call with pictures, as
//! those do, too. What it says is bounded from tool to tool, and a floor that counts by the shortest round trip of late
//! fills no queue on a line that carries this rate. The library's shortest one is that of the whole life of a
//! connection: a tool that goes from a cable to a radio would keep the cable's floor, and a fraction of its rate.

use std::{
    any::Any,
    sync::Arc,
    time::{Duration, Instant},
};

use quinn::congestion::{Controller, ControllerFactory, ControllerMetrics, CubicConfig};
use quinn_proto::RttEstimator;

/// Bytes a second that a session may always send: 512 kbit/s.
const RATE_MIN: f64 = 64_000.0;
/// Bytes that may always be under way: what every connection may send unasked at its beginning. Source: RFC 9002
/// section 7.2. On a line of 1 Mbit/s they stand in a queue for 100 ms.
const FLOOR_MIN: u64 = 10 * 1_200;
/// The floor, however long the way is: a second of it.
const FLOOR_MAX: u64 = 64_000;
/// A packet is under way until it is acknowledged, at most so long after it arrived, or counts as lost, an eighth of a
/// round trip after its acknowledgement was due. Source: RFC 9002 section 6.1.2, and the library's delay. Without it the
/// floor would carry less than its rate, the more the more is lost.
const NOTICED_AFTER: Duration = Duration::from_millis(25);
/// The shortest round trip is that of the last one or two spans of this length: longer than a queue stays full, which
/// would be taken for a longer way, and than what was lost takes to come again.
const SPAN: Duration = Duration::from_secs(5);

/// Makes a controller for each connection.
#[derive(Debug, Default)]
pub(super) struct Steady {
    cubic: Arc<CubicConfig>,
}

struct Floored {
    cubic: Box<dyn Controller>,
    shortest: Shortest,
    /// When the other end last acknowledged something new.
    answered_at: Option<Instant>,
}

/// When the other end last acknowledged something new; `None` before it has. What it repeats, and whatever else comes
/// from it, proves less: a network may pass one direction only.
pub(crate) fn answered_at(connection: &quinn::Connection) -> Option<Instant> {
    connection.congestion_state().into_any().downcast::<Floored>().ok()?.answered_at
}

/// The shortest round trip of late.
#[derive(Debug, Clone, Copy, Default)]
struct Shortest {
    since: Option<Instant>,
    /// Of this span, and of the one before.
    of: [Option<Duration>; 2],
}

impl Shortest {
    fn add(&mut self, now: Instant, round_trip: Duration) {
        let since = *self.since.get_or_insert(now);
        if since + SPAN <= now {
            // After a pause longer than a span, what was before it says nothing.
            self.of = [None, self.of[0].filter(|_| now < since + 2 * SPAN)];
            self.since = Some(now);
        }
        self.of[0] = Some(self.of[0].map_or(round_trip, |known| known.min(round_trip)));
    }

    fn get(&self) -> Option<Duration> {
        self.of.into_iter().flatten().min()
    }
}

impl ControllerFactory for Steady {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        let cubic = Arc::clone(&self.cubic).build(now, current_mtu);
        Box::new(Floored { cubic, shortest: Shortest::default(), answered_at: None })
    }
}

/// The floor where the shortest round trip takes so long.
fn floor(round_trip: Duration) -> u64 {
    let under_way = round_trip.saturating_add(round_trip / 8).saturating_add(NOTICED_AFTER);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped before")]
    let bytes = (RATE_MIN * under_way.as_secs_f64()).clamp(0.0, 1e9) as u64;
    bytes.clamp(FLOOR_MIN, FLOOR_MAX)
}

impl Controller for Floored {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.cubic.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, app_limited: bool, rtt: &RttEstimator) {
        self.answered_at = Some(now);
        self.shortest.add(now, now.saturating_duration_since(sent));
        self.cubic.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, app_limited: bool, largest_packet_num_acked: Option<u64>) {
        self.cubic.on_end_acks(now, in_flight, app_limited, largest_packet_num_acked);
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, is_persistent_congestion: bool, lost_bytes: u64) {
        self.cubic.on_congestion_event(now, sent, is_persistent_congestion, lost_bytes);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.cubic.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        self.cubic.window().max(self.shortest.get().map_or(FLOOR_MIN, floor))
    }

    fn metrics(&self) -> ControllerMetrics {
        self.cubic.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        let Self { shortest, answered_at, .. } = *self;
        Box::new(Self { cubic: self.cubic.clone_box(), shortest, answered_at })
    }

    fn initial_window(&self) -> u64 {
        self.cubic.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_much_is_lost_a_session_keeps_its_floor() {
        let begun = tokio::time::Instant::now().into_std();
        let mut controller = Arc::new(Steady::default()).build(begun, 1_200);
        for second in 1..20 {
            let now = begun + Duration::from_secs(second);
            controller.on_congestion_event(now, now, true, 1_200);
        }

        assert_eq!(controller.window(), FLOOR_MIN);
        assert_eq!(controller.clone_box().window(), FLOOR_MIN);
    }

    #[test]
    fn the_floor_goes_by_the_round_trip_of_late_when_the_way_has_become_longer() {
        let begun = tokio::time::Instant::now().into_std();
        let after = |millis| begun + Duration::from_millis(millis);
        let millis = Duration::from_millis;
        let mut shortest = Shortest::default();
        assert_eq!(shortest.get(), None);
        for at in (0..1_000).step_by(100) {
            shortest.add(after(at), millis(1));
        }
        for at in (1_000..10_000).step_by(100) {
            shortest.add(after(at), millis(300));
            assert_eq!(shortest.get(), Some(millis(1)), "a queue, at {at} ms");
        }
        for at in (10_000..11_000).step_by(100) {
            shortest.add(after(at), millis(310));
        }
        assert_eq!(shortest.get(), Some(millis(300)), "of both spans");

        shortest.add(after(60_000), millis(500));
        assert_eq!(shortest.get(), Some(millis(500)), "what was before a long pause");
    }

    #[test]
    fn a_loss_is_no_answer() {
        let now = tokio::time::Instant::now().into_std();
        let mut controller = Arc::new(Steady::default()).build(now, 1_200);
        let answered = |controller: &dyn Controller| {
            controller.clone_box().into_any().downcast::<Floored>().ok().and_then(|floored| floored.answered_at)
        };

        controller.on_sent(now, 1_200, 0);
        controller.on_congestion_event(now, now, false, 1_200);
        assert_eq!(answered(&*controller), None, "nothing is acknowledged");
        controller.on_end_acks(now, 0, false, None);
        assert_eq!(answered(&*controller), None, "nor anything new");
    }

    #[test]
    fn the_floor_is_a_rate_within_bounds() {
        assert_eq!(floor(Duration::ZERO), FLOOR_MIN);
        assert_eq!(floor(Duration::from_millis(20)), FLOOR_MIN);
        assert_eq!(floor(Duration::from_millis(400)), 30_400, "475 ms of 64,000 bytes a second");
        assert_eq!(floor(Duration::from_secs(30)), FLOOR_MAX);
        assert_eq!(floor(Duration::MAX), FLOOR_MAX);
    }
}
