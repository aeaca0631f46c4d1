//! Many sessions at once: opened, made to speak by the script, replaced, and ended in order.
//!
//! It runs on threads of its own, each with a runtime of its own and its share of the sessions, so that its work takes
//! little, and nothing else waits for it. How late it was itself is counted, too: a generator that cannot keep up must
//! not pass for a slow server.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use hdrhistogram::Histogram;
use proto::role::Role;
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore as _, SeedableRng as _},
};
use tokio::{
    sync::{Barrier, Semaphore, mpsc, oneshot},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::{
    mix::{Part, Script},
    pace::{Timer, now_ns},
    road::{End, OpenRoad, Road},
    session::{Latencies, Order, Outcome, Session},
};
use crate::meter::{Meter, Reading};

/// Sessions that are being opened at once.
const OPENING_MAX: usize = 16;
/// Orders given before others on the thread have their turn.
const ORDERS_IN_A_ROW: u32 = 16;
/// Polls between two looks at the sockets.
const EVENT_INTERVAL: u32 = 8;
/// File descriptors of this process that are for something else than sessions.
pub const DESCRIPTORS_KEPT: u32 = 200;
/// Numbers for the sessions of each thread.
const NUMBERS: u32 = 1 << 24;

/// What shall happen.
#[derive(Clone)]
pub struct Plan {
    /// Ways for sessions; each takes the sessions whose number is its own, modulo their count.
    pub roads: Vec<Road>,
    /// Sessions held at once.
    pub sessions: u32,
    /// How many of them speak; the others only hold their connections.
    pub active: u32,
    /// What those say.
    pub script: Script,
    /// Sessions are opened over this time; zero opens them as fast as it goes.
    pub ramp: Duration,
    /// From the last one open to the first frame that counts.
    pub warm_up: Duration,
    /// How long frames count.
    pub duration: Duration,
    /// Sessions a second that end and are replaced by a new one.
    pub churn_per_sec: f64,
    /// What has not come so long after the last frame was sent is lost; usually [`super::session::LATE`].
    pub late: Duration,
    /// The same seed gives the same schedule.
    pub seed: u64,
    /// Threads that share the sessions; one is best as long as it is enough.
    pub threads: u32,
    /// Processes to be read.
    pub meters: Vec<Meter>,
}

/// What happened.
pub struct Found {
    /// Latencies of the frames that count.
    pub latencies: Latencies,
    /// Sums over all sessions.
    pub outcome: Outcome,
    /// Sessions that were opened.
    pub opened: u32,
    /// How many could not be, and the first reason.
    pub refused: (u32, Option<String>),
    /// Messages that found no room because an end was not taking any; they were not sent.
    pub held_back: u64,
    /// How late the generator itself was with its orders, microseconds.
    pub late: Histogram<u64>,
    /// How long frames counted, seconds.
    pub secs: f64,
    /// For each process: before any session, at the beginning and at the end of that time.
    pub readings: Vec<[Reading; 3]>,
    /// CPU seconds of the generator in that time.
    pub own_cpu_secs: f64,
}

/// Runs a plan on threads of its own.
///
/// # Errors
/// When a thread cannot be started, no session can be opened, or a process to be read is gone.
pub async fn run(plan: Plan) -> Result<Found> {
    let sockets = plan.sessions.saturating_mul(2).saturating_add(DESCRIPTORS_KEPT);
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    ensure!(
        u64::from(sockets) <= most,
        "{} sessions need {sockets} file descriptors, and one process has {most} here: at most {} sessions",
        plan.sessions,
        most.saturating_sub(u64::from(DESCRIPTORS_KEPT)) / 2
    );
    let count = plan.threads.clamp(1, plan.sessions.max(1));
    let together = Together { open: Arc::new(Barrier::new(usize::try_from(count)?)), over: CancellationToken::new() };
    // A run that is given up ends its threads.
    let _ended = together.over.clone().drop_guard();
    let mut threads = Vec::new();
    for thread in 0..count {
        let share = |all: u32| all / count + u32::from(thread < all % count);
        let part = Plan {
            sessions: share(plan.sessions),
            active: share(plan.active),
            churn_per_sec: plan.churn_per_sec / f64::from(count),
            seed: plan.seed.wrapping_add(u64::from(thread) << 32),
            meters: plan.meters.clone().into_iter().filter(|_| thread == 0).collect(),
            ..plan.clone()
        };
        threads.push(start(part, thread * NUMBERS, together.clone())?);
    }
    let mut all: Option<Found> = None;
    for thread in threads {
        let found = thread.await.context("the generator has ended")??;
        match &mut all {
            None => all = Some(found),
            Some(all) => all.add(&found),
        }
    }
    all.context("there was no generator")
}

/// What the threads of a run share.
#[derive(Clone)]
struct Together {
    /// Passed when every thread has opened its sessions.
    open: Arc<Barrier>,
    /// The run was given up.
    over: CancellationToken,
}

fn start(plan: Plan, first: u32, together: Together) -> Result<oneshot::Receiver<Result<Found>>> {
    let (done, result) = oneshot::channel();
    let work = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().event_interval(EVENT_INTERVAL).build();
        let over = together.over.clone();
        let found = match runtime {
            Ok(runtime) => runtime.block_on(async {
                tokio::select! {
                    found = async { Director::new(plan, first, together)?.direct().await } => found,
                    () = over.cancelled() => bail!("the run was given up"),
                }
            }),
            Err(error) => Err(error.into()),
        };
        // Nobody waits any more when the run was given up.
        drop(done.send(found));
    };
    std::thread::Builder::new().name("generator".to_owned()).spawn(work)?;
    Ok(result)
}

