//! Two tools that lose each other and meet again, over relays that come and go: a simulation without a network.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, HashSet},
    time::Duration,
};

use link::roam::{Effect, Now, PathEvent, PathId, Roam};
use proptest::prelude::*;
use proto::{id::RelayId, role::Role};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::time::Instant;

const SIDES: [Role; 2] = [Role::Customer, Role::Operator];
/// A path on which something is said is known to be dead after this long.
const SILENCE_MS: u64 = 1_500;
/// And at the latest after this long, when the spare one is asked and does not answer.
const SILENCE_MAX_MS: u64 = 3_000;
/// A spare one is known to be dead as late as that, and so does a relay know that a tool is gone which it does not reach.
const SPARE_SILENCE_MS: u64 = 45_000;
/// What a tool closed while it was cut off arrives at the relay this long after the way is open again at the latest.
const CLOSED_LATE_MS: u64 = 3_000;
/// The other tool answers nothing for this long before it counts as not answering.
const DOUBT_MS: u64 = 2_000;
/// How often that is looked at.
const DOUBT_LOOK_MS: u64 = 100;
/// A dial that nobody answers has failed after this long.
const DIAL_TIMEOUT_MS: u64 = 10_000;
/// How often a relay that is being stopped looks who is alone there.
const LOOK_MS: u64 = 50;

fn relay(index: u8) -> RelayId {
    RelayId::from_bytes([index; 16])
}

/// What happens at a time, in milliseconds; the number keeps the order of what happens at once.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Turn(u64, u64, What);

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Hear(usize, PathId, Said),
    /// A side can or cannot reach a relay from now on; broken connections are noticed at once or only after silence.
    Reach(usize, u8, bool, bool),
    /// A side finds a path silent, unless something passes there again.
    Silence(usize, PathId),
    /// A relay is being stopped from now on, or is there again.
    Drain(u8),
    Restart(u8),
    /// A relay that is being stopped keeps nobody who is alone there.
    Look(u8),
    /// A relay sees that the tool of this path has gone.
    Notice(u8, usize, PathId),
    /// A dial that nobody answered is over.
    DialOver(usize, PathId),
    /// A side sees whether the other one answers.
    Doubt(usize),
    Tick(usize),
}

#[derive(PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
enum Said {
    Admitted,
    PeerPresent,
    PeerGone,
    Goaway,
    Gone,
    Resumed(Resume),
}

/// The serial number of a `Resume`, the one due next of the other side's, and whether an answer is waited for.
#[derive(PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
struct Resume(u32, u32, bool);

struct World {
    begun: Instant,
    at: u64,
    serial: u64,
    random: StdRng,
    turns: BinaryHeap<Reverse<Turn>>,
    roams: [Roam; 2],
    /// Where each living path of a side leads.
    paths: [HashMap<PathId, u8>; 2],
    /// Who sits at which relay.
    seats: HashMap<(u8, usize), PathId>,
    reach: HashMap<(u8, usize), bool>,
    /// What a side could not hear or say over a path yet, because nothing passes there now.
    unheard: HashMap<(usize, PathId), Vec<Said>>,
    unsaid: HashMap<(usize, PathId), Vec<Resume>>,
    /// Dials that nobody answers, because they do not arrive.
    dialing: HashSet<(usize, PathId)>,
    /// Since when a side is settled on a path and not answered there.
    mute_since: [Option<(PathId, u64)>; 2],
    /// When the last that is on its way to a side over a path arrives: nothing overtakes it.
    last_at: HashMap<(usize, PathId), u64>,
    draining: HashSet<u8>,
    gave_up: bool,
    dials: u32,
    /// How often each side said `Resume`, and the next serial number that it takes of the other's.
    resumes: [u32; 2],
    due: [u32; 2],
}

