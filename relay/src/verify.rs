//! What strangers may make this relay compute: tickets are verified within rates, and a bad one is not verified twice.
//!
//! Length and form of a ticket are checked before any cryptography (`proto/src/ticket.rs`). Then a verification takes a
//! token of its source and one of all; a ticket that admits gives both back, so an honest office that comes back all at
//! once is never held up. Only what is wrong with the ticket itself is remembered: a proof that is wrong says nothing of
//! the ticket, or a thief could keep its owner out.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use proto::{close::CloseReason, hello::Hello, ticket::Ticket};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use crate::{
    admit::{Expected, Keys},
    limit::Bucket,
    sources::Counted,
};

/// Bad tickets that are remembered: ten seconds of the default rate. 48 bytes each.
const REMEMBERED_MAX: usize = 8 * 1024;
/// For how long. Short, because a key may be told meanwhile that makes one good.
const REMEMBERED_FOR: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug)]
pub struct Verifier {
    tokens: Mutex<Bucket>,
    bad: Mutex<BadTickets>,
}

/// Why a ticket does not admit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// By what it says or how it was brought.
    Because(CloseReason),
    /// As just before; it was not looked at again.
    Again(CloseReason),
    /// Its source has shown too many bad ones.
    SourceRate,
    /// Too many bad ones come altogether.
    Rate,
}

/// Tickets that were no good, by their hash, oldest first.
#[derive(Debug, Default)]
struct BadTickets {
    reasons: HashMap<[u8; 32], CloseReason>,
    oldest: VecDeque<([u8; 32], Instant)>,
}

impl Verifier {
    /// So many verifications of bad tickets a second, and twice as many at once.
    pub fn new(per_second: u64, now: Instant) -> Self {
        let tokens = Bucket::new(per_second, per_second.saturating_mul(2), now);
        Self { tokens: Mutex::new(tokens), bad: Mutex::default() }
    }

    /// Checks a hello from `source`, if the bounds allow it.
    ///
    /// # Errors
    /// See [`Denied`].
    pub fn verify(
        &self,
        keys: &Keys,
        hello: &Hello,
        expected: &Expected<'_>,
        source: &Counted,
        now: Instant,
    ) -> Result<Ticket, Denied> {
        let hash: [u8; 32] = Sha256::digest(hello.ticket.as_bytes()).into();
        if let Some(reason) = self.bad().reason(&hash, now) {
            return Err(Denied::Again(reason));
        }
        if !source.may_show_ticket(now) {
            return Err(Denied::SourceRate);
        }
        if !self.tokens().is_open(now) {
            return Err(Denied::Rate);
        }
        keys.admit(hello, expected).map_err(|reason| {
            source.charge();
            self.tokens().take(1);
            if matches!(reason, CloseReason::TicketUnknown | CloseReason::TicketExpired) {
                self.bad().remember(hash, reason, now);
            }
            Denied::Because(reason)
        })
    }

    /// Forgets the bad ones, because other keys count from now on.
    pub fn forget(&self) {
        *self.bad() = BadTickets::default();
    }

