//! The standing load: many sessions of both tools' own code (`link::meet`, `Sealed`) in this process, which say
//! numbered messages at their times whatever the network does, and check what they hear.
//!
//! Open loop: a message that could not go out in time is late, and its delay counts from when it was due. A picture is
//! left out while too much is under way, as the client tool does it; a reliable message never is.
//! Every message, a picture or typed text, holds [`canary::text`].
//! Guarantees: bounded in sessions and pace; everything ends when the crowd is dropped.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use link::{
    meet::MeetError,
    sealed::{Sealed, SealedEvent, SealedReceiver, SealedSender},
};
use proto::{close::CloseReason, frame::Lane, id::RelayId, input::Input, message::Message};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::{
    sync::{Notify, Semaphore},
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    canary,
    gaps::Gaps,
    ledger::{Kind, Ledger, Sum},
};

/// Sessions that are made at the same time: more would only wait for the processor.
const MAKING_MAX: usize = 16;
/// A session that is not made in this time is a failure of the run.
const MAKING_PATIENCE: Duration = Duration::from_mins(1);
/// Every tool hears of the end within this time.
const ENDING_PATIENCE: Duration = Duration::from_secs(20);
/// Bytes of pictures under way at which the next one is left out.
const SCREEN_WINDOW: u64 = 256 * 1024;
/// How often a condition on the whole crowd is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// What a crowd says.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Sessions.
    pub sessions: usize,
    /// Pictures a second, each way; none when 0.
    pub screens_per_sec: u32,
    /// Bytes of an average picture.
    pub screen_bytes: usize,
    /// Messages of the input lane a second, each way.
    pub inputs_per_sec: u32,
}

impl Load {
    /// The load of the fault matrix.
    pub const STANDING: Self = Self { sessions: 50, screens_per_sec: 30, screen_bytes: 1_500, inputs_per_sec: 5 };

    /// The same for fewer or more sessions.
    pub const fn of(sessions: usize) -> Self {
        Self { sessions, ..Self::STANDING }
    }

    /// Most messages that one direction says in a time of whole seconds: one of each kind more than its periods, for
    /// both ends of the time.
    pub fn said_in(&self, time: Duration) -> u64 {
        let said = |per_sec: u32| u64::from(per_sec).saturating_mul(time.as_secs()).saturating_add(1);
        said(self.screens_per_sec).saturating_add(said(self.inputs_per_sec))
    }
}

/// Makes one session: both tools meet.
pub trait Matchmaker: Send + Sync + 'static {
    /// Lets the tools of session number `index` meet; customer first.
    fn make(&self, index: usize) -> link::BoxFuture<Result<[Sealed; 2]>>;
}

/// Both sides, or why they did not meet: what either of them has to say, because the first error may follow from the
/// second.
///
/// # Errors
/// When one of them failed, with the words of all that did.
pub(super) fn both_or_why(
    customer: Result<Sealed, MeetError>,
    operator: Result<Sealed, MeetError>,
) -> Result<[Sealed; 2]> {
    match (customer, operator) {
        (Ok(customer), Ok(operator)) => Ok([customer, operator]),
        (Err(customer), Ok(_)) => bail!("the customer did not meet the operator: {customer}"),
        (Ok(_), Err(operator)) => bail!("the operator did not meet the customer: {operator}"),
        (Err(customer), Err(operator)) => {
            bail!("they did not meet; the customer: {customer}; the operator: {operator}")
        }
    }
}

/// Running sessions. Dropping it ends them without a word.
pub struct Crowd {
    pairs: Vec<Pair>,
    saying: CancellationToken,
    /// Goodbyes are said: receivers, whose drop cuts the connection, may go.
    parting: CancellationToken,
    tasks: JoinSet<()>,
}

struct Pair {
    ends: [End; 2],
    /// From the customer, from the operator.
    ways: [Arc<Way>; 2],
}

struct End {
    sender: SealedSender,
    first: RelayId,
    fate: Arc<Fate>,
}