impl World {
    fn new(seed: u64, relays: u8) -> Self {
        let begun = Instant::now();
        let order: Vec<_> = (0..relays).map(relay).collect();
        let roams = SIDES.map(|role| Roam::new(role, order.clone(), (1, relay(0)), begun));
        let mut world = Self {
            begun,
            at: 0,
            serial: 0,
            random: StdRng::seed_from_u64(seed),
            turns: BinaryHeap::new(),
            roams,
            paths: [HashMap::from([(1, 0)]), HashMap::from([(1, 0)])],
            seats: HashMap::from([((0, 0), 1), ((0, 1), 1)]),
            reach: HashMap::new(),
            unheard: HashMap::new(),
            unsaid: HashMap::new(),
            dialing: HashSet::new(),
            mute_since: [None; 2],
            last_at: HashMap::new(),
            draining: HashSet::new(),
            gave_up: false,
            dials: 0,
            resumes: [0; 2],
            due: [0; 2],
        };
        for side in 0..2 {
            world.later(0, What::Tick(side));
            world.later(0, What::Doubt(side));
        }
        world
    }

    fn now(&mut self) -> Now {
        Now { at: self.begun + Duration::from_millis(self.at), spread: self.random.random() }
    }

    fn later(&mut self, after: u64, what: What) {
        self.serial += 1;
        self.turns.push(Reverse(Turn(self.at + after, self.serial, what)));
    }

    /// A relay says something to a side, or passes it on.
    fn tell(&mut self, side: usize, path: PathId, after: u64, said: Said) {
        let at = (self.at + after).max(self.last_at.get(&(side, path)).copied().unwrap_or(0));
        self.last_at.insert((side, path), at);
        self.later(at - self.at, What::Hear(side, path, said));
    }

    fn latency(&mut self) -> u64 {
        self.random.random_range(1..60)
    }

    fn reaches(&self, side: usize, relay: u8) -> bool {
        *self.reach.get(&(relay, side)).unwrap_or(&true)
    }

    /// Lets everything happen up to a time.
    fn run(&mut self, until: u64) {
        while self.turns.peek().is_some_and(|Reverse(Turn(at, ..))| *at <= until) {
            let Some(Reverse(Turn(at, _, what))) = self.turns.pop() else { return };
            self.at = at;
            match what {
                What::Tick(side) => {
                    let now = self.now();
                    let effects = self.roams[side].tick(now);
                    self.act(side, effects);
                    let wake = self.roams[side].next_wake(now.at).saturating_duration_since(self.begun);
                    let after = u64::try_from(wake.as_millis()).unwrap().saturating_sub(self.at);
                    self.later(after.clamp(1, 500), What::Tick(side));
                }
                What::Hear(side, path, said) => self.hear(side, path, said),
                What::Reach(side, relay, reaches, silent) => self.turn_reach(side, relay, (reaches, silent)),
                What::Silence(side, path) => {
                    let is_silent = self.paths[side].get(&path).is_some_and(|relay| !self.reaches(side, *relay));
                    if is_silent {
                        self.hear(side, path, Said::Gone);
                    }
                }
                What::Drain(relay) => {
                    self.draining.insert(relay);
                    self.say(relay, Said::Goaway);
                    self.later(LOOK_MS, What::Look(relay));
                }
                What::Restart(relay) => {
                    self.draining.remove(&relay);
                    self.say(relay, Said::Gone);
                    self.seats.retain(|(at, _), _| *at != relay);
                }
                What::Notice(relay, side, path) => {
                    if !self.paths[side].contains_key(&path) {
                        self.unseat(relay, side, path);
                    }
                }
                What::DialOver(side, path) => {
                    if self.dialing.remove(&(side, path)) {
                        self.hear(side, path, Said::Gone);
                    }
                }
                What::Doubt(side) => self.look_for_doubt(side),
                What::Look(relay) if self.draining.contains(&relay) => {
                    if self.seated(relay) == 1 {
                        self.say(relay, Said::Gone);
                        self.seats.retain(|(at, _), _| *at != relay);
                    }
                    self.later(LOOK_MS, What::Look(relay));
                }
                What::Look(_) => {}
            }
        }
        self.at = until;
    }

    /// Sides that sit at a relay.
    fn seated(&self, relay: u8) -> usize {
        (0..2).filter(|side| self.seats.contains_key(&(relay, *side))).count()
    }

    /// A relay says something to whoever sits there.
    fn say(&mut self, relay: u8, said: Said) {
        for side in 0..2 {
            if let Some(path) = self.seats.get(&(relay, side)).copied() {
                self.tell(side, path, 1, said);
            }
        }
    }

