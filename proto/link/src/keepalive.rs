//! When to ask "are you there?", and when to give up. Pure: the time is an argument.

use std::time::Duration;

use bytes::Bytes;
use proto::{
    frame::{Frame, FrameType, Lane},
    limits::{
        LIVELY_FOR, LIVELY_PING_INTERVAL, LIVELY_SILENCE_TIMEOUT, LIVELY_STALL_TIMEOUT, PING_INTERVAL, PING_JITTER,
        SILENCE_TIMEOUT, WRITE_STALL_TIMEOUT,
    },
};
use tokio::time::Instant;

use crate::line::Told;

/// Pause between questions whether a line on which answers are late is a slow one.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Where nothing comes, other paths have this long to say how slow the network is.
const DOUBT_MAX: Duration = LIVELY_SILENCE_TIMEOUT.saturating_mul(2);

/// Keep-alive of one end of one connection.
#[derive(Debug)]
pub struct KeepAlive {
    heard_at: Instant,
    ping_at: Instant,
    /// The first ping that is not answered.
    asked: Option<(u64, Instant)>,
    count: u64,
    /// The last ping that was answered.
    answered: u64,
    round_trip: Option<Duration>,
    deaf: bool,
    lively: Option<Lively>,
    writing: bool,
    /// When the line was last found slow and not dead.
    slow_at: Option<Instant>,
    /// When the first ping went out after the last proof that what this end sends arrives.
    unproved_since: Option<Instant>,
    /// What came of the question to other paths since then, if they were asked.
    beside: Option<Beside>,
}

/// What the other paths of the session say of the network that they share with this one.
#[derive(Debug, Clone, Copy)]
enum Beside {
    /// There is no other path.
    Nobody,
    /// They are asked, and have not answered yet.
    Asked,
    /// So long did an answer take.
    Took(Duration),
}

/// Something is being said over the connection, so its death must be noticed soon.
#[derive(Debug, Clone, Copy)]
struct Lively {
    since: Instant,
    until: Instant,
}

/// What must be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Nothing before [`KeepAlive::next_wake`].
    Nothing,
    /// Send a ping with this payload.
    Ping([u8; 8]),
    /// Nothing was heard, or nothing proved to arrive, for too long: the connection is dead.
    Silent,
}

/// What a connection on which answers are late is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It may be slow: look again at [`KeepAlive::silent_at`].
    Slow,
    /// Nobody knows before other paths are asked; see [`KeepAlive::asked_beside`].
    Ask,
    /// It counts as dead.
    Silent,
}

impl KeepAlive {
    /// Starts now. `spread` is a random number in 0..1; it moves the pings so that relays see no waves.
    pub fn new(now: Instant, spread: f64) -> Self {
        Self {
            heard_at: now,
            ping_at: next_ping(now, spread),
            asked: None,
            count: 0,
            answered: 0,
            round_trip: None,
            deaf: false,
            lively: None,
            writing: false,
            slow_at: None,
            unproved_since: None,
            beside: None,
        }
    }

    /// Something was received.
    pub const fn heard(&mut self, now: Instant) {
        self.heard_at = now;
        if self.unproved_since.is_none() {
            self.beside = None;
        }
    }

    /// What this end sends arrives: a ping was answered, or the other tool said so. Bytes that come say nothing about
    /// those that go: a network may pass one direction only.
    pub const fn proved(&mut self) {
        (self.unproved_since, self.beside) = (None, None);
    }

    /// This end has stopped reading, so silence means nothing for a while; or it reads again.
    pub const fn set_deaf(&mut self, deaf: bool, now: Instant) {
        self.deaf = deaf;
        self.heard_at = now;
        // Answers may have waited unread.
        self.proved();
    }

    /// Another path wants to know how long an answer takes here now.
    pub const fn ask(&mut self, now: Instant) {
        self.ping_at = now;
    }

    /// Other paths are asked after [`Verdict::Ask`], or there is none.
    pub fn asked_beside(&mut self, is_any: bool, now: Instant) {
        self.beside = Some(if is_any { Beside::Asked } else { Beside::Nobody });
        self.slow_at = is_any.then_some(now);
    }

    /// On another path an answer took so long. `true` when that was asked.
    pub fn told_beside(&mut self, round_trip: Duration) -> bool {
        let is_asked = matches!(self.beside, Some(Beside::Asked));
        if is_asked {
            (self.beside, self.slow_at) = (Some(Beside::Took(round_trip)), None);
        }
        is_asked
    }

