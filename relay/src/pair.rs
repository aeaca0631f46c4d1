//! Puts the two sides of a session together. Pure but for the table's shard locks.
//!
//! What a join or a leave has to say is said in a closure while the session's shard is locked, so that two threads cannot
//! tell of one session in another order than it happened. The closures lock what belongs to one seat, and never the table.
//!
//! A session is at most two seats, one for each role. It begins with its first side and is over when its last side
//! leaves, or when one ends it; until then the side that is left keeps its seat, and the other may come back.
//! A newer connection of the same tool (same proof key, higher generation) takes the older one's seat; anybody else is
//! one too many.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use dashmap::{DashMap, Entry};
use proto::{close::CloseReason, id::SessionId, role::Role};
use tokio::time::Instant;

/// The table of sessions: one entry for each, with both sides inside.
#[derive(Debug)]
pub struct Pairs<H> {
    sessions: DashMap<SessionId, Session<H>>,
    sessions_max: usize,
}

/// One session.
#[derive(Debug)]
struct Session<H> {
    customer: Option<Side<H>>,
    operator: Option<Side<H>>,
    /// Both sides were here at the same time.
    is_paired: bool,
    /// They were here together before, perhaps not now.
    was_paired: bool,
    totals: Arc<Totals>,
    /// See [`Terms::home`].
    home: usize,
}

#[derive(Debug)]
struct Side<H> {
    claim: Claim,
    handle: H,
}

/// Who wants a seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Which side.
    pub role: Role,
    /// The tool's key.
    pub proof_key: [u8; 32],
    /// Grows with each reconnect.
    pub generation: u32,
    /// Number of the connection, unique in this process.
    pub serial: u64,
}

/// On what terms a seat is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// Whether a session that is not here yet may begin.
    pub may_begin: bool,
    /// The data-plane thread where the session is at home if it begins now; both its sides go there.
    pub home: usize,
    /// The time.
    pub now: Instant,
}

/// What a session adds up to while it is here.
#[derive(Debug)]
pub struct Totals {
    from_customer: AtomicU64,
    from_operator: AtomicU64,
    /// When its first side came.
    pub begun_at: Instant,
}

/// A seat was given.
#[derive(Debug)]
pub struct Joined<H> {
    /// The older connection of the same tool, which must go.
    pub displaced: Option<H>,
    /// The other side, if it is here.
    pub peer: Option<H>,
    /// Both are here now, and were not before.
    pub is_paired_anew: bool,
    /// They were never here together before.
    pub is_first_pairing: bool,
    /// Counts for the whole session.
    pub totals: Arc<Totals>,
    /// The data-plane thread of the session.
    pub home: usize,
}

/// A seat was given back.
#[derive(Debug)]
pub struct Left<H> {
    /// The other side, which must be told.
    pub peer: Option<H>,
    /// Both sides were here until now.
    pub was_paired: bool,
    /// The session's entry is gone.
    pub is_over: bool,
    /// Counts for the whole session.
    pub totals: Arc<Totals>,
}

impl<H: Clone> Pairs<H> {
    /// An empty table for at most `sessions_max` sessions.
    pub fn new(sessions_max: usize) -> Self {
        Self { sessions: DashMap::new(), sessions_max }
    }

    /// Gives a seat, and calls `told` while nobody else can join or leave the session.
    ///
    /// # Errors
    /// [`CloseReason::Crowded`] for a third tool, [`CloseReason::Displaced`] for a connection that is not newer than the
    /// seated one of its tool, [`CloseReason::Overloaded`] when the table is full, [`CloseReason::Draining`].
    pub fn join(
        &self,
        session_id: SessionId,
        claim: Claim,
        handle: H,
        terms: Terms,
        told: impl FnOnce(&Joined<H>),
    ) -> Result<Joined<H>, CloseReason> {
        // Two that race for the last place may both get it: the bound is on memory and not exact.
        let is_full = self.sessions_max <= self.sessions.len();
        match self.sessions.entry(session_id) {
            Entry::Occupied(mut entry) => entry.get_mut().join(claim, handle, terms).inspect(told),
            Entry::Vacant(_) if !terms.may_begin => Err(CloseReason::Draining),
            Entry::Vacant(_) if is_full => Err(CloseReason::Overloaded),
            Entry::Vacant(entry) => entry.insert(Session::new(terms)).join(claim, handle, terms).inspect(told),
        }
    }