    fn hear(&mut self, side: usize, path: PathId, said: Said) {
        let Some(at_relay) = self.paths[side].get(&path).copied() else { return };
        let other = 1 - side;
        if said != Said::Gone && !self.reaches(side, at_relay) {
            return self.unheard.entry((side, path)).or_default().push(said);
        }
        let event = match said {
            Said::Admitted => {
                self.seats.insert((at_relay, side), path);
                if self.draining.contains(&at_relay) {
                    self.tell(side, path, 1, Said::Goaway);
                }
                let peer = self.seats.get(&(at_relay, other)).copied();
                if let Some(peer) = peer {
                    self.tell(other, peer, 1, Said::PeerPresent);
                }
                PathEvent::Joined { peer_present: peer.is_some() }
            }
            Said::PeerPresent => PathEvent::PeerPresent,
            Said::PeerGone => PathEvent::PeerGone,
            Said::Goaway => PathEvent::Goaway,
            Said::Resumed(Resume(serial, due, asks)) if self.due[side] <= serial => {
                self.due[side] = serial + 1;
                PathEvent::Resumed { heard_all: due == self.resumes[side], asks }
            }
            // An old one does not open, which ends the path.
            Said::Resumed(_) | Said::Gone => {
                self.leave(side, path);
                PathEvent::Gone
            }
        };
        let now = self.now();
        let effects = self.roams[side].on(path, event, now);
        self.act(side, effects);
    }

    fn leave(&mut self, side: usize, path: PathId) {
        let Some(at_relay) = self.paths[side].remove(&path) else { return };
        self.unheard.remove(&(side, path));
        self.unsaid.remove(&(side, path));
        if self.reaches(side, at_relay) {
            self.unseat(at_relay, side, path);
        } else {
            self.later(SPARE_SILENCE_MS, What::Notice(at_relay, side, path));
        }
    }

    /// A relay knows that the tool of a path has gone.
    fn unseat(&mut self, at_relay: u8, side: usize, path: PathId) {
        if self.seats.get(&(at_relay, side)) == Some(&path) {
            self.seats.remove(&(at_relay, side));
            if let Some(peer) = self.seats.get(&(at_relay, 1 - side)).copied() {
                self.tell(1 - side, peer, 2, Said::PeerGone);
            }
        }
    }

    /// At which relay a side is heard by the other one, if it is.
    fn heard_at(&self, side: usize) -> Option<u8> {
        let path = self.roams[side].active().filter(|_| self.roams[side].is_settled())?;
        let at_relay = self.paths[side].get(&path).copied()?;
        let is_seated = self.seats.get(&(at_relay, side)) == Some(&path);
        (is_seated && self.reaches(side, at_relay)).then_some(at_relay)
    }

    fn look_for_doubt(&mut self, side: usize) {
        let is_answered = self.heard_at(side).is_some() && self.heard_at(0) == self.heard_at(1);
        let mute = self.roams[side].active().filter(|_| self.roams[side].is_settled() && !is_answered);
        let known = self.mute_since[side];
        self.mute_since[side] = mute.map(|path| known.filter(|(before, _)| *before == path).unwrap_or((path, self.at)));
        let doubts = self.mute_since[side].is_some_and(|(_, since)| since + DOUBT_MS <= self.at);
        if doubts != self.roams[side].doubts() {
            let now = self.now();
            let effects = self.roams[side].set_doubt(doubts, now);
            self.act(side, effects);
        }
        self.later(DOUBT_LOOK_MS, What::Doubt(side));
    }

    fn turn_reach(&mut self, side: usize, at_relay: u8, (reaches, silent): (bool, bool)) {
        self.reach.insert((at_relay, side), reaches);
        if let (true, Some(path)) = (reaches, self.seats.get(&(at_relay, side)).copied()) {
            let late = self.random.random_range(0..CLOSED_LATE_MS);
            self.later(late, What::Notice(at_relay, side, path));
        }
        let there: Vec<_> =
            self.paths[side].iter().filter(|(_, relay)| **relay == at_relay).map(|(path, _)| *path).collect();
        for path in there {
            let is_active = self.roams[side].active() == Some(path);
            if reaches {
                if self.dialing.remove(&(side, path)) {
                    let latency = self.latency();
                    self.later(latency, What::Hear(side, path, Said::Admitted));
                }
                for resume in self.unsaid.remove(&(side, path)).unwrap_or_default() {
                    self.pass_on(side, at_relay, resume);
                }
                for said in self.unheard.remove(&(side, path)).unwrap_or_default() {
                    self.hear(side, path, said);
                }
            } else {
                match (silent, is_active) {
                    (false, _) => self.later(1, What::Hear(side, path, Said::Gone)),
                    (true, true) => {
                        let noticed_after = self.random.random_range(SILENCE_MS..SILENCE_MAX_MS);
                        self.later(noticed_after, What::Silence(side, path));
                    }
                    (true, false) => {
                        let noticed_after = self.random.random_range(SILENCE_MS..SPARE_SILENCE_MS);
                        self.later(noticed_after, What::Silence(side, path));
                    }
                }
            }
        }
    }