/// One direction.
struct Way {
    ledger: Mutex<Ledger>,
    /// Says one message of the input lane at once.
    nudge: Notify,
    pictures_left_out: AtomicU64,
}

/// What became of one end.
#[derive(Default)]
struct Fate {
    ended: Mutex<Option<(CloseReason, Instant)>>,
    switches_seen: AtomicU64,
}

impl Crowd {
    /// Makes the sessions and lets them talk.
    ///
    /// # Errors
    /// When a session is not made.
    pub async fn start(load: Load, seed: u64, maker: Arc<dyn Matchmaker>) -> Result<Self> {
        let places = Arc::new(Semaphore::new(MAKING_MAX));
        let mut making = JoinSet::new();
        for index in 0..load.sessions {
            let (places, maker) = (Arc::clone(&places), Arc::clone(&maker));
            making.spawn(async move {
                let _place = places.acquire_owned().await?;
                let made =
                    timeout(MAKING_PATIENCE, maker.make(index)).await.context("a session was not made in time")?;
                anyhow::Ok((index, made.with_context(|| format!("session {index} was not made"))?))
            });
        }
        let mut made = BTreeMap::new();
        while let Some(done) = making.join_next().await {
            let (index, sealed) = done??;
            made.insert(index, sealed);
        }
        let mut crowd = Self {
            pairs: Vec::new(),
            saying: CancellationToken::new(),
            parting: CancellationToken::new(),
            tasks: JoinSet::new(),
        };
        for (index, sealed) in made {
            crowd.seat(load, seed.wrapping_add(u64::try_from(index)?), sealed);
        }
        Ok(crowd)
    }

    fn seat(&mut self, load: Load, seed: u64, [customer, operator]: [Sealed; 2]) {
        let now = Instant::now();
        let ways = [0; 2].map(|_| {
            Arc::new(Way { ledger: Mutex::new(Ledger::new(now)), nudge: Notify::new(), pictures_left_out: 0.into() })
        });
        let mut random = StdRng::seed_from_u64(seed);
        let mut ends = Vec::new();
        for (sealed, place) in [(customer, 0), (operator, 1)] {
            let Sealed { sender, receiver, relay_id, safety_code: _, secret: _ } = sealed;
            let (says, hears) = (Arc::clone(&ways[place]), Arc::clone(&ways[1 - place]));
            let fate = Arc::new(Fate::default());
            let (hearing, parting) = (hear(receiver, hears, Arc::clone(&fate)), self.parting.clone());
            self.tasks.spawn(async move {
                let _receiver = hearing.await;
                parting.cancelled().await;
            });
            let voice =
                Voice { load, sender: sender.clone(), way: says, random: StdRng::seed_from_u64(random.random()) };
            self.tasks.spawn(voice.say_until(self.saying.clone()));
            ends.push(End { sender, first: relay_id, fate });
        }
        if let Ok(ends) = <[End; 2]>::try_from(ends) {
            self.pairs.push(Pair { ends, ways });
        }
    }

    /// Sessions.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there is no session.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The relay over which most sessions go now.
    pub fn busiest(&self) -> Option<RelayId> {
        let mut counts = BTreeMap::new();
        for relay in self.pairs.iter().flat_map(Pair::relays) {
            *counts.entry(relay).or_insert(0u32) += 1;
        }
        counts.into_iter().max_by_key(|(_, count)| *count).map(|(relay, _)| relay)
    }

    /// Sessions whose two tools are not at the same relay.
    pub fn split(&self) -> usize {
        self.pairs.iter().filter(|pair| pair.relays()[0] != pair.relays()[1]).count()
    }

    /// Sessions that go over a relay now, at both ends.
    pub fn at(&self, relay: RelayId) -> usize {
        self.pairs.iter().filter(|pair| pair.relays() == [relay; 2]).count()
    }

