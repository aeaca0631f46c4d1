//! Over which relay a session goes, and where it goes next. Pure: time and chance are arguments.
//!
//! Each tool has one of these. A *path* is one connection to one relay, alone there or paired with the other tool. One
//! path is active; another one is kept warm at the next relay. When the active path dies, either side moves to a paired
//! one by saying `Resume` there, and the other follows; nothing is sent until both have said it. Without a paired path
//! all relays are dialed until both tools meet at one again.
//!
//! A relay answers for itself, and takes long to see that a tool behind it is gone. So whether the other tool is still
//! there only that tool can say: while it answers nothing ([`Roam::set_doubt`]) all relays are dialed beside the active
//! path, and where it newly comes the session goes on.
//!
//! Guarantees: at most one path to a relay; an active path only where the other tool was seen; when both tools move at
//! once to different paths, the operator's choice holds; whoever finds nobody gives up after
//! [`limits::REJOIN_TIMEOUT`].

use std::time::Duration;

use proto::{id::RelayId, limits, role::Role};
use tokio::time::Instant;

/// A `Resume` that is not answered for this long says that the path is dead.
const ANSWER_TIMEOUT: Duration = limits::LIVELY_SILENCE_TIMEOUT;
/// The other tool has this long to answer a `Resume` before all relays are dialed beside: most answers come in one round
/// trip, and until then those who left one relay together need the processors for their move.
const SEARCH_AFTER: Duration = Duration::from_millis(300);
/// The operator, who has moved and is not answered there, goes after this long where the customer has moved meanwhile: it
/// cannot come from where it hears nothing.
const OFFER_AFTER: Duration = Duration::from_millis(500);
/// A spare path waits alone for this long before another relay is tried beside it.
const LONE_TIMEOUT: Duration = Duration::from_secs(5);
/// The same for one that is still being dialed: most dials take a few round trips, and one into a hole takes long.
const DIAL_PATIENCE: Duration = Duration::from_secs(1);
/// First pause before a relay that failed is dialed again; it doubles up to [`REST_MAX`].
const REST_MIN: Duration = Duration::from_millis(200);
/// See [`REST_MIN`].
const REST_MAX: Duration = Duration::from_secs(5);
/// Paths beside the active one at most while all is well.
const SPARES_MAX: usize = 2;
/// After a move a tool dials the next spare within this time: those who left one relay together do not all shake hands
/// with another one while their pictures begin anew.
const CALM_MAX: Duration = Duration::from_secs(1);

/// A path, which is also the generation of its hello: each is larger than the one before.
pub type PathId = u32;

/// The time, and a random number in 0..1 that spreads what many tools would do at once.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// The time.
    pub at: Instant,
    /// The random number.
    pub spread: f64,
}

impl Now {
    /// A random share of up to a half, which is added to a pause.
    fn half(self) -> f64 {
        self.spread.clamp(0.0, 1.0) / 2.0
    }
}

/// What happened on a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathEvent {
    /// The relay admitted this tool.
    Joined {
        /// The other tool is there already.
        peer_present: bool,
    },
    /// The other tool came.
    PeerPresent,
    /// The other tool's connection to this relay is gone.
    PeerGone,
    /// The relay is being stopped.
    Goaway,
    /// The connection is over, or never came about.
    Gone,
    /// The other tool said `Resume` here, and it opened.
    Resumed {
        /// It had heard every `Resume` of this tool by then.
        heard_all: bool,
        /// It goes on only when it is answered.
        asks: bool,
    },
    /// The other tool was started again and has rejoined the session here.
    Rejoined,
}

/// What must be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Dial a relay.
    Dial(PathId, RelayId),
    /// Close a path; nothing more is heard of it.
    Drop(PathId),
    /// Say `Resume` on a path and wait for an answer; nothing else goes out on any path until [`Effect::Settle`].
    Ask(PathId),
    /// Say `Resume` on a path; it is not answered.
    Answer(PathId),
    /// Both have said it: send again what did not arrive, and go on.
    Settle(PathId),
    /// The other tool was not found again.
    GiveUp,
}