    /// Gives a seat back. The session is over then when nobody else is here, or when `ends`. `None` when the seat
    /// belongs to somebody else by now. `told` is called while nobody else can join or leave the session.
    pub fn leave(
        &self,
        session_id: SessionId,
        role: Role,
        serial: u64,
        ends: bool,
        told: impl FnOnce(&Left<H>),
    ) -> Option<Left<H>> {
        let Entry::Occupied(mut entry) = self.sessions.entry(session_id) else { return None };
        let session = entry.get_mut();
        if !session.seats(role, serial) {
            return None;
        }
        let totals = Arc::clone(&session.totals);
        let (own, other) = match role {
            Role::Customer => (&mut session.customer, &session.operator),
            Role::Operator => (&mut session.operator, &session.customer),
        };
        drop(own.take());
        let peer = other.as_ref().map(|side| side.handle.clone());
        let was_paired = std::mem::take(&mut session.is_paired);
        let is_over = ends || peer.is_none();
        let left = Left { peer, was_paired, is_over, totals };
        told(&left);
        if is_over {
            drop(entry.remove());
        }
        Some(left)
    }

    /// The other side, if it is here and the asking connection still has its seat.
    pub fn peer(&self, session_id: SessionId, role: Role, serial: u64) -> Option<H> {
        let session = self.sessions.get(&session_id)?;
        if !session.seats(role, serial) {
            return None;
        }
        session.side(role.other()).map(|side| side.handle.clone())
    }

    /// Whether a session is here.
    pub fn has(&self, session_id: SessionId) -> bool {
        self.sessions.contains_key(&session_id)
    }

    /// Whoever is seated in a session.
    pub fn seats(&self, session_id: SessionId) -> Vec<H> {
        let Some(session) = self.sessions.get(&session_id) else { return Vec::new() };
        [&session.customer, &session.operator].into_iter().flatten().map(|side| side.handle.clone()).collect()
    }

    /// Everybody, or only those who wait alone.
    pub fn everybody(&self, only_waiting: bool) -> Vec<H> {
        let mut handles = Vec::new();
        for session in &self.sessions {
            let sides = [&session.customer, &session.operator];
            if only_waiting && sides.iter().all(|side| side.is_some()) {
                continue;
            }
            handles.extend(sides.into_iter().flatten().map(|side| side.handle.clone()));
        }
        handles
    }

    /// Ids of at most `max` sessions.
    pub fn ids(&self, max: usize) -> Vec<SessionId> {
        self.sessions.iter().take(max).map(|session| *session.key()).collect()
    }

    /// Sessions here now.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether nobody is here.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }
}

impl<H: Clone> Session<H> {
    fn new(Terms { home, now, .. }: Terms) -> Self {
        let totals = Totals { from_customer: AtomicU64::new(0), from_operator: AtomicU64::new(0), begun_at: now };
        Self { customer: None, operator: None, is_paired: false, was_paired: false, totals: Arc::new(totals), home }
    }

    fn join(&mut self, claim: Claim, handle: H, terms: Terms) -> Result<Joined<H>, CloseReason> {
        let (totals, home) = (Arc::clone(&self.totals), self.home);
        let peer = self.side(claim.role.other()).map(|side| side.handle.clone());
        let seat = match claim.role {
            Role::Customer => &mut self.customer,
            Role::Operator => &mut self.operator,
        };
        match seat {
            None if !terms.may_begin => return Err(CloseReason::Draining),
            Some(seated) if seated.claim.proof_key != claim.proof_key => return Err(CloseReason::Crowded),
            Some(seated) if claim.generation <= seated.claim.generation => return Err(CloseReason::Displaced),
            None | Some(_) => {}
        }
        let displaced = seat.replace(Side { claim, handle }).map(|side| side.handle);
        let is_paired_anew = peer.is_some() && !self.is_paired;
        self.is_paired |= is_paired_anew;
        let is_first_pairing = is_paired_anew && !self.was_paired;
        self.was_paired |= is_paired_anew;
        Ok(Joined { displaced, peer, is_paired_anew, is_first_pairing, totals, home })
    }

