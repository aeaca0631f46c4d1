//! Where a reception stands, and which verb leads where. Pure: no clock, no database.
//!
//! `Issued → Entered → Proved | Expired | Cancelled | Burned`; an entry that leaves unproved leads back to `Issued`,
//! at the third time to `Burned`, and to `Expired` when the time is over meanwhile.
//! A verb takes the reception and gives the next one, or [`WrongState`] and nothing has changed.
//! Entering is decided by one conditional statement in `store.rs`, which says the same as [`Reception::enter`].

use proto::{
    api::{UnixMillis, reception::ReceptionState},
    id::{CompanyId, OperatorId, ReceptionId, SessionId},
    limits::UNPROVED_MAX,
};

/// One support case, from issue to entry or expiry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reception {
    /// Its id.
    pub id: ReceptionId,
    /// Whose operator issued it.
    pub company_id: CompanyId,
    /// Who issued it.
    pub operator_id: OperatorId,
    /// Public proof key of the operator tool, 64 hexadecimal digits.
    pub proof_key: String,
    /// Shown to the customer.
    pub reason: String,
    /// When it was issued.
    pub issued_at_ms: UnixMillis,
    /// How long it lives after issue or extension.
    pub life_ms: i64,
    /// When it stops being usable.
    pub expires_at_ms: UnixMillis,
    /// Entries that left before the secret was proved.
    pub unproved_count: u32,
    /// Where it stands.
    pub stage: Stage,
}

/// Where a reception stands, with what is known there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// May be entered until it expires.
    Issued,
    /// A customer is proving the secret.
    Entered {
        /// In this session.
        session_id: SessionId,
    },
    /// The secret was proved; the number is used up.
    Proved {
        /// In this session.
        session_id: SessionId,
        /// When.
        closed_at_ms: UnixMillis,
    },
    /// Its time is over.
    Expired {
        /// When that was noticed.
        closed_at_ms: UnixMillis,
    },
    /// The operator cancelled it.
    Cancelled {
        /// When.
        closed_at_ms: UnixMillis,
    },
    /// Too many entries did not prove the secret.
    Burned {
        /// When the last of them left.
        closed_at_ms: UnixMillis,
    },
}

/// A verb that the state does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a reception that is {} cannot be {verb}", name(*.state))]
pub struct WrongState {
    /// Where it stands.
    pub state: ReceptionState,
    /// What was tried.
    pub verb: &'static str,
}

impl Stage {
    /// The state without what is known there.
    pub const fn state(self) -> ReceptionState {
        match self {
            Self::Issued => ReceptionState::Issued,
            Self::Entered { .. } => ReceptionState::Entered,
            Self::Proved { .. } => ReceptionState::Proved,
            Self::Expired { .. } => ReceptionState::Expired,
            Self::Cancelled { .. } => ReceptionState::Cancelled,
            Self::Burned { .. } => ReceptionState::Burned,
        }
    }

    /// The session of the entry that counts, if there is one.
    pub const fn session_id(self) -> Option<SessionId> {
        match self {
            Self::Entered { session_id } | Self::Proved { session_id, .. } => Some(session_id),
            Self::Issued | Self::Expired { .. } | Self::Cancelled { .. } | Self::Burned { .. } => None,
        }
    }

    /// When it was closed, if it is.
    pub const fn closed_at_ms(self) -> Option<UnixMillis> {
        match self {
            Self::Issued | Self::Entered { .. } => None,
            Self::Proved { closed_at_ms, .. }
            | Self::Expired { closed_at_ms }
            | Self::Cancelled { closed_at_ms }
            | Self::Burned { closed_at_ms } => Some(closed_at_ms),
        }
    }

    /// Whether it counts as one of the operator's open numbers.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Issued | Self::Entered { .. })
    }
}

impl Reception {
    /// A customer typed the number.
    ///
    /// # Errors
    /// [`WrongState`] when it is not issued, or its time is over.
    pub fn enter(self, session_id: SessionId, now_ms: UnixMillis) -> Result<Self, WrongState> {
        if self.stage == Stage::Issued && now_ms < self.expires_at_ms {
            Ok(Self { stage: Stage::Entered { session_id }, ..self })
        } else {
            Err(self.refuse("entered"))
        }
    }

    /// The secret was proved in `session_id`.
    ///
    /// # Errors
    /// [`WrongState`] when that session is not the one that entered.
    pub fn prove(self, session_id: SessionId, now_ms: UnixMillis) -> Result<Self, WrongState> {
        if self.stage == (Stage::Entered { session_id }) {
            Ok(Self { stage: Stage::Proved { session_id, closed_at_ms: now_ms }, ..self })
        } else {
            Err(self.refuse("proved"))
        }
    }

    /// The session that entered ended before the secret was proved.
    ///
    /// # Errors
    /// [`WrongState`] when that session is not the one that entered.
    pub fn leave(self, session_id: SessionId, now_ms: UnixMillis) -> Result<Self, WrongState> {
        if self.stage != (Stage::Entered { session_id }) {
            return Err(self.refuse("left"));
        }
        let unproved_count = self.unproved_count.saturating_add(1);
        let stage = if UNPROVED_MAX <= unproved_count {
            Stage::Burned { closed_at_ms: now_ms }
        } else if self.expires_at_ms <= now_ms {
            Stage::Expired { closed_at_ms: now_ms }
        } else {
            Stage::Issued
        };
        Ok(Self { unproved_count, stage, ..self })
    }

    /// The operator takes the number back.
    ///
    /// # Errors
    /// [`WrongState`] when it is closed already.
    pub fn cancel(self, now_ms: UnixMillis) -> Result<Self, WrongState> {
        if self.stage.is_open() {
            Ok(Self { stage: Stage::Cancelled { closed_at_ms: now_ms }, ..self })
        } else {
            Err(self.refuse("cancelled"))
        }
    }

