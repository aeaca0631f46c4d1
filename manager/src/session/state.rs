//! Where a session stands, and which verb leads where. Pure: no clock, no database.
//!
//! `Joining → Proving → Consenting → Connected → Ended { reason }`, `Ended` from each of them, once.
//! Only the operator's tool moves a session past the proof: the customer's side may be a stranger who guesses.
//! A view that the customer allowed before the operator's word arrived is kept, and connects when it does.

use proto::{
    api::{UnixMillis, session::ConsentAnswer, session::SessionState},
    close::CloseReason,
    grant::GrantKind,
    id::{CompanyId, OperatorId, ReceptionId, SessionId},
};

/// One support session, from entry to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// The reception that was entered.
    pub reception_id: ReceptionId,
    /// The company.
    pub company_id: CompanyId,
    /// The operator.
    pub operator_id: OperatorId,
    /// When the number was entered.
    pub entered_at_ms: UnixMillis,
    /// When it ends at the latest.
    pub hard_end_at_ms: UnixMillis,
    /// When a relay or a tool last said something about it.
    pub last_seen_at_ms: UnixMillis,
    /// When the customer allowed the view; it connects once the operator has proved the secret.
    pub view_granted_at_ms: Option<UnixMillis>,
    /// Where it stands.
    pub stage: Stage,
}

/// Where a session stands, with what is known there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The tools are on their way to the relay.
    Joining,
    /// Both sides are at the relay.
    Proving {
        /// Since when.
        paired_at_ms: UnixMillis,
    },
    /// The secret is proved; the customer is asked.
    Consenting {
        /// Since when.
        proved_at_ms: UnixMillis,
    },
    /// The customer allowed the view.
    Connected {
        /// When the secret was proved.
        proved_at_ms: UnixMillis,
        /// When support began.
        connected_at_ms: UnixMillis,
    },
    /// Over.
    Ended(Ended),
}

/// What is known of a session that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// When the secret was proved, if it was.
    pub proved_at_ms: Option<UnixMillis>,
    /// When support began, if it did.
    pub connected_at_ms: Option<UnixMillis>,
    /// When it ended.
    pub at_ms: UnixMillis,
    /// Why: the first reason that anybody gave.
    pub reason: CloseReason,
}

/// A verb that the state does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a session that is {} cannot be {verb}", name(*.state))]
pub struct WrongState {
    /// Where it stands.
    pub state: SessionState,
    /// What was tried.
    pub verb: &'static str,
}

impl Stage {
    /// The state without what is known there.
    pub const fn state(self) -> SessionState {
        match self {
            Self::Joining => SessionState::Joining,
            Self::Proving { .. } => SessionState::Proving,
            Self::Consenting { .. } => SessionState::Consenting,
            Self::Connected { .. } => SessionState::Connected,
            Self::Ended(_) => SessionState::Ended,
        }
    }

    /// When both sides were at the relay; not kept after the proof.
    pub const fn paired_at_ms(self) -> Option<UnixMillis> {
        match self {
            Self::Proving { paired_at_ms } => Some(paired_at_ms),
            Self::Joining | Self::Consenting { .. } | Self::Connected { .. } | Self::Ended(_) => None,
        }
    }

    /// When the secret was proved, if it was.
    pub const fn proved_at_ms(self) -> Option<UnixMillis> {
        match self {
            Self::Joining | Self::Proving { .. } => None,
            Self::Consenting { proved_at_ms } | Self::Connected { proved_at_ms, .. } => Some(proved_at_ms),
            Self::Ended(ended) => ended.proved_at_ms,
        }
    }

    /// When support began, if it did.
    pub const fn connected_at_ms(self) -> Option<UnixMillis> {
        match self {
            Self::Joining | Self::Proving { .. } | Self::Consenting { .. } => None,
            Self::Connected { connected_at_ms, .. } => Some(connected_at_ms),
            Self::Ended(ended) => ended.connected_at_ms,
        }
    }

    /// How it ended, if it has.
    pub const fn ended(self) -> Option<Ended> {
        match self {
            Self::Joining | Self::Proving { .. } | Self::Consenting { .. } | Self::Connected { .. } => None,
            Self::Ended(ended) => Some(ended),
        }
    }
}

impl Ended {
    /// From the beginning of support to its end; never negative.
    pub fn duration_ms(self) -> Option<i64> {
        self.connected_at_ms.map(|connected| self.at_ms.saturating_sub(connected).max(0))
    }
}

impl Session {
    /// A relay has had both sides since `at_ms` by its clock. Repeatable. The time to prove counts from `now_ms`.
    ///
    /// # Errors
    /// [`WrongState`] when it is over.
    pub fn pair(self, at_ms: UnixMillis, now_ms: UnixMillis) -> Result<Self, WrongState> {
        match self.stage {
            Stage::Joining => Ok(Self { stage: Stage::Proving { paired_at_ms: now_ms }, ..self }.seen(at_ms)),
            Stage::Proving { .. } | Stage::Consenting { .. } | Stage::Connected { .. } => Ok(self.seen(at_ms)),
            Stage::Ended(_) => Err(self.refuse("paired")),
        }
    }