/// A session that was opened, or not.
type Opening = (u32, Result<(End, End)>);

/// What is next, by time: the message of a side of a session.
type Next = Reverse<(u64, u32, usize)>;

struct Director {
    plan: Plan,
    /// The number of its first session.
    first: u32,
    together: Together,
    roads: Vec<Arc<OpenRoad>>,
    timer: Timer,
    random: ChaCha8Rng,
    latencies: Arc<Mutex<Latencies>>,
    live: BTreeMap<u32, (Session, [Part; 2])>,
    next: BinaryHeap<Next>,
    moment: BTreeMap<(u32, usize), super::mix::Moment>,
    finishing: JoinSet<Outcome>,
    opening: JoinSet<()>,
    opened_to: mpsc::Sender<Opening>,
    opened_from: mpsc::Receiver<Opening>,
    places: Arc<Semaphore>,
    /// Sessions begun so far.
    begun: u32,
    opened: u32,
    refused: (u32, Option<String>),
    outcome: Outcome,
    held_back: u64,
    late: Histogram<u64>,
    in_a_row: u32,
}

impl Director {
    fn new(plan: Plan, first: u32, together: Together) -> Result<Self> {
        let roads = plan.roads.iter().map(|road| road.open().map(Arc::new)).collect::<Result<Vec<_>>>()?;
        ensure!(!roads.is_empty(), "there is no way for sessions");
        let (opened_to, opened_from) = mpsc::channel(OPENING_MAX);
        Ok(Self {
            first,
            together,
            roads,
            timer: Timer::new()?,
            random: ChaCha8Rng::seed_from_u64(plan.seed),
            latencies: Arc::new(Mutex::new(Latencies::new(u64::MAX)?)),
            live: BTreeMap::new(),
            next: BinaryHeap::new(),
            moment: BTreeMap::new(),
            finishing: JoinSet::new(),
            opening: JoinSet::new(),
            opened_to,
            opened_from,
            places: Arc::new(Semaphore::new(OPENING_MAX)),
            begun: 0,
            opened: 0,
            refused: (0, None),
            outcome: Outcome::default(),
            held_back: 0,
            late: Histogram::new_with_bounds(1, 60_000_000, 3)?,
            in_a_row: 0,
            plan,
        })
    }