/// See the module.
#[derive(Debug)]
pub struct Roam {
    role: Role,
    relays: Vec<RelayId>,
    paths: Vec<Path>,
    rests: Vec<Rest>,
    active: Option<PathId>,
    /// Since when an answer to this side's `Resume` on the active path is due.
    unanswered_since: Option<Instant>,
    /// Where the customer wanted to go when the operator had chosen already.
    offered: Option<PathId>,
    /// Since when nothing can be sent.
    lost_since: Option<Instant>,
    /// No spare is dialed before, because the session has just moved.
    calm_until: Option<Instant>,
    /// The other tool answers nothing although the relay does.
    doubts: bool,
    /// All relays are dialed until the tools meet.
    searches: bool,
    /// Relays that were dialed since there was last a warm spare, the last one last.
    tried: Vec<RelayId>,
    /// Relays where nobody has answered since the session was last settled, the last one last: one may count as a place
    /// of the other tool long after that tool is cut off from it.
    silent: Vec<RelayId>,
    next_id: PathId,
    over: bool,
}

#[derive(Debug, Clone, Copy)]
struct Path {
    id: PathId,
    relay: RelayId,
    stage: Stage,
    since: Instant,
    leaving: bool,
    /// The other tool has come here since this one said its last `Resume` here, which may be lost.
    unheard: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Dialing,
    Lone,
    Paired,
}

/// A relay that is not dialed for a while.
#[derive(Debug, Clone, Copy)]
struct Rest {
    relay: RelayId,
    until: Instant,
    pause: Duration,
}

impl Roam {
    /// Starts with one path that is active, because the tools proved their secret over it. `relays` is the order of the
    /// ticket.
    pub fn new(role: Role, relays: Vec<RelayId>, (active, relay): (PathId, RelayId), now: Instant) -> Self {
        Self {
            role,
            relays,
            paths: vec![Path { id: active, relay, stage: Stage::Paired, since: now, leaving: false, unheard: false }],
            rests: Vec::new(),
            active: Some(active),
            unanswered_since: None,
            offered: None,
            lost_since: None,
            calm_until: None,
            doubts: false,
            searches: false,
            tried: Vec::new(),
            silent: Vec::new(),
            next_id: active.saturating_add(1),
            over: false,
        }
    }

    /// Starts without any path, because this tool was started again. The first path has this number.
    pub fn alone(role: Role, relays: Vec<RelayId>, first: PathId) -> Self {
        Self {
            role,
            relays,
            paths: Vec::new(),
            rests: Vec::new(),
            active: None,
            unanswered_since: None,
            offered: None,
            lost_since: None,
            calm_until: None,
            doubts: false,
            searches: false,
            tried: Vec::new(),
            silent: Vec::new(),
            next_id: first,
            over: false,
        }
    }

    /// The path on which frames go out and are believed.
    pub const fn active(&self) -> Option<PathId> {
        self.active
    }

    /// Whether frames may go out now.
    pub const fn is_settled(&self) -> bool {
        self.active.is_some() && self.unanswered_since.is_none()
    }

    /// Since when nothing can be sent, if so.
    pub const fn lost_since(&self) -> Option<Instant> {
        self.lost_since
    }

    /// The warm path beside the active one, on which the other tool is, too; none while the session looks for a way.
    pub fn spare(&self) -> Option<PathId> {
        let active = self.active.filter(|_| self.is_settled())?;
        let warm = |path: &&Path| path.id != active && path.stage == Stage::Paired && !path.leaving;
        self.paths.iter().filter(warm).min_by_key(|path| path.id).map(|path| path.id)
    }

    /// Whether the active path has nothing beside it although there are more relays.
    pub fn lacks_spare(&self) -> bool {
        let spare = |path: &Path| Some(path.id) != self.active && path.stage == Stage::Paired && !path.leaving;
        1 < self.relays.len() && !self.paths.iter().any(spare)
    }

    /// The relay of the active path.
    pub fn relay(&self) -> Option<RelayId> {
        self.active.and_then(|id| self.path(id)).map(|path| path.relay)
    }

    /// A renewed ticket names these relays. Paths to others stay while they are active.
    pub fn set_relays(&mut self, relays: Vec<RelayId>, now: Now) -> Vec<Effect> {
        self.relays = relays;
        let gone: Vec<_> = self.paths.iter().filter(|path| Some(path.id) != self.active).copied().collect();
        let gone = gone.into_iter().filter(|path| !self.relays.contains(&path.relay));
        let mut effects: Vec<_> = gone.map(|path| Effect::Drop(path.id)).collect();
        self.forget(&effects);
        effects.extend(self.tick(now));
        effects
    }

    /// Whether the other tool counts as not answering.
    pub const fn doubts(&self) -> bool {
        self.doubts
    }

    /// The other tool has answered nothing for too long, or has answered now. It ends with each move.
    pub fn set_doubt(&mut self, doubts: bool, now: Now) -> Vec<Effect> {
        self.doubts = doubts && self.is_settled();
        self.tick(now)
    }