    /// The operator's tool holds both confirmations of the key exchange. Repeatable.
    ///
    /// # Errors
    /// [`WrongState`] when it ended unproved.
    pub fn prove(self, now_ms: UnixMillis) -> Result<Self, WrongState> {
        match self.stage {
            Stage::Joining | Stage::Proving { .. } => {
                Ok(Self { stage: Stage::Consenting { proved_at_ms: now_ms }, ..self }.seen(now_ms).connect(now_ms))
            }
            Stage::Consenting { .. } | Stage::Connected { .. } => Ok(self.seen(now_ms)),
            Stage::Ended(Ended { proved_at_ms: Some(_), .. }) => Ok(self),
            Stage::Ended(_) => Err(self.refuse("proved")),
        }
    }

    /// The customer answered a question or took a grant back, or it lapsed. Repeatable.
    ///
    /// # Errors
    /// [`WrongState`] when it is over.
    pub fn consent(self, kind: GrantKind, answer: ConsentAnswer, now_ms: UnixMillis) -> Result<Self, WrongState> {
        if self.stage.ended().is_some() {
            return Err(self.refuse("consented to"));
        }
        let view_granted_at_ms = match (kind, answer) {
            (GrantKind::View, ConsentAnswer::Granted) => self.view_granted_at_ms.or(Some(now_ms)),
            (GrantKind::View, ConsentAnswer::Refused | ConsentAnswer::TakenBack | ConsentAnswer::Lapsed) => None,
            (GrantKind::Control | GrantKind::Device, _) => self.view_granted_at_ms,
        };
        Ok(Self { view_granted_at_ms, ..self }.seen(now_ms).connect(now_ms))
    }

    /// It is over; `at_ms` is cut to the time since the last thing that is known of it began.
    ///
    /// # Errors
    /// [`WrongState`] when it was over already: the first reason counts.
    pub fn end(self, reason: CloseReason, at_ms: UnixMillis) -> Result<Self, WrongState> {
        if self.stage.ended().is_some() {
            return Err(self.refuse("ended"));
        }
        let at_ms = at_ms.max(self.stage.connected_at_ms().unwrap_or(self.entered_at_ms));
        let stage = Stage::Ended(Ended {
            proved_at_ms: self.stage.proved_at_ms(),
            connected_at_ms: self.stage.connected_at_ms(),
            at_ms,
            reason,
        });
        Ok(Self { stage, ..self })
    }

    fn seen(self, now_ms: UnixMillis) -> Self {
        Self { last_seen_at_ms: self.last_seen_at_ms.max(now_ms), ..self }
    }

    /// Support begins when the secret is proved and the view is allowed.
    fn connect(self, now_ms: UnixMillis) -> Self {
        match (self.stage, self.view_granted_at_ms) {
            (Stage::Consenting { proved_at_ms }, Some(_)) => {
                Self { stage: Stage::Connected { proved_at_ms, connected_at_ms: now_ms }, ..self }
            }
            (stage, _) => Self { stage, ..self },
        }
    }

    const fn refuse(&self, verb: &'static str) -> WrongState {
        WrongState { state: self.stage.state(), verb }
    }
}

/// Whether a session is over when a relay reports that it ended there for this reason.
///
/// Otherwise a connection was lost, refused or sent away, and both tools may meet at another relay.
pub const fn ends_everywhere(reason: CloseReason) -> bool {
    match reason {
        CloseReason::OperatorEnded
        | CloseReason::CustomerEnded
        | CloseReason::ConsentRefused
        | CloseReason::ConsentTimeout
        | CloseReason::WrongSecret
        | CloseReason::ProveTimeout
        | CloseReason::SealBroken
        | CloseReason::Revoked
        | CloseReason::HardEnd
        | CloseReason::Cancelled => true,
        CloseReason::PeerTimeout
        | CloseReason::PeerLost
        | CloseReason::Malformed
        | CloseReason::HelloTimeout
        | CloseReason::WrongVersion
        | CloseReason::TicketUnknown
        | CloseReason::TicketExpired
        | CloseReason::TicketElsewhere
        | CloseReason::ProofWrong
        | CloseReason::Crowded
        | CloseReason::Displaced
        | CloseReason::Draining
        | CloseReason::Overloaded
        | CloseReason::WriteStalled
        | CloseReason::Silent
        | CloseReason::RelayStopped
        | CloseReason::TransportLost
        | CloseReason::Abnormal
        | CloseReason::Unknown => false,
    }
}