    /// A relay passes a `Resume` on to whoever is there; otherwise it is lost.
    fn pass_on(&mut self, side: usize, at_relay: u8, resume: Resume) {
        if let Some(peer) = self.seats.get(&(at_relay, 1 - side)).copied() {
            let latency = self.latency();
            self.tell(1 - side, peer, latency, Said::Resumed(resume));
        }
    }

    fn act(&mut self, side: usize, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Dial(path, to) => {
                    self.dials += 1;
                    let at_relay = to.as_bytes()[0];
                    let double = self.paths[side].values().any(|relay| *relay == at_relay);
                    assert!(!double, "two paths of one side to one relay");
                    self.paths[side].insert(path, at_relay);
                    let latency = self.latency();
                    if self.reaches(side, at_relay) {
                        self.later(latency, What::Hear(side, path, Said::Admitted));
                    } else if self.random.random() {
                        self.later(latency, What::Hear(side, path, Said::Gone));
                    } else {
                        self.dialing.insert((side, path));
                        self.later(DIAL_TIMEOUT_MS, What::DialOver(side, path));
                    }
                }
                Effect::Drop(path) => self.leave(side, path),
                Effect::Ask(path) | Effect::Answer(path) => {
                    let asks = matches!(effect, Effect::Ask(_));
                    let resume = Resume(self.resumes[side], self.due[side], asks);
                    self.resumes[side] += 1;
                    let at_relay = self.paths[side][&path];
                    if self.reaches(side, at_relay) {
                        self.pass_on(side, at_relay, resume);
                    } else {
                        self.unsaid.entry((side, path)).or_default().push(resume);
                    }
                }
                // The next effect may move on already, when that relay is being stopped.
                Effect::Settle(path) => assert!(self.paths[side].contains_key(&path), "settled on a path that is gone"),
                Effect::GiveUp => self.gave_up = true,
            }
        }
    }

    fn assert_together(&self) {
        let [customer, operator] = &self.roams;
        assert!(customer.is_settled() && operator.is_settled(), "{customer:?}\n{operator:?}");
        assert_eq!(customer.relay(), operator.relay(), "{customer:?}\n{operator:?}");
        assert!(!self.gave_up);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn two_tools_meet_again_wherever_they_can(
        seed: u64,
        relays in 2u8..=4,
        faults in prop::collection::vec((0u64..40_000, 0usize..2, 0u8..4, any::<bool>(), any::<bool>()), 0..40),
        stops in prop::collection::vec((0u64..40_000, 0u8..4), 0..3),
        good in 0u8..4,
    ) {
        let mut world = World::new(seed, relays);
        for (at, side, index, reaches, silent) in faults {
            world.later(at, What::Reach(side, index % relays, reaches, silent));
        }
        for (at, index) in stops {
            world.later(at, What::Drain(index % relays));
            world.later(at + 30_000, What::Restart(index % relays));
        }
        world.run(40_000);
        for side in 0..2 {
            world.later(0, What::Reach(side, good % relays, true, false));
        }
        world.run(80_000);
        world.assert_together();
        let (dials, resumes) = (world.dials, world.resumes.iter().sum::<u32>());
        world.run(110_000);
        world.assert_together();
        prop_assert!(world.dials - dials < 80, "a quiet time costs {} dials", world.dials - dials);
        let resumes = world.resumes.iter().sum::<u32>() - resumes;
        prop_assert!(resumes < 20, "a quiet time costs {resumes} moves");
    }

    #[test]
    fn a_relay_that_is_being_stopped_is_left_whatever_happened_before(
        seed: u64,
        relays in 2u8..=4,
        faults in prop::collection::vec((0u64..20_000, 0usize..2, 0u8..4, any::<bool>(), any::<bool>()), 0..20),
        stopped in 0u8..4,
        good in 1u8..4,
    ) {
        let stopped = stopped % relays;
        // Another one, which both sides reach.
        let good = (stopped + 1 + (good - 1) % (relays - 1)) % relays;
        let mut world = World::new(seed, relays);
        for (at, side, index, reaches, silent) in faults {
            world.later(at, What::Reach(side, index % relays, reaches, silent));
        }
        world.run(20_000);
        for side in 0..2 {
            world.later(0, What::Reach(side, good, true, false));
            world.later(0, What::Reach(side, stopped, true, false));
        }
        world.later(0, What::Drain(stopped));
        world.run(40_000);
        world.assert_together();
        // Who looks for a spare may just have tried it again.
        let is_left = (1..3).any(|look| {
            world.run(40_000 + look * 2 * LOOK_MS);
            world.seated(stopped) == 0
        });
        prop_assert!(is_left);
    }
}