    /// Where the sessions are, and how many directions have brought nothing that was said from `since` on.
    pub fn whereabouts(&self, since: Instant) -> String {
        let mut places = BTreeMap::new();
        for pair in &self.pairs {
            *places
                .entry(pair.relays().map(|relay| relay.to_string().chars().take(4).collect::<String>()))
                .or_insert(0) += 1;
        }
        let silent: Vec<_> = [0, 1]
            .iter()
            .map(|place: &usize| {
                let ways = self.pairs.iter().map(|pair| &pair.ways[*place]);
                ways.filter(|way| way.ledger().newest().is_none_or(|newest| newest < since)).count()
            })
            .collect();
        let cut = self.cut();
        format!(
            "at customer's and operator's relay: {places:?}; silent from customers, from operators: {silent:?}; ended \
             {}: {:?}",
            cut.len(),
            cut.first()
        )
    }

    /// Sessions that are over at either end, with the reasons.
    pub fn cut(&self) -> Vec<CloseReason> {
        let ended = |end: &End| end.fate.ended().map(|(reason, _at)| reason);
        self.pairs.iter().filter_map(|pair| pair.ends.iter().find_map(ended)).collect()
    }

    /// Waits until every tool has heard that its session is over: the reasons, and when; `None` when it does not happen in
    /// time.
    pub async fn ends(&self, patience: Duration) -> Option<Vec<(CloseReason, Instant)>> {
        let ends = || -> Option<Vec<_>> {
            self.pairs.iter().flat_map(|pair| &pair.ends).map(|end| *end.fate.ended()).collect()
        };
        self.wait(patience, || ends().is_some()).await.then(ends).flatten()
    }

    /// Measures pauses and delays from now on, and says where every session is.
    pub fn mark(&self) -> Mark {
        let at = Instant::now();
        for way in self.ways() {
            way.ledger().mark(at);
        }
        Mark { at, relays: self.pairs.iter().map(|pair| pair.relays()[0]).collect() }
    }

    /// Adds the longest pause and delay of each direction since the mark; only of sessions that were at `relay` then,
    /// when one is named.
    pub fn take_gaps(&self, mark: &Mark, relay: Option<RelayId>, gaps: &mut Gaps) {
        let now = Instant::now();
        for (pair, was_at) in self.pairs.iter().zip(&mark.relays) {
            if relay.is_none_or(|relay| relay == *was_at) {
                for way in &pair.ways {
                    let ledger = way.ledger();
                    gaps.add(ledger.pause(now), ledger.late());
                }
            }
        }
    }

    /// Adds how long every message of the input lane was on its way that was said since the last mark and before `until`,
    /// as its delay.
    pub fn take_ways(&self, until: Instant, gaps: &mut Gaps) {
        for way in self.ways() {
            let ledger = way.ledger();
            for way in ledger.ways(until) {
                gaps.add_delay(way);
            }
        }
    }

    /// Every direction says one more message at once.
    pub fn nudge(&self) {
        for way in self.ways() {
            way.nudge.notify_one();
        }
    }

    /// Waits until every direction has brought a message that was said at this time or later; how long that took from
    /// then, or `None` when it did not happen in time.
    pub async fn flows_since(&self, since: Instant, patience: Duration) -> Option<Duration> {
        let flows = |way: &Arc<Way>| way.ledger().newest().is_some_and(|newest| since <= newest);
        self.wait(patience, || self.ways().all(flows)).await.then(|| since.elapsed())
    }

    /// Waits until every direction has brought input that was said at this time or later, and with that all input from
    /// before; whether it came about in time.
    pub async fn input_flows_since(&self, since: Instant, patience: Duration) -> bool {
        let flows = |way: &Arc<Way>| way.ledger().newest_input().is_some_and(|newest| since <= newest);
        self.wait(patience, || self.ways().all(flows)).await
    }

    /// Waits for a condition on the crowd; whether it came about in time.
    pub async fn wait(&self, patience: Duration, condition: impl Fn() -> bool) -> bool {
        let until = Instant::now() + patience;
        while !condition() {
            if until <= Instant::now() {
                return false;
            }
            sleep(LOOK).await;
        }
        true
    }