    fn tokens(&self) -> MutexGuard<'_, Bucket> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bad(&self) -> MutexGuard<'_, BadTickets> {
        self.bad.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BadTickets {
    fn reason(&mut self, hash: &[u8; 32], now: Instant) -> Option<CloseReason> {
        while let Some((oldest, since)) = self.oldest.front()
            && REMEMBERED_FOR <= now.saturating_duration_since(*since)
        {
            self.reasons.remove(oldest);
            self.oldest.pop_front();
        }
        self.reasons.get(hash).copied()
    }

    fn remember(&mut self, hash: [u8; 32], reason: CloseReason, now: Instant) {
        if REMEMBERED_MAX <= self.oldest.len()
            && let Some((oldest, _)) = self.oldest.pop_front()
        {
            self.reasons.remove(&oldest);
        }
        // Two connections may bring the same ticket at once; it has one place all the same.
        if self.reasons.insert(hash, reason).is_none() {
            self.oldest.push_back((hash, now));
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::{
        hello::proof_text,
        id::{RelayId, SessionId},
        role::Role,
        ticket::{ProofKey, SigningKey, TicketRelay, proof_key_hash},
    };

    use super::*;
    use crate::sources::{Allowance, Allowances, Sources};

    const EXPORTER: [u8; 32] = [3; 32];
    const EXPECTED: Expected<'_> = Expected { exporter: &EXPORTER, is_own: &|spki| spki == "aa", now_ms: 1_000 };

    struct Bench {
        verifier: Verifier,
        keys: Keys,
        sources: Sources,
        key: SigningKey,
        proof_key: ProofKey,
    }

    impl Bench {
        fn new(per_second: u64, per_source: u64) -> Self {
            let allowance = Allowance { connections: 100, handshakes: 100, accepts: 100, tickets: per_source };
            let allowances = Allowances { address: allowance, network: allowance, rows_max: 64 };
            let key = SigningKey::from_seed("test", [7; 32]).unwrap();
            Self {
                verifier: Verifier::new(per_second, Instant::now()),
                keys: Keys::new(vec![key.verifying_key()]),
                sources: Sources::new(allowances),
                key,
                proof_key: ProofKey::random(&mut rand_core::OsRng),
            }
        }

        fn source(&self, last: u8) -> Counted {
            self.sources.count([192, 0, 2, last].into(), 1_000, Instant::now()).unwrap().0
        }

        fn good(&self) -> Hello {
            let ticket = Ticket {
                session_id: SessionId::from_bytes([1; 16]),
                role: Role::Customer,
                proof_key_hash: proof_key_hash(&self.proof_key.public()),
                relays: vec![TicketRelay { relay_id: RelayId::from_bytes([9; 16]), spki: "aa".to_owned() }],
                rate_max: 1,
                issued_at_ms: 1_000,
                expires_at_ms: 2_000,
                hard_end_at_ms: 2_000,
            };
            let ticket = ticket.sign(&self.key).unwrap();
            let signature = self.proof_key.sign(&proof_text(&EXPORTER, &ticket, 1));
            Hello { proof_key: self.proof_key.public(), generation: 1, signature, ticket }
        }

        /// A ticket that was never signed; each number is another one.
        fn bad(&self, number: usize) -> Hello {
            Hello { ticket: format!("v4.public.{number}"), ..self.good() }
        }

        fn verify(&self, hello: &Hello, source: &Counted) -> Result<(), Denied> {
            self.verifier.verify(&self.keys, hello, &EXPECTED, source, Instant::now()).map(drop)
        }
    }

    const UNKNOWN: Result<(), Denied> = Err(Denied::Because(CloseReason::TicketUnknown));
    const UNKNOWN_AGAIN: Result<(), Denied> = Err(Denied::Again(CloseReason::TicketUnknown));

    #[tokio::test(start_paused = true)]
    async fn good_tickets_are_never_held_up() {
        let bench = Bench::new(1, 1);
        let (hello, source) = (bench.good(), bench.source(1));

        assert!((0..50).all(|_| bench.verify(&hello, &source).is_ok()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_of_bad_tickets_is_held_to_its_rate_and_its_neighbour_is_not() {
        let bench = Bench::new(1_000, 5);
        let (source, neighbour) = (bench.source(1), bench.source(2));

        let answers: Vec<_> = (0..20).map(|number| bench.verify(&bench.bad(number), &source)).collect();

        assert_eq!(answers.iter().filter(|answer| **answer == UNKNOWN).count(), 10, "five a second, twice at once");
        assert_eq!(answers.last(), Some(&Err(Denied::SourceRate)));
        assert_eq!(bench.verify(&bench.good(), &source), Err(Denied::SourceRate));
        assert_eq!(bench.verify(&bench.good(), &neighbour), Ok(()));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(bench.verify(&bench.good(), &source), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn many_sources_together_are_held_to_one_rate() {
        let bench = Bench::new(10, 1_000);
        let sources: Vec<_> = (1..=50).map(|last| bench.source(last)).collect();

        let answers: Vec<_> =
            sources.iter().enumerate().map(|(number, source)| bench.verify(&bench.bad(number), source)).collect();

        assert_eq!(answers.iter().filter(|answer| **answer == UNKNOWN).count(), 20);
        assert_eq!(answers.last(), Some(&Err(Denied::Rate)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_bad_ticket_is_not_looked_at_twice_until_a_while_later_or_until_keys_change() {
        let bench = Bench::new(1_000, 1_000);
        let (source, bad) = (bench.source(1), bench.bad(0));

        assert_eq!((bench.verify(&bad, &source), bench.verify(&bad, &source)), (UNKNOWN, UNKNOWN_AGAIN));
        bench.verifier.forget();
        assert_eq!(bench.verify(&bad, &source), UNKNOWN);
        tokio::time::advance(REMEMBERED_FOR).await;
        assert_eq!(bench.verify(&bad, &source), UNKNOWN);
    }

    #[tokio::test(start_paused = true)]
    async fn a_thief_of_a_ticket_does_not_keep_its_owner_out() {
        let bench = Bench::new(1_000, 1_000);
        let source = bench.source(1);
        let stolen = Hello { proof_key: ProofKey::random(&mut rand_core::OsRng).public(), ..bench.good() };

        assert_eq!(bench.verify(&stolen, &source), Err(Denied::Because(CloseReason::ProofWrong)));

        assert_eq!(bench.verify(&bench.good(), &source), Ok(()));
    }

    #[tokio::test]
    async fn what_is_remembered_is_bounded() {
        let mut bad = BadTickets::default();
        let now = Instant::now();

        for number in 0..u32::try_from(2 * REMEMBERED_MAX).unwrap() {
            bad.remember(Sha256::digest(number.to_be_bytes()).into(), CloseReason::TicketUnknown, now);
        }

        assert_eq!((bad.oldest.len(), bad.reasons.len()), (REMEMBERED_MAX, REMEMBERED_MAX));
    }
}