    async fn direct(mut self) -> Result<Found> {
        let own = Meter { name: "generator".to_owned(), pid: std::process::id() };
        let before = self.read_all()?;
        self.open_all().await?;
        self.speak_until_all_are_open().await?;
        let counts_from = now_ns() + ns(self.plan.warm_up);
        self.latencies.lock().unwrap_or_else(PoisonError::into_inner).from_ns = counts_from;
        self.speak_until(counts_from).await?;
        let (first, own_before, began) = (self.read_all()?, own.cpu_secs()?, now_ns());
        self.late.reset();
        self.speak_until(counts_from + ns(self.plan.duration)).await?;
        let (last, own_cpu_secs) = (self.read_all()?, own.cpu_secs()? - own_before);
        let secs = Duration::from_nanos(now_ns() - began).as_secs_f64();

        self.opening.shutdown().await;
        for (_, (session, _)) in std::mem::take(&mut self.live) {
            self.finishing.spawn(session.finish(self.plan.late));
        }
        while let Some(outcome) = self.finishing.join_next().await {
            self.outcome.add(outcome?);
        }
        let latencies = self.latencies.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let readings = before.into_iter().zip(first).zip(last).map(|((before, first), last)| [before, first, last]);
        Ok(Found {
            latencies,
            outcome: self.outcome,
            opened: self.opened,
            refused: self.refused,
            held_back: self.held_back,
            late: self.late,
            secs,
            readings: readings.collect(),
            own_cpu_secs,
        })
    }

    fn read_all(&self) -> Result<Vec<Reading>> {
        self.plan.meters.iter().map(Meter::read).collect()
    }

    /// Opens every session of the plan; those that are open speak already.
    async fn open_all(&mut self) -> Result<()> {
        let began = now_ns();
        let pause_ns = ns(self.plan.ramp) / u64::from(self.plan.sessions.max(1));
        while self.begun < self.plan.sessions {
            self.begin();
            if 0 < pause_ns {
                self.speak_until(began + pause_ns * u64::from(self.begun)).await?;
            }
        }
        while self.opened + self.refused.0 < self.begun {
            self.step(u64::MAX).await?;
        }
        if self.opened == 0 && 0 < self.plan.sessions {
            bail!("no session could be opened: {}", self.refused.1.as_deref().unwrap_or("no reason"));
        }
        Ok(())
    }

    async fn speak_until_all_are_open(&mut self) -> Result<()> {
        let open = Arc::clone(&self.together.open);
        let mut all_open = std::pin::pin!(open.wait());
        loop {
            tokio::select! {
                biased;
                _ = &mut all_open => return Ok(()),
                stepped = self.step(u64::MAX) => stepped?,
            }
        }
    }

    /// Lets sessions speak, and replaces some, until `until_ns`.
    async fn speak_until(&mut self, until_ns: u64) -> Result<()> {
        let churn_ns =
            (0.0 < self.plan.churn_per_sec).then(|| ns(Duration::from_secs_f64(1.0 / self.plan.churn_per_sec)));
        let mut replace_at = churn_ns.map(|pause| now_ns() + pause);
        while now_ns() < until_ns {
            if let (Some(at), Some(pause)) = (replace_at, churn_ns)
                && at <= now_ns()
            {
                self.replace();
                replace_at = Some(at + pause);
            }
            self.step(replace_at.map_or(until_ns, |at| at.min(until_ns))).await?;
        }
        Ok(())
    }

    /// Does the next thing that is due, or takes in what was opened, until `until_ns` at most.
    async fn step(&mut self, until_ns: u64) -> Result<()> {
        let due = self.next.peek().map_or(u64::MAX, |Reverse((due, ..))| *due);
        let wake = due.min(until_ns).min(now_ns() + ns(Duration::from_secs(1)));
        if ORDERS_IN_A_ROW <= self.in_a_row {
            self.in_a_row = 0;
            tokio::task::yield_now().await;
        }
        tokio::select! {
            biased;
            Some((number, ends)) = self.opened_from.recv() => self.take(number, ends),
            slept = self.timer.sleep_until(wake) => {
                slept?;
                if due <= now_ns() {
                    self.order();
                }
            }
        }
        Ok(())
    }