#[test]
fn a_relay_that_dies_is_left_at_once_for_the_warm_spare() {
    let mut world = World::new(1, 2);
    world.run(1_000);
    assert_eq!(world.dials, 2, "one spare path on each side");
    for side in 0..2 {
        world.later(0, What::Reach(side, 0, false, false));
    }
    world.run(1_000 + 1 + 60 + 60);
    world.assert_together();
    assert_eq!(world.roams[0].relay(), Some(relay(1)));
}

#[test]
fn who_is_cut_off_from_both_paths_is_found_at_a_third_relay_by_the_other_one() {
    for (seed, side) in (0..20).flat_map(|seed| [(seed, 0), (seed, 1)]) {
        let mut world = World::new(seed, 3);
        world.run(1_000);
        for at_relay in 0..2 {
            world.later(0, What::Reach(side, at_relay, false, true));
        }
        world.run(1_000 + DOUBT_MS + 900);
        world.assert_together();
        assert_eq!(world.roams[0].relay(), Some(relay(2)), "seed {seed}");
    }
}

#[test]
fn who_is_answered_nowhere_asks_at_every_relay_in_turn() {
    let begun = Instant::now();
    let at = |ms: u64| Now { at: begun + Duration::from_millis(ms), spread: 0.0 };
    let mut roam = Roam::new(Role::Operator, (0..4).map(relay).collect(), (1, relay(0)), begun);
    let mut at_relays = HashMap::from([(1, relay(0))]);
    let mut asked = Vec::new();
    let mut effects = roam.on(1, PathEvent::Gone, at(0));
    for ms in (0..20_000).step_by(50) {
        // Each relay takes the other tool's seat for taken.
        while let Some(effect) = effects.pop() {
            match effect {
                Effect::Dial(path, to) => {
                    at_relays.insert(path, to);
                    effects.extend(roam.on(path, PathEvent::Joined { peer_present: true }, at(ms)));
                }
                Effect::Ask(path) => asked.push(at_relays[&path]),
                Effect::Answer(_) | Effect::Drop(_) | Effect::Settle(_) | Effect::GiveUp => {}
            }
        }
        effects = roam.tick(at(ms + 50));
    }
    assert!(8 <= asked.len(), "{asked:?}");
    for four in asked.windows(4) {
        assert_eq!(four.iter().collect::<HashSet<_>>().len(), 4, "{asked:?}");
    }
}

#[test]
fn a_spare_is_sought_at_another_relay_soon_when_a_dial_is_not_answered() {
    let begun = Instant::now();
    let at = |ms: u64| Now { at: begun + Duration::from_millis(ms), spread: 0.0 };
    let mut roam = Roam::new(Role::Customer, (0..4).map(relay).collect(), (1, relay(0)), begun);
    assert_eq!(roam.tick(at(0)), [Effect::Dial(2, relay(1))]);
    assert_eq!(roam.next_wake(at(0).at), at(1_000).at);
    assert_eq!(roam.tick(at(999)), []);
    assert_eq!(roam.tick(at(1_000)), [Effect::Dial(3, relay(2))]);
    assert_eq!(roam.tick(at(4_999)), [], "both have their time");
    assert_eq!(roam.tick(at(5_000)), [Effect::Drop(2), Effect::Dial(4, relay(3))]);
}