    /// Takes what happened on a path; of one that was dropped nothing counts.
    pub fn on(&mut self, id: PathId, event: PathEvent, now: Now) -> Vec<Effect> {
        let Some(place) = self.paths.iter().position(|path| path.id == id) else { return Vec::new() };
        let mut effects = Vec::new();
        match event {
            PathEvent::Joined { peer_present: true } | PathEvent::PeerPresent => {
                self.pair(place, now);
                if let Some(path) = self.paths.get_mut(place) {
                    path.unheard = true;
                    // It comes from where it found nobody.
                    if self.doubts && !path.leaving {
                        effects.push(self.go_to(id, now));
                    }
                }
            }
            PathEvent::Joined { peer_present: false } => self.set_stage(place, Stage::Lone, now),
            PathEvent::PeerGone => {
                self.set_stage(place, Stage::Lone, now);
                self.lose(id);
            }
            PathEvent::Goaway => {
                if let Some(path) = self.paths.get_mut(place) {
                    path.leaving = true;
                    let relay = path.relay;
                    // It takes nobody for a while; a restarted one is found again after that.
                    self.rest(relay, now);
                }
            }
            PathEvent::Gone => {
                let path = self.paths.swap_remove(place);
                self.rest(path.relay, now);
                self.lose(id);
            }
            PathEvent::Resumed { heard_all, asks } => {
                self.pair(place, now);
                effects.extend(self.resumed(id, (heard_all, asks), now));
            }
            PathEvent::Rejoined => {
                self.pair(place, now);
                (self.active, self.unanswered_since, self.offered, self.doubts) = (Some(id), None, None, false);
                effects.extend([self.answer(id), Effect::Settle(id)]);
            }
        }
        effects.extend(self.tick(now));
        effects
    }