/// The name of a state in the database.
pub const fn name(state: SessionState) -> &'static str {
    match state {
        SessionState::Joining => "joining",
        SessionState::Proving => "proving",
        SessionState::Consenting => "consenting",
        SessionState::Connected => "connected",
        SessionState::Ended => "ended",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn joining() -> Session {
        Session {
            id: SessionId::from_bytes([1; 16]),
            reception_id: ReceptionId::from_bytes([2; 16]),
            company_id: CompanyId::from_bytes([3; 16]),
            operator_id: OperatorId::from_bytes([4; 16]),
            entered_at_ms: 1_000,
            hard_end_at_ms: 100_000,
            last_seen_at_ms: 1_000,
            view_granted_at_ms: None,
            stage: Stage::Joining,
        }
    }

    #[derive(Debug, Clone, Copy)]
    enum Verb {
        Pair,
        Prove,
        Consent(GrantKind, ConsentAnswer),
        End(CloseReason),
    }

    fn verbs() -> impl Strategy<Value = Vec<(Verb, i64)>> {
        let answer = prop::sample::select(vec![
            ConsentAnswer::Granted,
            ConsentAnswer::Refused,
            ConsentAnswer::TakenBack,
            ConsentAnswer::Lapsed,
        ]);
        let verb = prop_oneof![
            2 => Just(Verb::Pair),
            2 => Just(Verb::Prove),
            4 => (prop::sample::select(GrantKind::ALL), answer).prop_map(|(kind, answer)| Verb::Consent(kind, answer)),
            1 => prop::sample::select(CloseReason::ALL).prop_map(Verb::End),
        ];
        prop::collection::vec((verb, -50i64..5_000), 0..30)
    }

    fn apply(session: Session, verb: Verb, now_ms: i64) -> Result<Session, WrongState> {
        match verb {
            Verb::Pair => session.pair(now_ms, now_ms),
            Verb::Prove => session.prove(now_ms),
            Verb::Consent(kind, answer) => session.consent(kind, answer, now_ms),
            Verb::End(reason) => session.end(reason, now_ms),
        }
    }

    fn rank(stage: Stage) -> u8 {
        match stage.state() {
            SessionState::Joining => 0,
            SessionState::Proving => 1,
            SessionState::Consenting => 2,
            SessionState::Connected => 3,
            SessionState::Ended => 4,
        }
    }

    proptest! {
        #[test]
        fn no_order_of_verbs_reaches_an_illegal_state(verbs in verbs()) {
            let mut session = joining();
            let mut now_ms = session.entered_at_ms;
            let mut view = false;
            let mut proved = false;
            for (verb, pause_ms) in verbs {
                now_ms += pause_ms;
                let before = session.clone();
                let Ok(after) = apply(session.clone(), verb, now_ms) else { continue };
                match verb {
                    Verb::Prove => proved = true,
                    Verb::Consent(GrantKind::View, answer) => view |= answer == ConsentAnswer::Granted,
                    Verb::Consent(..) | Verb::Pair | Verb::End(_) => {}
                }
                prop_assert!(rank(before.stage) <= rank(after.stage), "{before:?} → {after:?}");
                if let Some(ended) = before.stage.ended() {
                    prop_assert_eq!(Some(ended), after.stage.ended(), "the first end counts");
                }
                if after.stage.connected_at_ms().is_some() {
                    prop_assert!(view && proved, "connected without view or proof");
                }
                prop_assert!(after.last_seen_at_ms >= before.last_seen_at_ms);
                if let Some(duration_ms) = after.stage.ended().and_then(Ended::duration_ms) {
                    prop_assert!(duration_ms >= 0);
                }
                session = after;
            }
        }
    }

    #[test]
    fn a_view_allowed_before_the_operators_word_connects_with_it() {
        let session =
            joining().pair(2_000, 2_000).unwrap().consent(GrantKind::View, ConsentAnswer::Granted, 3_000).unwrap();
        assert_eq!(session.stage.state(), SessionState::Proving);
        let session = session.prove(4_000).unwrap();
        assert_eq!(session.stage.connected_at_ms(), Some(4_000));
    }

    #[test]
    fn a_refused_view_does_not_connect_later() {
        let session = joining()
            .consent(GrantKind::View, ConsentAnswer::Granted, 2_000)
            .unwrap()
            .consent(GrantKind::View, ConsentAnswer::Refused, 2_500)
            .unwrap()
            .prove(3_000)
            .unwrap();
        assert_eq!(session.stage.state(), SessionState::Consenting);
    }

    #[test]
    fn the_duration_is_from_connected_to_ended() {
        let session = joining()
            .prove(2_000)
            .unwrap()
            .consent(GrantKind::View, ConsentAnswer::Granted, 3_000)
            .unwrap()
            .end(CloseReason::OperatorEnded, 10_000)
            .unwrap();
        assert_eq!(session.stage.ended().unwrap().duration_ms(), Some(7_000));
        assert!(session.end(CloseReason::CustomerEnded, 11_000).is_err());
    }

    #[test]
    fn a_session_that_never_connected_has_no_duration() {
        let session = joining().end(CloseReason::PeerTimeout, 9_000).unwrap();
        assert_eq!(session.stage.ended().unwrap().duration_ms(), None);
    }
}