    /// Says nothing more, waits for what is under way, and adds up.
    pub async fn settle(&self, patience: Duration) -> Sum {
        self.saying.cancel();
        // What was being said has a number, so that it is waited for.
        self.wait(patience, || self.ways().all(|way| way.ledger().under_way() == 0)).await;
        self.sum()
    }

    /// Adds up what was said and heard so far.
    pub fn sum(&self) -> Sum {
        self.ways().map(|way| way.ledger().sum()).fold(Sum::default(), Sum::with)
    }

    /// Messages that were passed over or never came, without the first `most` of each direction.
    pub fn lost_beyond(&self, most: u64) -> u64 {
        self.ways().map(|way| way.ledger().lost_beyond(most)).sum()
    }

    /// Pictures that were left out because too much was under way.
    pub fn pictures_left_out(&self) -> u64 {
        self.ways().map(|way| way.pictures_left_out.load(Ordering::Relaxed)).sum()
    }

    /// Times that a tool told its user of a change of relays.
    pub fn switches_seen(&self) -> u64 {
        let ends = self.pairs.iter().flat_map(|pair| &pair.ends);
        ends.map(|end| end.fate.switches_seen.load(Ordering::Relaxed)).sum()
    }

    /// Ends every session as its operator does.
    ///
    /// # Errors
    /// When a customer does not hear of it.
    pub async fn end(mut self) -> Result<()> {
        self.saying.cancel();
        let mut ending = JoinSet::new();
        for pair in &self.pairs {
            let sender = pair.ends[1].sender.clone();
            ending.spawn(async move { sender.end(CloseReason::OperatorEnded).await });
        }
        ending.join_all().await;
        self.parting.cancel();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        // A tool that hears nothing is told of below.
        let _in_time = timeout(ENDING_PATIENCE, all).await;
        for (place, who) in ["customers", "operators"].iter().enumerate() {
            let fates = self.pairs.iter().map(|pair| pair.ends[place].fate.ended().map(|(reason, _at)| reason));
            let odd: Vec<_> = fates.filter(|fate| *fate != Some(CloseReason::OperatorEnded)).collect();
            ensure!(
                odd.is_empty(),
                "{} {who} did not hear that the operator ended it, but {:?}",
                odd.len(),
                odd.first()
            );
        }
        Ok(())
    }

    fn ways(&self) -> impl Iterator<Item = &Arc<Way>> {
        self.pairs.iter().flat_map(|pair| &pair.ways)
    }
}

/// A moment, and where the sessions were.
#[derive(Debug)]
pub struct Mark {
    /// The moment.
    pub at: Instant,
    relays: Vec<RelayId>,
}

impl Pair {
    fn relays(&self) -> [RelayId; 2] {
        [0, 1].map(|place| self.ends[place].sender.moved_to().unwrap_or(self.ends[place].first))
    }
}