    /// A write is under way, or done.
    pub const fn set_writing(&mut self, writing: bool) {
        self.writing = writing;
    }

    /// Something was said or heard that is not about the connection itself. For a while pings come often and silence
    /// is noticed soon.
    ///
    /// `true` when it was quiet before, so that the times of pings and silence are earlier now.
    pub fn enliven(&mut self, now: Instant) -> bool {
        let since = self.lively.filter(|lively| now < lively.until).map(|lively| lively.since);
        let (woke, since) = (since.is_none(), since.unwrap_or(now));
        self.lively = Some(Lively { since, until: now + LIVELY_FOR });
        self.ping_at = self.ping_at.min(now + LIVELY_PING_INTERVAL);
        woke
    }

    /// Takes the payload of a pong. Where answers take longer than the pause between pings, several are under way, and
    /// one that answers a later ping answers the earlier ones too. Gives the round trip when one was measured.
    pub fn on_pong(&mut self, payload: &[u8], now: Instant) -> Option<Duration> {
        let nonce = u64::from_le_bytes(payload.try_into().ok()?);
        if nonce <= self.answered || self.count < nonce {
            return None;
        }
        self.answered = nonce;
        self.proved();
        let (_, asked_at) = self.asked.take_if(|(first, _)| *first <= nonce)?;
        self.round_trip = Some(now.saturating_duration_since(asked_at));
        self.round_trip
    }

    /// The newest measured round trip on this connection.
    pub const fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// What must be done now.
    pub fn due(&mut self, now: Instant, spread: f64) -> Due {
        if !self.deaf && self.silent_at(now) <= now {
            return Due::Silent;
        }
        if now < self.ping_at {
            return Due::Nothing;
        }
        let lively = self.lively.is_some_and(|lively| now < lively.until);
        self.ping_at = if lively { now + LIVELY_PING_INTERVAL } else { next_ping(now, spread) };
        self.count = self.count.wrapping_add(1);
        self.asked.get_or_insert((self.count, now));
        self.unproved_since.get_or_insert(now);
        Due::Ping(self.count.to_le_bytes())
    }

    /// When [`Self::due`] must be asked again at the latest. Never a time that is over and at which nothing was due.
    pub fn next_wake(&self, now: Instant) -> Instant {
        if self.deaf { self.ping_at } else { self.ping_at.min(self.silent_at(now)) }
    }

    /// When [`Self::judge`] must be asked if nothing is heard.
    pub fn silent_at(&self, now: Instant) -> Instant {
        let soon = self.runs_out_at(now, LIVELY_SILENCE_TIMEOUT);
        self.slow_at.map_or(soon, |slow_at| soon.max(slow_at + LOOK_EVERY))
    }

    /// What the connection is. Answers may be late behind what is sent while a write waits, and behind what was lost; `told`
    /// is asked then what is known of the line, and other paths how long an answer takes beside.
    pub fn judge(&mut self, now: Instant, told: impl FnOnce() -> Told) -> Verdict {
        if now < self.silent_at(now) {
            return Verdict::Slow;
        }
        let may_be_slow = now < self.runs_out_at(now, LIVELY_STALL_TIMEOUT)
            && match told() {
                Told::Answers => true,
                Told::Nothing => self.writing,
                Told::Dead => false,
            };
        let verdict = match self.beside {
            _ if may_be_slow => Verdict::Slow,
            None => Verdict::Ask,
            Some(Beside::Asked) if now < self.runs_out_at(now, self.patience_for_others(now)) => Verdict::Slow,
            Some(_) => Verdict::Silent,
        };
        self.slow_at = (verdict == Verdict::Slow).then_some(now);
        verdict
    }

    /// How long others have to answer, too. Where bytes come, the relay is alive, and if nobody answers, nowhere is better.
    fn patience_for_others(&self, now: Instant) -> Duration {
        let hears = now < self.heard_at + LIVELY_SILENCE_TIMEOUT;
        if hears { WRITE_STALL_TIMEOUT } else { DOUBT_MAX }
    }