    const fn side(&self, role: Role) -> Option<&Side<H>> {
        match role {
            Role::Customer => self.customer.as_ref(),
            Role::Operator => self.operator.as_ref(),
        }
    }

    fn seats(&self, role: Role, serial: u64) -> bool {
        self.side(role).is_some_and(|side| side.claim.serial == serial)
    }
}

impl Totals {
    /// Counts payload bytes forwarded from a side.
    pub fn add(&self, from: Role, len: u64) {
        self.counter(from).fetch_add(len, Ordering::Relaxed);
    }

    /// Payload bytes forwarded from a side.
    pub fn get(&self, from: Role) -> u64 {
        self.counter(from).load(Ordering::Relaxed)
    }

    const fn counter(&self, from: Role) -> &AtomicU64 {
        match from {
            Role::Customer => &self.from_customer,
            Role::Operator => &self.from_operator,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn claim(role: Role, key: u8, generation: u32, serial: u64) -> Claim {
        Claim { role, proof_key: [key; 32], generation, serial }
    }

    fn terms(may_begin: bool, now: Instant) -> Terms {
        Terms { may_begin, home: 0, now }
    }

    const SESSION: SessionId = SessionId::from_bytes([1; 16]);

    #[tokio::test]
    async fn the_second_side_finds_the_first_and_a_third_is_one_too_many() {
        let (pairs, now) = (Pairs::new(8), Instant::now());

        assert_eq!(
            pairs.join(SESSION, claim(Role::Customer, 1, 1, 1), 1u64, terms(true, now), |_| {}).unwrap().peer,
            None
        );
        assert_eq!(
            pairs.join(SESSION, claim(Role::Operator, 2, 1, 2), 2, terms(true, now), |_| {}).unwrap().peer,
            Some(1)
        );
        let third = pairs.join(SESSION, claim(Role::Operator, 3, 9, 3), 3, terms(true, now), |_| {});

        assert_eq!(third.unwrap_err(), CloseReason::Crowded);
        assert_eq!(pairs.peer(SESSION, Role::Customer, 1), Some(2));
    }

    #[tokio::test]
    async fn only_a_newer_connection_of_the_same_tool_takes_its_seat() {
        let (pairs, now) = (Pairs::new(8), Instant::now());
        pairs.join(SESSION, claim(Role::Customer, 1, 5, 1), 1u64, terms(true, now), |_| {}).unwrap();
        pairs.join(SESSION, claim(Role::Operator, 2, 1, 2), 2, terms(true, now), |_| {}).unwrap();

        let same = pairs.join(SESSION, claim(Role::Customer, 1, 5, 3), 3, terms(true, now), |_| {});
        let newer = pairs.join(SESSION, claim(Role::Customer, 1, 6, 4), 4, terms(true, now), |_| {}).unwrap();

        assert_eq!(same.unwrap_err(), CloseReason::Displaced);
        assert_eq!((newer.displaced, newer.peer), (Some(1), Some(2)));
        assert!(pairs.leave(SESSION, Role::Customer, 1, true, |_| {}).is_none(), "the displaced one ends nothing");
        assert_eq!(pairs.peer(SESSION, Role::Operator, 2), Some(4));
    }

    #[tokio::test]
    async fn a_side_that_is_left_keeps_its_seat_until_the_other_comes_back_or_ends_the_session() {
        let (pairs, now) = (Pairs::new(8), Instant::now());

        let first = pairs.join(SESSION, claim(Role::Customer, 1, 1, 1), 1u64, terms(true, now), |_| {}).unwrap();
        let second = pairs.join(SESSION, claim(Role::Operator, 2, 1, 2), 2, terms(true, now), |_| {}).unwrap();
        let lost = pairs.leave(SESSION, Role::Customer, 1, false, |_| {}).unwrap();
        let back = pairs.join(SESSION, claim(Role::Customer, 1, 2, 3), 3, terms(true, now), |_| {}).unwrap();
        let ended = pairs.leave(SESSION, Role::Operator, 2, true, |_| {}).unwrap();

        let anew = [&first, &second, &back].map(|joined| (joined.is_paired_anew, joined.is_first_pairing));
        assert_eq!(anew, [(false, false), (true, true), (true, false)]);
        assert_eq!((lost.peer, lost.was_paired, lost.is_over), (Some(2), true, false));
        assert_eq!((ended.peer, ended.was_paired, ended.is_over), (Some(3), true, true));
        assert!(pairs.is_empty());
    }

    #[tokio::test]
    async fn a_draining_relay_begins_nothing_but_lets_a_tool_come_back() {
        let (pairs, now) = (Pairs::new(8), Instant::now());
        pairs.join(SESSION, claim(Role::Customer, 1, 1, 1), 1u64, terms(true, now), |_| {}).unwrap();

        let peer = pairs.join(SESSION, claim(Role::Operator, 2, 1, 2), 2, terms(false, now), |_| {});
        let back = pairs.join(SESSION, claim(Role::Customer, 1, 2, 3), 3, terms(false, now), |_| {});

        assert_eq!(peer.unwrap_err(), CloseReason::Draining);
        assert!(back.is_ok());
    }

    #[tokio::test]
    async fn a_full_table_says_so() {
        let (pairs, now) = (Pairs::new(1), Instant::now());
        pairs.join(SESSION, claim(Role::Customer, 1, 1, 1), 1u64, terms(true, now), |_| {}).unwrap();

        let other =
            pairs.join(SessionId::from_bytes([2; 16]), claim(Role::Customer, 1, 1, 2), 2, terms(true, now), |_| {});

        assert_eq!(other.unwrap_err(), CloseReason::Overloaded);
    }

    proptest! {
        #[test]
        fn never_more_than_two_sides_and_never_a_leak(
            steps in prop::collection::vec((0u8..3, any::<bool>(), 0u8..3, 0u32..4, any::<bool>()), 0..200),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let _in_runtime = runtime.enter();
            let (pairs, now) = (Pairs::new(8), Instant::now());
            let mut seated: BTreeMap<u64, (SessionId, Role)> = BTreeMap::new();
            for (serial, (session, is_customer, key, generation, joins)) in steps.into_iter().enumerate() {
                let serial = u64::try_from(serial).unwrap();
                let session = SessionId::from_bytes([session; 16]);
                let role = if is_customer { Role::Customer } else { Role::Operator };
                if joins {
                    if let Ok(joined) = pairs.join(session, claim(role, key, generation, serial), serial, terms(true, now), |_| {}) {
                        if let Some(displaced) = joined.displaced {
                            prop_assert_eq!(seated.remove(&displaced), Some((session, role)));
                        }
                        seated.insert(serial, (session, role));
                    }
                } else if let Some((&serial, &(session, role))) = seated.first_key_value() {
                    let left = pairs.leave(session, role, serial, generation == 0, |_| {}).unwrap();
                    seated.remove(&serial);
                    if let Some(peer) = left.peer.filter(|_| left.is_over) {
                        prop_assert_eq!(seated.remove(&peer), Some((session, role.other())));
                    }
                    let again = pairs.leave(session, role, serial, true, |_| {});
                    prop_assert!(again.is_none());
                }
                for session in (0..3).map(|session| SessionId::from_bytes([session; 16])) {
                    let expected = seated.values().filter(|(id, _)| *id == session).count();
                    prop_assert_eq!(pairs.seats(session).len(), expected);
                    prop_assert!(expected <= 2);
                }
            }
            for (serial, (session, role)) in seated {
                drop(pairs.leave(session, role, serial, false, |_| {}));
            }
            prop_assert!(pairs.is_empty());
        }
    }
}