impl Way {
    /// No await while the guard lives.
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fate {
    fn ended(&self) -> MutexGuard<'_, Option<(CloseReason, Instant)>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says one direction.
struct Voice {
    load: Load,
    sender: SealedSender,
    way: Arc<Way>,
    random: StdRng,
}

impl Voice {
    async fn say_until(mut self, stop: CancellationToken) {
        let begun = Instant::now();
        let screen_every = period(self.load.screens_per_sec);
        let input_every = period(self.load.inputs_per_sec);
        let mut screen_at = screen_every.map(|every| begun + every.mul_f64(self.random.random()));
        let mut input_at = input_every.map(|every| begun + every.mul_f64(self.random.random()));
        loop {
            let is_screen = screen_at.is_some_and(|screen| input_at.is_none_or(|input| screen < input));
            let due_at = if is_screen { screen_at } else { input_at };
            let said = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.way.nudge.notified() => self.input(Instant::now()).await,
                () = sleep_until(due_at.unwrap_or(begun + FAR)) => match due_at {
                    Some(at) if is_screen => {
                        screen_at = screen_every.map(|every| at + every);
                        self.picture(at).await
                    }
                    Some(at) => {
                        input_at = input_every.map(|every| at + every);
                        self.input(at).await
                    }
                    None => return,
                },
            };
            if said.is_none() {
                return;
            }
        }
    }

    /// `None`: the session is over.
    async fn input(&self, at: Instant) -> Option<()> {
        let number = self.way.ledger().say(Kind::Input, at);
        let typed = Input::Text(format!("{}{number:x}", canary::text()));
        self.sender.send(Message::Input(typed)).await.ok()
    }

    async fn picture(&mut self, at: Instant) -> Option<()> {
        if SCREEN_WINDOW < self.sender.unacknowledged(Lane::Screen) {
            self.way.pictures_left_out.fetch_add(1, Ordering::Relaxed);
            return Some(());
        }
        let number = self.way.ledger().say(Kind::Screen, at);
        // Most pictures are small, a few are ten times as long as the average one.
        let share: f64 = -self.random.random_range(0.000_05_f64..1.0).ln();
        let len = share * f64::from(u32::try_from(self.load.screen_bytes).unwrap_or(u32::MAX));
        let mut bytes = [&number.to_le_bytes(), canary::text().as_bytes()].concat();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most ten times the average")]
        bytes.resize(bytes.len() + len as usize, fill(number));
        self.sender.send(Message::Screen(bytes)).await.ok()
    }
}

/// Hears one direction until the session is over.
async fn hear(mut receiver: SealedReceiver, way: Arc<Way>, fate: Arc<Fate>) -> SealedReceiver {
    loop {
        match receiver.recv().await {
            SealedEvent::Message(message) => {
                let now = Instant::now();
                match numbered(&message) {
                    Some((kind, number)) => way.ledger().hear(kind, number, now),
                    None => way.ledger().hear_broken(),
                }
            }
            SealedEvent::Switching => drop(fate.switches_seen.fetch_add(1, Ordering::Relaxed)),
            SealedEvent::Resumed | SealedEvent::PeerRestarted => {}
            SealedEvent::Ended(reason) => {
                *fate.ended() = Some((reason, Instant::now()));
                return receiver;
            }
        }
    }
}

/// The number in a message; `None` when its content is not what was said.
#[expect(clippy::wildcard_enum_match_arm, reason = "a crowd says two kinds of message and nothing else")]
fn numbered(message: &Message) -> Option<(Kind, u64)> {
    match message {
        Message::Input(Input::Text(typed)) => {
            let number = typed.strip_prefix(canary::text())?;
            Some((Kind::Input, u64::from_str_radix(number, 16).ok()?))
        }
        Message::Screen(bytes) => {
            let (number, rest) = bytes.split_first_chunk::<8>()?;
            let number = u64::from_le_bytes(*number);
            let rest = rest.strip_prefix(canary::text().as_bytes())?;
            rest.iter().all(|byte| *byte == fill(number)).then_some((Kind::Screen, number))
        }
        _ => None,
    }
}

/// What a picture is filled with, behind its number and the text that stands nowhere else.
fn fill(number: u64) -> u8 {
    number.wrapping_mul(151).to_le_bytes()[0]
}

fn period(per_sec: u32) -> Option<Duration> {
    (0 < per_sec).then(|| Duration::from_secs(1) / per_sec)
}

/// Further away than any run.
const FAR: Duration = Duration::from_hours(24);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_direction_says_what_its_pace_allows() {
        assert_eq!(Load::of(1).said_in(Duration::from_secs(5)), 177, "30 pictures and 5 messages of input a second");
    }

    #[test]
    fn an_error_of_the_operator_does_not_hide_behind_one_of_the_customer() {
        let customer = MeetError::Timeout(CloseReason::PeerTimeout);

        let why = both_or_why(Err(customer), Err(MeetError::Unreachable)).err().map(|error| error.to_string());

        let why = why.unwrap_or_default();
        assert!(why.contains("peer_timeout") && why.contains("no relay can be reached"), "{why}");
    }
}