    /// When patience ends; `least` is how much there is at least while something is being said.
    fn runs_out_at(&self, now: Instant, least: Duration) -> Instant {
        let usual = self.heard_at + SILENCE_TIMEOUT;
        let lively = self.lively.filter(|lively| self.writing || now < lively.until);
        let beside = self.beside.and_then(|beside| if let Beside::Took(took) = beside { Some(took) } else { None });
        let round_trip = self.round_trip.max(beside).unwrap_or_default();
        let patience = round_trip.saturating_mul(4).clamp(least, SILENCE_TIMEOUT);
        // What was silent before anybody spoke says nothing.
        lively.map_or(usual, |lively| {
            let since = self.unproved_since.map_or(self.heard_at, |unproved| unproved.min(self.heard_at));
            since.max(lively.since) + patience
        })
    }
}

/// A ping.
pub const fn ping(payload: Bytes) -> Frame {
    Frame { kind: FrameType::Ping, lane: Lane::Control, flags: 0, payload }
}

/// The answer to a ping.
pub const fn pong(payload: Bytes) -> Frame {
    Frame { kind: FrameType::Pong, lane: Lane::Control, flags: 0, payload }
}

fn next_ping(now: Instant, spread: f64) -> Instant {
    now + PING_INTERVAL + PING_JITTER.mul_f64(spread.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a connection without another path beside it may be slow.
    fn is_slow(keepalive: &mut KeepAlive, now: Instant, told: Told) -> bool {
        let mut verdict = keepalive.judge(now, || told);
        if verdict == Verdict::Ask {
            keepalive.asked_beside(false, now);
            verdict = keepalive.judge(now, || told);
        }
        verdict == Verdict::Slow
    }

    /// A connection over which something is said since 0 ms, and nothing is heard or proved after that; one that is asked
    /// about at 1,500 ms, when the other path is.
    fn asked(begun: Instant) -> KeepAlive {
        let mut keepalive = KeepAlive::new(begun, 0.0);
        keepalive.enliven(begun);
        keepalive.enliven(begun + Duration::from_millis(4_900));
        let late = begun + LIVELY_SILENCE_TIMEOUT;
        assert_eq!(keepalive.judge(late, || Told::Nothing), Verdict::Ask);
        keepalive.asked_beside(true, late);
        assert_eq!(keepalive.judge(late, || Told::Nothing), Verdict::Slow, "the answer is under way");
        keepalive
    }

    #[tokio::test(start_paused = true)]
    async fn pings_come_at_their_interval_and_silence_ends_the_connection() {
        let begun = Instant::now();
        let mut keepalive = KeepAlive::new(begun, 0.5);

        assert_eq!(keepalive.due(begun + Duration::from_secs(17), 0.0), Due::Nothing);
        assert_eq!(keepalive.due(begun + Duration::from_secs(18), 0.0), Due::Ping(1u64.to_le_bytes()));
        assert_eq!(keepalive.next_wake(begun + Duration::from_secs(18)), begun + Duration::from_secs(33));
        assert_eq!(keepalive.due(begun + SILENCE_TIMEOUT, 0.0), Due::Silent);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pong_is_measured_once_and_a_foreign_one_never() {
        let begun = Instant::now();
        let mut keepalive = KeepAlive::new(begun, 0.0);
        let Due::Ping(payload) = keepalive.due(begun + PING_INTERVAL, 0.0) else { panic!("a ping is due") };
        let answered = begun + PING_INTERVAL + Duration::from_millis(30);

        keepalive.on_pong(b"whatever", answered);
        assert_eq!(keepalive.round_trip(), None);
        keepalive.on_pong(&payload, answered);
        keepalive.on_pong(&payload, answered + Duration::from_secs(1));

        assert_eq!(keepalive.round_trip(), Some(Duration::from_millis(30)));
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_that_stopped_reading_does_not_call_the_other_silent() {
        let begun = Instant::now();
        let mut keepalive = KeepAlive::new(begun, 0.0);
        keepalive.set_deaf(true, begun);

        assert!(matches!(keepalive.due(begun + SILENCE_TIMEOUT, 0.0), Due::Ping(_)));
        keepalive.set_deaf(false, begun + SILENCE_TIMEOUT);
        assert_eq!(keepalive.due(begun + SILENCE_TIMEOUT, 0.0), Due::Nothing);
    }

    #[tokio::test(start_paused = true)]
    async fn while_something_is_being_said_a_silent_connection_is_dead_soon_and_a_slow_one_is_not() {
        let begun = Instant::now();
        let after = |millis| begun + Duration::from_millis(millis);
        let mut keepalive = KeepAlive::new(begun, 0.0);
        assert!(keepalive.enliven(after(10_000)), "it was quiet before");
        assert!(!keepalive.enliven(after(10_100)));

        let Due::Ping(payload) = keepalive.due(after(10_500), 0.0) else { panic!("pings come soon") };
        assert_eq!(keepalive.silent_at(after(10_500)), after(11_500), "silence before anybody spoke does not count");
        keepalive.on_pong(&payload, after(11_300));
        keepalive.heard(after(11_300));
        assert_eq!(keepalive.silent_at(after(11_300)), after(14_500), "four round trips of 800 ms");
        assert_eq!(keepalive.silent_at(after(20_000)), after(11_300) + SILENCE_TIMEOUT, "quiet again");
    }

    #[tokio::test(start_paused = true)]
    async fn while_a_write_waits_the_system_says_whether_a_line_is_slow_or_dead() {
        let begun = Instant::now();
        let after = |millis| begun + Duration::from_millis(millis);
        let mut keepalive = KeepAlive::new(begun, 0.0);
        keepalive.enliven(begun);
        keepalive.set_writing(true);

        assert_eq!(keepalive.silent_at(begun), after(1_500));
        assert!(is_slow(&mut keepalive, after(1_499), Told::Dead), "it is not asked before answers are late");
        assert!(is_slow(&mut keepalive, after(1_500), Told::Nothing), "it is slow");
        assert_eq!(keepalive.silent_at(after(1_500)), after(1_750), "and may die");
        keepalive.enliven(after(4_900));
        for millis in (1_750..6_000).step_by(250) {
            assert!(is_slow(&mut keepalive, after(millis), Told::Nothing), "{millis} ms");
        }
        assert!(!is_slow(&mut keepalive, after(6_000), Told::Nothing), "no line is as slow as that");

        keepalive.heard(after(6_000));
        assert!(!is_slow(&mut keepalive, after(7_500), Told::Dead), "nobody acknowledges anything");
        keepalive.set_writing(false);
        assert!(!is_slow(&mut keepalive, after(7_500), Told::Nothing), "no answer waits behind anything");
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_that_answers_is_not_dead_before_it_has_had_time_to_send_again_what_was_lost() {
        let begun = Instant::now();
        let after = |millis| begun + Duration::from_millis(millis);
        let mut keepalive = KeepAlive::new(begun, 0.0);
        keepalive.enliven(begun);
        keepalive.enliven(after(4_900));

        assert!(is_slow(&mut keepalive, after(1_500), Told::Answers), "packets arrive");
        assert_eq!(keepalive.silent_at(after(1_500)), after(1_750), "for how long?");
        assert!(is_slow(&mut keepalive, after(1_750), Told::Answers));
        assert!(!is_slow(&mut keepalive, after(2_000), Told::Nothing), "none did for a while");
        assert!(!is_slow(&mut keepalive, after(6_000), Told::Answers), "the relay itself says nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_only_brings_and_takes_nothing_is_dead_as_soon_as_a_silent_one() {
        let begun = Instant::now();
        let after = |millis| begun + Duration::from_millis(millis);
        let mut keepalive = KeepAlive::new(begun, 0.0);
        keepalive.enliven(begun);
        let Due::Ping(_) = keepalive.due(after(500), 0.0) else { panic!("a ping is due") };
        for millis in (500..1_900).step_by(100) {
            keepalive.heard(after(millis));
            assert!(!matches!(keepalive.due(after(millis), 0.0), Due::Silent), "{millis} ms");
        }
        assert_eq!(keepalive.silent_at(after(1_900)), after(2_000), "nothing says that the ping arrived");

        keepalive.proved();
        assert_eq!(keepalive.silent_at(after(1_900)), after(1_800) + LIVELY_SILENCE_TIMEOUT, "now something does");
    }

    #[tokio::test(start_paused = true)]
    async fn answers_that_take_longer_than_the_pause_between_pings_count() {
        let begun = Instant::now();
        let after = |millis| begun + Duration::from_millis(millis);
        let mut keepalive = KeepAlive::new(begun, 0.0);
        keepalive.enliven(begun);
        let Due::Ping(first) = keepalive.due(after(500), 0.0) else { panic!("a ping is due") };
        let Due::Ping(second) = keepalive.due(after(1_000), 0.0) else { panic!("a ping is due") };

        keepalive.on_pong(&first, after(1_300));
        assert_eq!(keepalive.round_trip(), Some(Duration::from_millis(800)));
        let Due::Ping(_) = keepalive.due(after(1_500), 0.0) else { panic!("a ping is due") };
        keepalive.on_pong(&second, after(1_900));
        assert_eq!(keepalive.round_trip(), Some(Duration::from_millis(800)), "measured for one ping at a time");
        assert_eq!(keepalive.silent_at(after(1_900)), after(3_200), "four round trips, and both pings are answered");
    }

    #[tokio::test(start_paused = true)]
    async fn when_it_has_become_quiet_nobody_is_woken_for_nothing() {
        let begun = Instant::now();
        let after = |millis| begun + Duration::from_millis(millis);
        let mut keepalive = KeepAlive::new(begun, 0.0);
        keepalive.enliven(begun);
        // The last byte came shortly before the connection counts as a quiet one.
        let last = after(4_900);
        for millis in (500..=4_500).step_by(500) {
            let Due::Ping(payload) = keepalive.due(after(millis), 0.0) else { panic!("pings come soon") };
            keepalive.heard(after(millis));
            keepalive.on_pong(&payload, after(millis));
        }
        keepalive.heard(last);
        let mut now = last;
        let mut wakes = 0;
        while now < after(19_000) {
            now = keepalive.next_wake(now);
            wakes += 1;
            assert!(wakes < 10, "woken again and again at {:?}", now - begun);
            assert!(!matches!(keepalive.due(now, 0.0), Due::Silent), "{:?}", now - begun);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn where_the_other_path_answers_at_once_this_one_is_dead() {
        let begun = Instant::now();
        let mut keepalive = asked(begun);
        let soon = begun + Duration::from_millis(1_510);

        assert!(keepalive.told_beside(Duration::from_millis(10)));
        assert!(!keepalive.told_beside(Duration::from_secs(9)), "it was asked once");
        assert!(keepalive.silent_at(soon) <= soon);
        assert_eq!(keepalive.judge(soon, || Told::Nothing), Verdict::Silent);
    }

    #[tokio::test(start_paused = true)]
    async fn where_the_other_path_is_as_slow_this_one_has_four_such_round_trips() {
        let begun = Instant::now();
        let after = |millis| begun + Duration::from_millis(millis);
        let mut keepalive = asked(begun);

        keepalive.told_beside(Duration::from_millis(1_200));
        assert_eq!(keepalive.silent_at(after(2_700)), after(4_800));
        assert_eq!(keepalive.judge(after(4_799), || Told::Dead), Verdict::Slow);
        assert_eq!(keepalive.judge(after(4_800), || Told::Dead), Verdict::Silent);
    }

    #[tokio::test(start_paused = true)]
    async fn where_no_path_answers_one_that_brings_something_is_kept_and_another_not_for_long() {
        let begun = Instant::now();
        let after = |millis| begun + Duration::from_millis(millis);
        let mut mute = asked(begun);
        for millis in (1_750..3_000).step_by(250) {
            assert_eq!(mute.judge(after(millis), || Told::Nothing), Verdict::Slow, "{millis} ms");
        }
        assert_eq!(mute.judge(after(3_000), || Told::Nothing), Verdict::Silent, "the network may be another by now");

        let mut keepalive = KeepAlive::new(begun, 0.0);
        keepalive.enliven(begun);
        let Due::Ping(_) = keepalive.due(after(500), 0.0) else { panic!("a ping is due") };
        for millis in (500..15_500).step_by(250) {
            keepalive.heard(after(millis));
            keepalive.enliven(after(millis));
            if keepalive.judge(after(millis), || Told::Nothing) == Verdict::Ask {
                assert_eq!(millis, 2_000);
                keepalive.asked_beside(true, after(millis));
            }
            assert_eq!(keepalive.judge(after(millis), || Told::Nothing), Verdict::Slow, "{millis} ms");
        }
        keepalive.heard(after(15_500));
        assert_eq!(keepalive.judge(after(15_500), || Told::Nothing), Verdict::Silent, "nothing arrives there");
    }
}