    /// Time passes.
    pub fn tick(&mut self, now: Now) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.over {
            return effects;
        }
        let patience = if self.offered.is_some() { OFFER_AFTER } else { ANSWER_TIMEOUT };
        if self.unanswered_since.is_some_and(|since| since + patience <= now.at)
            && let Some(dead) = self.active
        {
            effects.push(Effect::Drop(dead));
            if let Some(Path { relay, .. }) = self.path(dead) {
                self.rest(relay, now);
                self.silent.retain(|silent| *silent != relay);
                self.silent.push(relay);
            }
            self.forget(&effects);
        }
        effects.extend(self.choose(now));
        if self.is_settled() {
            self.lost_since = None;
            self.silent.clear();
        } else if now.at >= *self.lost_since.get_or_insert(now.at) + limits::REJOIN_TIMEOUT {
            self.over = true;
            effects.push(Effect::GiveUp);
            return effects;
        }
        let kept = if self.is_settled() && !self.doubts {
            self.searches = false;
            self.keep_spare(now)
        } else if self.unanswered_since.is_some_and(|since| now.at < since + SEARCH_AFTER) {
            Vec::new()
        } else {
            self.search(now)
        };
        effects.extend(kept);
        effects
    }

    /// The other tool has begun to answer on this path: it has the whole time for what comes next.
    pub fn wait_on(&mut self, id: PathId, at: Instant) {
        if self.active == Some(id)
            && let Some(since) = &mut self.unanswered_since
        {
            *since = at;
        }
    }

    /// When [`Self::tick`] must be called at the latest.
    pub fn next_wake(&self, now: Instant) -> Instant {
        let answer = [SEARCH_AFTER, OFFER_AFTER, ANSWER_TIMEOUT];
        let answer = self.unanswered_since.into_iter().flat_map(|since| answer.map(|patience| since + patience));
        let over = self.lost_since.map(|since| since + limits::REJOIN_TIMEOUT);
        let spares = self.paths.iter().filter(|path| path.stage != Stage::Paired);
        let spares = spares.flat_map(|path| [path.since + path.patience(), path.since + LONE_TIMEOUT]);
        let rests = self.rests.iter().map(|rest| rest.until);
        let wakes = answer.chain(over).chain(spares).chain(rests).chain(self.calm_until);
        let wakes = wakes.filter(|wake| now < *wake);
        wakes.min().unwrap_or_else(|| now + limits::PING_INTERVAL)
    }

    /// The other tool said `Resume` on this path.
    fn resumed(&mut self, id: PathId, (heard_all, asks): (bool, bool), now: Now) -> Vec<Effect> {
        if self.active == Some(id) {
            let waited = self.unanswered_since.take().is_some();
            (self.offered, self.doubts) = (None, false);
            let may_be_lost = self.path(id).is_some_and(|path| path.unheard);
            // What this side has said there is the answer, while it is on its way.
            let is_answered = waited && !heard_all && !may_be_lost;
            let answer = (asks && !is_answered).then(|| self.answer(id));
            return answer.into_iter().chain([Effect::Settle(id)]).collect();
        }
        if self.role == Role::Operator && self.active.is_some() && self.unanswered_since.is_some() {
            self.offered = Some(id);
            return Vec::new();
        }
        self.active = Some(id);
        (self.unanswered_since, self.offered) = (None, None);
        self.calm(now);
        vec![self.answer(id), Effect::Settle(id)]
    }

    /// Moves to a paired path on which nothing was heard yet.
    fn go_to(&mut self, id: PathId, now: Now) -> Effect {
        self.active = Some(id);
        (self.unanswered_since, self.offered) = (Some(now.at), None);
        self.calm(now);
        self.note_said(id);
        Effect::Ask(id)
    }

    fn answer(&mut self, id: PathId) -> Effect {
        self.note_said(id);
        Effect::Answer(id)
    }

    /// A `Resume` goes out on this path.
    fn note_said(&mut self, id: PathId) {
        if let Some(path) = self.paths.iter_mut().find(|path| path.id == id) {
            path.unheard = false;
        }
    }

    /// Moves to a paired path when the active one is gone or leaving.
    fn choose(&mut self, now: Now) -> Vec<Effect> {
        let leaving = self.active.and_then(|id| self.path(id)).is_some_and(|path| path.leaving);
        if self.active.is_some() && !(leaving && self.is_settled()) {
            return Vec::new();
        }
        let silent = |path: &Path| self.silent.iter().position(|relay| *relay == path.relay);
        let order = |path: &Path| (self.offered != Some(path.id), silent(path), self.place(path.relay), path.id);
        let others = self.paths.iter().filter(|path| path.stage == Stage::Paired && Some(path.id) != self.active);
        let staying = others.clone().filter(|path| !path.leaving).min_by_key(|path| order(path));
        // A relay that is being stopped still forwards: better than nothing, no better than another such.
        let any = if leaving { None } else { others.min_by_key(|path| order(path)) };
        let Some(id) = staying.or(any).map(|path| path.id) else { return Vec::new() };
        if self.offered.take() != Some(id) {
            return vec![self.go_to(id, now)];
        }
        self.active = Some(id);
        self.calm(now);
        vec![self.answer(id), Effect::Settle(id)]
    }

    /// The session has moved: the next spare waits a moment.
    fn calm(&mut self, now: Now) {
        self.doubts = false;
        self.calm_until = Some(now.at + CALM_MAX.mul_f64(now.spread.clamp(0.0, 1.0)));
    }

    /// Dials every relay that rests no longer. How long each one rests begins anew with the search: a relay that was away
    /// while a spare was wanted may be the only one that is there now.
    fn search(&mut self, now: Now) -> Vec<Effect> {
        if !std::mem::replace(&mut self.searches, true) {
            for rest in &mut self.rests {
                (rest.pause, rest.until) = (REST_MIN, rest.until.min(now.at + REST_MIN.mul_f64(1.0 + now.half())));
            }
        }
        let free: Vec<_> = self.relays.iter().copied().filter(|relay| self.may_dial(*relay, now.at)).collect();
        free.into_iter().map(|relay| self.dial(relay, now.at)).collect()
    }

    /// Keeps one paired path beside the active one, and dials for it.
    fn keep_spare(&mut self, now: Now) -> Vec<Effect> {
        let active = self.active.and_then(|id| self.path(id));
        let after = active.map_or(0, |path| self.place(path.relay)).saturating_add(1);
        let (order, count) = (self.relays.clone(), self.relays.len().max(1));
        // How far a relay comes after the active one, round and round.
        let distance = |relay: RelayId| {
            let place = order.iter().position(|known| *known == relay).unwrap_or(count);
            place.saturating_add(count).saturating_sub(after).rem_euclid(count)
        };
        let mut spares: Vec<_> = self.paths.iter().filter(|path| Some(path.id) != self.active).copied().collect();
        spares.sort_by_key(|path| (path.leaving, path.stage != Stage::Paired, distance(path.relay), path.id));
        let has_paired = spares.first().is_some_and(|path| path.stage == Stage::Paired && !path.leaving);
        // Who stands on a relay that is being stopped does not wait, and tries all others.
        let is_urgent = active.is_some_and(|path| path.leaving);
        let kept = match (has_paired, is_urgent) {
            (true, _) => 1,
            (false, true) => count,
            (false, false) => SPARES_MAX,
        };
        let mut effects: Vec<_> =
            spares.iter().enumerate().filter(|(place, path)| kept <= *place || path.leaving).map(drop_path).collect();
        let waits_long = |path: &Path| path.since + path.patience() <= now.at;
        // None is given up before its time for another one.
        let has_room = spares.len() < kept || spares.iter().any(|path| path.since + LONE_TIMEOUT <= now.at);
        let is_calm = self.calm_until.is_none_or(|until| until <= now.at);
        let wants = !has_paired && (is_urgent || (is_calm && has_room && spares.iter().all(waits_long)));
        if wants && kept <= spares.len() {
            effects.extend(spares.iter().min_by_key(|path| path.since).map(|path| Effect::Drop(path.id)));
        }
        let dropped = effects.clone();
        self.forget(&dropped);
        if has_paired {
            self.tried.clear();
        }
        let mut next: Vec<_> =
            self.relays.iter().copied().filter(|relay| wants && self.may_dial(*relay, now.at)).collect();
        // The one that was given up just now is the last to be tried again.
        next.sort_by_key(|relay| (self.tried.iter().position(|tried| tried == relay), distance(*relay)));
        next.truncate(if is_urgent { count } else { 1 });
        for relay in next {
            self.tried.retain(|tried| *tried != relay);
            self.tried.push(relay);
            effects.push(self.dial(relay, now.at));
        }
        effects.dedup();
        effects
    }

    fn dial(&mut self, relay: RelayId, now: Instant) -> Effect {
        let id = self.next_id;
        self.next_id = self.next_id.saturating_add(1);
        self.paths.push(Path { id, relay, stage: Stage::Dialing, since: now, leaving: false, unheard: false });
        Effect::Dial(id, relay)
    }

    fn may_dial(&self, relay: RelayId, now: Instant) -> bool {
        let free = self.paths.iter().all(|path| path.relay != relay);
        free && self.rests.iter().all(|rest| rest.relay != relay || rest.until <= now)
    }

    /// Does not dial this relay for a while.
    fn rest(&mut self, relay: RelayId, now: Now) {
        let before = self.rests.iter().position(|rest| rest.relay == relay).map(|place| self.rests.swap_remove(place));
        let pause = before.map_or(REST_MIN, |rest| rest.pause.saturating_mul(2).min(REST_MAX));
        let until = now.at + pause.mul_f64(1.0 + now.half());
        self.rests.push(Rest { relay, until, pause });
    }

    fn pair(&mut self, place: usize, now: Now) {
        self.set_stage(place, Stage::Paired, now);
        let relay = self.paths.get(place).filter(|path| !path.leaving).map(|path| path.relay);
        self.rests.retain(|rest| Some(rest.relay) != relay);
    }

    fn set_stage(&mut self, place: usize, stage: Stage, now: Now) {
        if let Some(path) = self.paths.get_mut(place) {
            (path.stage, path.since) = (stage, now.at);
        }
    }

    /// The active path, if it is this one, carries nothing any more.
    fn lose(&mut self, id: PathId) {
        if self.active == Some(id) {
            (self.active, self.unanswered_since, self.doubts) = (None, None, false);
        }
        self.offered.take_if(|offered| *offered == id);
    }

    /// Takes dropped paths out.
    fn forget(&mut self, effects: &[Effect]) {
        for effect in effects {
            if let Effect::Drop(id) = effect {
                self.paths.retain(|path| path.id != *id);
                self.lose(*id);
            }
        }
    }

    fn path(&self, id: PathId) -> Option<Path> {
        self.paths.iter().find(|path| path.id == id).copied()
    }

    /// Place of a relay in the order; unknown ones come last.
    fn place(&self, relay: RelayId) -> usize {
        self.relays.iter().position(|known| *known == relay).unwrap_or(self.relays.len())
    }
}

impl Path {
    /// How long it may be no spare before another relay is tried beside it.
    const fn patience(&self) -> Duration {
        match self.stage {
            Stage::Dialing => DIAL_PATIENCE,
            Stage::Lone | Stage::Paired => LONE_TIMEOUT,
        }
    }
}

fn drop_path((_place, path): (usize, &Path)) -> Effect {
    Effect::Drop(path.id)
}