    /// The number gets its full life again, counted from now.
    ///
    /// # Errors
    /// [`WrongState`] when it is closed, or its time is over.
    pub fn extend(self, now_ms: UnixMillis) -> Result<Self, WrongState> {
        if self.stage.is_open() && now_ms < self.expires_at_ms {
            Ok(Self { expires_at_ms: now_ms.saturating_add(self.life_ms), ..self })
        } else {
            Err(self.refuse("extended"))
        }
    }

    /// The time is over. A number that is entered waits for that entry to end.
    ///
    /// # Errors
    /// [`WrongState`] when it is not issued, or has time left.
    pub fn expire(self, now_ms: UnixMillis) -> Result<Self, WrongState> {
        if self.stage == Stage::Issued && self.expires_at_ms <= now_ms {
            Ok(Self { stage: Stage::Expired { closed_at_ms: now_ms }, ..self })
        } else {
            Err(self.refuse("expired"))
        }
    }

    const fn refuse(&self, verb: &'static str) -> WrongState {
        WrongState { state: self.stage.state(), verb }
    }
}

/// The name of a state in the database.
pub const fn name(state: ReceptionState) -> &'static str {
    match state {
        ReceptionState::Issued => "issued",
        ReceptionState::Entered => "entered",
        ReceptionState::Proved => "proved",
        ReceptionState::Expired => "expired",
        ReceptionState::Cancelled => "cancelled",
        ReceptionState::Burned => "burned",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIFE_MS: i64 = 600_000;

    fn issued() -> Reception {
        Reception {
            id: ReceptionId::from_bytes([1; 16]),
            company_id: CompanyId::from_bytes([2; 16]),
            operator_id: OperatorId::from_bytes([3; 16]),
            proof_key: "00".repeat(32),
            reason: String::new(),
            issued_at_ms: 0,
            life_ms: LIFE_MS,
            expires_at_ms: LIFE_MS,
            unproved_count: 0,
            stage: Stage::Issued,
        }
    }

    fn session(n: u8) -> SessionId {
        SessionId::from_bytes([n; 16])
    }

    #[derive(Debug, Clone, Copy)]
    enum Verb {
        Enter(u8),
        Prove(u8),
        Leave(u8),
        Cancel,
        Extend,
        Expire,
    }

    fn verbs() -> impl Strategy<Value = Vec<(Verb, i64)>> {
        let verb = prop_oneof![
            4 => (0u8..3).prop_map(Verb::Enter),
            2 => (0u8..3).prop_map(Verb::Prove),
            4 => (0u8..3).prop_map(Verb::Leave),
            1 => Just(Verb::Cancel),
            1 => Just(Verb::Extend),
            2 => Just(Verb::Expire),
        ];
        prop::collection::vec((verb, 0..LIFE_MS), 0..40)
    }

    fn apply(reception: Reception, verb: Verb, now_ms: i64) -> Result<Reception, WrongState> {
        match verb {
            Verb::Enter(n) => reception.enter(session(n), now_ms),
            Verb::Prove(n) => reception.prove(session(n), now_ms),
            Verb::Leave(n) => reception.leave(session(n), now_ms),
            Verb::Cancel => reception.cancel(now_ms),
            Verb::Extend => reception.extend(now_ms),
            Verb::Expire => reception.expire(now_ms),
        }
    }

    proptest! {
        #[test]
        fn no_order_of_verbs_reaches_an_illegal_state(verbs in verbs()) {
            let mut reception = issued();
            let mut now_ms = 0;
            for (verb, pause_ms) in verbs {
                now_ms += pause_ms;
                let before = reception.clone();
                let Ok(after) = apply(reception.clone(), verb, now_ms) else { continue };
                prop_assert!(before.stage.is_open(), "a closed reception moved: {before:?} → {after:?}");
                prop_assert!(after.unproved_count <= UNPROVED_MAX);
                prop_assert_eq!(after.unproved_count == UNPROVED_MAX, after.stage.state() == ReceptionState::Burned);
                prop_assert_eq!(after.stage.closed_at_ms().is_none(), after.stage.is_open());
                if let Stage::Entered { .. } = after.stage
                    && before.stage == Stage::Issued
                {
                    prop_assert!(now_ms < before.expires_at_ms, "entered after its time");
                }
                if after.unproved_count != before.unproved_count {
                    prop_assert_eq!(before.stage.state(), ReceptionState::Entered);
                }
                reception = after;
            }
        }
    }

    #[test]
    fn the_third_unproved_entry_burns_the_number() {
        let mut reception = issued();
        for n in 1..=3u8 {
            reception = reception.enter(session(n), 10).unwrap().leave(session(n), 20).unwrap();
        }
        assert_eq!(reception.stage, Stage::Burned { closed_at_ms: 20 });
    }

    #[test]
    fn an_entry_that_leaves_after_the_time_is_over_expires_the_number() {
        let reception = issued().enter(session(1), LIFE_MS - 1).unwrap().leave(session(1), LIFE_MS).unwrap();
        assert_eq!(reception.stage, Stage::Expired { closed_at_ms: LIFE_MS });
        assert_eq!(reception.unproved_count, 1);
    }

    #[test]
    fn an_extension_counts_from_now() {
        assert_eq!(issued().extend(500_000).unwrap().expires_at_ms, 500_000 + LIFE_MS);
        assert!(issued().extend(LIFE_MS).is_err());
    }

    #[test]
    fn a_refusal_names_the_state_and_the_verb() {
        let cancelled = issued().cancel(1).unwrap();
        assert_eq!(cancelled.extend(2).unwrap_err().to_string(), "a reception that is cancelled cannot be extended");
    }
}