    /// Begins to open the next session.
    fn begin(&mut self) {
        let number = self.first + self.begun;
        self.begun += 1;
        let place = usize::try_from(number).unwrap_or(0) % self.roads.len();
        let (road, places, opened_to) =
            (Arc::clone(&self.roads[place]), Arc::clone(&self.places), self.opened_to.clone());
        self.opening.spawn(async move {
            let Ok(_place) = places.acquire().await else { return };
            let ends = road.pair(number).await;
            // The director may have stopped meanwhile.
            drop(opened_to.send((number, ends)).await);
        });
    }

    fn take(&mut self, number: u32, ends: Result<(End, End)>) {
        let ends = match ends {
            Ok(ends) => ends,
            Err(error) => {
                self.refused.0 += 1;
                self.refused.1.get_or_insert_with(|| format!("{error:#}"));
                return;
            }
        };
        self.opened += 1;
        let session = Session::start(number, ends, &self.latencies);
        let [(Role::Customer, customer), (_, operator)] = self.plan.script.cast(now_ns(), &mut self.random) else {
            return;
        };
        self.live.insert(number, (session, [customer, operator]));
        // Those that hold still are spread evenly among those that speak.
        let (place, all, active) =
            ((number - self.first) % self.plan.sessions.max(1), self.plan.sessions, self.plan.active);
        let speaks = |place: u32| u64::from(place) * u64::from(active) / u64::from(all.max(1));
        if speaks(place) < speaks(place + 1) {
            self.plan_next(number, 0);
            self.plan_next(number, 1);
        }
    }

    fn plan_next(&mut self, number: u32, side: usize) {
        if let Some((_, parts)) = self.live.get_mut(&number)
            && let Some((due, moment)) = parts.get_mut(side).and_then(Part::next_moment)
        {
            self.next.push(Reverse((due, number, side)));
            self.moment.insert((number, side), moment);
        }
    }

    /// Gives the order that is due.
    fn order(&mut self) {
        let Some(Reverse((due_ns, number, side))) = self.next.pop() else { return };
        let Some(moment) = self.moment.remove(&(number, side)) else { return };
        let Some((session, _)) = self.live.get(&number) else { return };
        self.in_a_row += 1;
        self.late.saturating_record(now_ns().saturating_sub(due_ns) / 1000);
        let order = Order::Message { due_ns, lane: moment.lane, len: moment.len };
        if session.orders.get(side).is_none_or(|orders| orders.try_send(order).is_err()) {
            self.held_back += 1;
        }
        self.plan_next(number, side);
    }

    /// Ends a session by chance and begins another one.
    fn replace(&mut self) {
        while let Some(outcome) = self.finishing.try_join_next() {
            self.outcome.add(outcome.unwrap_or_default());
        }
        let Ok(count) = u64::try_from(self.live.len()) else { return };
        if count == 0 {
            return;
        }
        let place = usize::try_from(self.random.next_u64() % count).unwrap_or(0);
        let number = self.live.keys().nth(place).copied();
        if let Some((session, _)) = number.and_then(|number| self.live.remove(&number)) {
            self.finishing.spawn(session.finish(self.plan.late));
            self.begin();
        }
    }
}

impl Found {
    /// Adds what another thread found; CPU and memory are those of the whole process already.
    fn add(&mut self, other: &Self) {
        self.latencies.add(&other.latencies);
        self.outcome.add(other.outcome);
        self.opened += other.opened;
        self.refused.0 += other.refused.0;
        if self.refused.1.is_none() {
            self.refused.1.clone_from(&other.refused.1);
        }
        self.held_back += other.held_back;
        self.late += &other.late;
    }
}

impl Outcome {
    /// Adds another session's outcome to this one.
    pub const fn add(&mut self, other: Self) {
        self.faults.add(other.faults);
        self.frames += other.frames;
        self.broken += other.broken;
    }
}

fn ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX / 4)
}