#[test]
fn a_relay_that_is_being_stopped_is_left_while_it_still_works() {
    let mut world = World::new(2, 2);
    world.run(1_000);
    world.later(0, What::Drain(0));
    world.run(1_200);
    world.assert_together();
    assert_eq!(world.roams[1].relay(), Some(relay(1)));
    assert!(world.paths.iter().all(|paths| paths.values().all(|at| *at != 0)), "nobody is left there");
}

#[test]
fn who_finds_nobody_gives_up_and_not_before() {
    let mut world = World::new(3, 2);
    world.run(1_000);
    for at_relay in 0..2 {
        world.later(0, What::Reach(0, at_relay, false, false));
    }
    world.run(119_000);
    assert!(!world.gave_up);
    world.run(123_000);
    assert!(world.gave_up);
}

#[test]
fn a_session_with_one_relay_comes_back_to_it() {
    let mut world = World::new(4, 1);
    world.run(1_000);
    world.later(0, What::Reach(0, 0, false, false));
    world.later(20_000, What::Reach(0, 0, true, false));
    world.run(19_000);
    assert!(!world.roams[0].is_settled(), "the relay takes its seat for taken");
    world.run(30_000);
    world.assert_together();
}

#[test]
fn after_a_move_the_next_spare_waits_a_moment_unless_the_relay_is_being_stopped() {
    let begun = Instant::now();
    let at = |ms: u64| Now { at: begun + Duration::from_millis(ms), spread: 0.5 };
    let dials = |effects: &[Effect]| effects.iter().any(|effect| matches!(effect, Effect::Dial(..)));
    let mut roam = Roam::new(Role::Customer, (0..4).map(relay).collect(), (1, relay(0)), begun);
    assert_eq!(roam.tick(at(0)), [Effect::Dial(2, relay(1))]);
    roam.on(2, PathEvent::Joined { peer_present: true }, at(10));

    let mut effects = roam.on(1, PathEvent::Goaway, at(1000));
    effects.extend(roam.on(2, PathEvent::Resumed { heard_all: false, asks: true }, at(1020)));
    assert!(effects.contains(&Effect::Settle(2)) && !dials(&effects), "{effects:?}");
    assert_eq!(roam.next_wake(at(1300).at), at(1500).at);
    assert!(!dials(&roam.tick(at(1499))));
    assert_eq!(roam.tick(at(1500)), [Effect::Dial(3, relay(2))]);

    roam.on(3, PathEvent::Joined { peer_present: true }, at(1510));
    roam.on(2, PathEvent::Goaway, at(2000));
    roam.on(3, PathEvent::Resumed { heard_all: false, asks: true }, at(2020));
    assert!(dials(&roam.on(3, PathEvent::Goaway, at(2030))), "there is no time to wait");
}

#[test]
fn a_relay_that_was_away_while_a_spare_was_wanted_is_dialed_soon_when_it_is_needed() {
    let begun = Instant::now();
    let at = |ms: u64| Now { at: begun + Duration::from_millis(ms), spread: 1.0 };
    let mut roam = Roam::new(Role::Customer, (0..2).map(relay).collect(), (1, relay(0)), begun);
    // Relay 1 is away: each dial of it fails, and the pauses become long.
    let mut now = at(0);
    loop {
        let dialed = roam.tick(now);
        if let [Effect::Dial(path, _)] = dialed[..] {
            roam.on(path, PathEvent::Gone, now);
            if begun + Duration::from_secs(30) < now.at {
                break;
            }
        }
        now.at = roam.next_wake(now.at);
    }
    assert!(Duration::from_secs(5) < roam.next_wake(now.at).saturating_duration_since(now.at));

    roam.on(1, PathEvent::Gone, now);
    let soon = roam.next_wake(now.at).saturating_duration_since(now.at);

    assert_eq!(soon, Duration::from_millis(300));
    now.at += soon;
    let dialed = roam.tick(now);
    assert!(matches!(dialed[..], [Effect::Dial(..), Effect::Dial(..)]), "{dialed:?}");
}
