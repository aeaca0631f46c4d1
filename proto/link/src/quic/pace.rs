//! How much may be under way on a connection: as Cubic has it, and never less than a floor.
//!
//! Cubic takes every lost packet for a queue that is full. Where a radio loses one in twenty it lets two or three packets
//! out for each round trip, and with so few under way the loss of a packet is noticed by a timer only, seconds later: a
//! key press waits for room that the network has. So a session may always send at the rate of a call with pictures, as
//! those do, too. What it says is bounded from tool to tool, and a floor that counts by the shortest round trip fills no
//! queue on a line that carries this rate.

use std::{any::Any, sync::Arc, time::Instant};

use quinn::congestion::{Controller, ControllerFactory, ControllerMetrics, CubicConfig};
use quinn_proto::RttEstimator;

/// Bytes a second that a session may always send: 512 kbit/s.
const RATE_MIN: f64 = 64_000.0;
/// Bytes that may always be under way: what every connection may send unasked at its beginning. Source: RFC 9002
/// section 7.2. On a line of 1 Mbit/s they stand in a queue for 100 ms.
const FLOOR_MIN: u64 = 10 * 1_200;
/// The floor, however long the way is: a second of it.
const FLOOR_MAX: u64 = 64_000;

/// Makes a controller for each connection.
#[derive(Debug, Default)]
pub(super) struct Steady {
    cubic: Arc<CubicConfig>,
}

struct Floored {
    cubic: Box<dyn Controller>,
    floor: u64,
}

impl ControllerFactory for Steady {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(Floored { cubic: Arc::clone(&self.cubic).build(now, current_mtu), floor: FLOOR_MIN })
    }
}

/// The floor where the shortest round trip takes so many seconds.
fn floor(round_trip_secs: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped before")]
    let bytes = (RATE_MIN * round_trip_secs).clamp(0.0, 1e9) as u64;
    bytes.clamp(FLOOR_MIN, FLOOR_MAX)
}

impl Controller for Floored {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.cubic.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, app_limited: bool, rtt: &RttEstimator) {
        self.floor = floor(rtt.min().as_secs_f64());
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
        self.cubic.window().max(self.floor)
    }

    fn metrics(&self) -> ControllerMetrics {
        self.cubic.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self { cubic: self.cubic.clone_box(), floor: self.floor })
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
    use std::time::Duration;

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
    fn the_floor_is_a_rate_within_bounds() {
        assert_eq!(floor(0.0), FLOOR_MIN);
        assert_eq!(floor(0.02), FLOOR_MIN);
        assert_eq!(floor(0.5), 32_000);
        assert_eq!(floor(30.0), FLOOR_MAX);
        assert_eq!(floor(f64::INFINITY), FLOOR_MAX);
    }
}
