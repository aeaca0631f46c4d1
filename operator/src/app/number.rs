//! Own numbers: issued, extended, cancelled, and what the manager tells about them.

use proto::{
    api::{
        UnixMillis,
        reception::{Event as Reception, Pairing, ReceptionBody, ReceptionState},
    },
    id::{ReceptionId, SessionId},
    limits,
    number::{Locator, ReceptionNumber},
};

use super::{
    App, Notice, Page, Waiting,
    event::{Effect, NumberTold, Own, Told},
    refuse,
};

/// Numbers kept in memory, closed ones included.
const NUMBERS_MAX: usize = 32;

/// A number of this operator.
#[derive(Debug, Clone)]
pub struct Number {
    /// Its reception.
    pub reception_id: ReceptionId,
    /// The manager's six digits.
    pub locator: Locator,
    /// All ten digits and the key, when this tool issued it and it is not closed.
    pub own: Option<Own>,
    /// Where it stands.
    pub state: ReceptionState,
    /// Shown to the customer.
    pub reason: String,
    /// When it was issued or extended.
    pub since_ms: UnixMillis,
    /// When it stops being usable.
    pub expires_at_ms: UnixMillis,
    /// Entries that left before the secret was proved, as the manager counts them.
    pub unproved_count: u32,
    /// Customers met under this number, as this tool counts them: each may have guessed at the secret once, and a bad
    /// manager could send them without end.
    pub meetings: u32,
}

impl Number {
    /// Whether it can be entered, or is being entered.
    pub const fn is_open(&self) -> bool {
        is_open(self.state)
    }

    /// Seconds left.
    pub fn secs_left(&self, now_ms: UnixMillis) -> u64 {
        u64::try_from(self.expires_at_ms.saturating_sub(now_ms)).unwrap_or(0).div_ceil(1000)
    }

    /// The number as it is told to a program.
    pub fn told(&self) -> NumberTold {
        NumberTold {
            number: self.own.as_ref().map(|own| own.number.reveal()),
            reception_id: self.reception_id,
            state: self.state,
            reason: self.reason.clone(),
            expires_at_ms: self.expires_at_ms,
        }
    }

    fn of(body: ReceptionBody, own: Option<Own>) -> Self {
        Self {
            reception_id: body.reception_id,
            locator: body.locator,
            own,
            state: body.state,
            reason: body.reason,
            since_ms: body.issued_at_ms,
            expires_at_ms: body.expires_at_ms,
            unproved_count: body.unproved_count,
            meetings: 0,
        }
    }

    /// What is needed to meet one more customer. After [`limits::UNPROVED_MAX`] meetings that proved nothing the number
    /// is burned here, whatever the manager says, and its secret erased.
    fn next_meeting(&mut self) -> Option<Own> {
        if limits::UNPROVED_MAX <= self.meetings {
            self.go(ReceptionState::Burned);
            return None;
        }
        self.meetings = self.meetings.saturating_add(1);
        self.own.clone()
    }

    /// Goes to another state; says whether that was news. The secret of a closed number is erased.
    fn go(&mut self, state: ReceptionState) -> bool {
        let news = self.state != state;
        self.state = state;
        if !is_open(state) {
            self.own = None;
        }
        news
    }
}

const fn is_open(state: ReceptionState) -> bool {
    match state {
        ReceptionState::Issued | ReceptionState::Entered => true,
        ReceptionState::Proved | ReceptionState::Expired | ReceptionState::Cancelled | ReceptionState::Burned => false,
    }
}

impl App {
    pub(super) fn issue(
        &mut self,
        reason: String,
        life_secs: Option<u64>,
        given: Option<ReceptionNumber>,
    ) -> Vec<Effect> {
        if self.issuing {
            return refuse("wrong_state", "a number is being issued");
        }
        if limits::REASON_LEN_MAX < reason.len() {
            return refuse("bad_value", "reason is longer than 300 bytes");
        }
        let life = limits::RECEPTION_LIFE_MIN.as_secs()..=limits::RECEPTION_LIFE_MAX.as_secs();
        if life_secs.is_some_and(|secs| !life.contains(&secs)) {
            return refuse("bad_value", "life_secs is not between 60 and 3600");
        }
        self.issuing = true;
        self.notice = None;
        vec![Effect::Issue { reason, life_secs, given }]
    }

    pub(super) fn issued(&mut self, own: Own, body: ReceptionBody) -> Vec<Effect> {
        self.issuing = false;
        let told = Told::Number {
            number: own.number.reveal(),
            reception_id: body.reception_id,
            expires_at_ms: body.expires_at_ms,
        };
        let id = body.reception_id;
        self.numbers.retain(|number| number.reception_id != id);
        self.numbers.insert(0, Number::of(body, Some(own)));
        self.forget_old();
        if self.session.is_none() && self.account.is_some() {
            self.page = Page::Number(id);
        }
        vec![Effect::Tell(told)]
    }

    pub(super) fn cancel(&mut self, id: ReceptionId) -> Vec<Effect> {
        match self.number_mut(id) {
            Some(number) if number.is_open() => vec![Effect::Cancel(id)],
            Some(_) | None => refuse("not_found", "there is no such open number"),
        }
    }

    pub(super) fn extend(&mut self, id: ReceptionId) -> Vec<Effect> {
        match self.number_mut(id) {
            Some(number) if number.is_open() => vec![Effect::Extend(id)],
            Some(_) | None => refuse("not_found", "there is no such open number"),
        }
    }

    pub(super) fn changed(&mut self, body: &ReceptionBody) -> Vec<Effect> {
        let id = body.reception_id;
        let Some(number) = self.number_mut(id) else { return Vec::new() };
        let extended = number.expires_at_ms < body.expires_at_ms;
        if extended {
            number.since_ms = body.expires_at_ms.saturating_sub(number.expires_at_ms.saturating_sub(number.since_ms));
        }
        number.expires_at_ms = body.expires_at_ms;
        number.unproved_count = body.unproved_count;
        if body.state == ReceptionState::Cancelled {
            return self.closed(id, ReceptionState::Cancelled, Told::Cancelled { reception_id: id });
        }
        number.go(body.state);
        if extended {
            vec![Effect::Tell(Told::Extended { reception_id: id, expires_at_ms: body.expires_at_ms })]
        } else {
            Vec::new()
        }
    }

    /// Takes the manager's list: numbers of earlier runs appear without their secret, closed ones go.
    pub(super) fn receptions(&mut self, bodies: Vec<ReceptionBody>) -> Vec<Effect> {
        let shown = match self.page {
            Page::Number(id) => Some(id),
            Page::Login | Page::Home | Page::Meeting | Page::Asking | Page::Session | Page::Ended => None,
        };
        self.numbers.retain(|number| {
            Some(number.reception_id) == shown || bodies.iter().any(|body| body.reception_id == number.reception_id)
        });
        for body in bodies {
            if let Some(number) = self.number_mut(body.reception_id) {
                number.expires_at_ms = body.expires_at_ms;
                number.unproved_count = body.unproved_count;
                number.go(body.state);
            } else if is_open(body.state) {
                self.numbers.push(Number::of(body, None));
            }
        }
        self.numbers.sort_by_key(|number| std::cmp::Reverse(number.since_ms));
        self.forget_old();
        Vec::new()
    }

    /// Takes an event of the manager.
    pub(super) fn told(&mut self, event: Reception, now_ms: UnixMillis) -> Vec<Effect> {
        match event {
            Reception::Entered { reception_id, pairing } => self.entered(reception_id, pairing, now_ms),
            Reception::Proved { reception_id, .. } => {
                if let Some(number) = self.number_mut(reception_id) {
                    number.go(ReceptionState::Proved);
                }
                Vec::new()
            }
            Reception::Reopened { reception_id, session_id, unproved_count } => {
                let mut effects = self.left(session_id, now_ms);
                if let Some(number) = self.number_mut(reception_id) {
                    number.go(ReceptionState::Issued);
                    number.unproved_count = unproved_count;
                    effects.push(Effect::Tell(Told::Reopened { reception_id, unproved_count }));
                }
                effects
            }
            Reception::Burned { reception_id } => {
                let effects = self.closed(reception_id, ReceptionState::Burned, Told::Burned { reception_id });
                if !effects.is_empty() {
                    self.notice = Some(Notice::Burned);
                }
                effects
            }
            Reception::Expired { reception_id } => {
                let effects = self.closed(reception_id, ReceptionState::Expired, Told::Expired { reception_id });
                if !effects.is_empty() && self.session.is_none() {
                    self.notice = Some(Notice::Expired);
                }
                effects
            }
            Reception::Cancelled { reception_id } => {
                self.closed(reception_id, ReceptionState::Cancelled, Told::Cancelled { reception_id })
            }
            Reception::Ended { session_id, .. } => self.left(session_id, now_ms),
            Reception::Unknown => Vec::new(),
        }
    }

    fn entered(&mut self, reception_id: ReceptionId, pairing: Pairing, now_ms: UnixMillis) -> Vec<Effect> {
        let session_id = pairing.session_id;
        let known = self.done.contains(&session_id)
            || self.session.as_ref().is_some_and(|session| session.id == session_id)
            || self.waiting.iter().any(|waiting| waiting.pairing.session_id == session_id);
        let Some(number) = self.number_mut(reception_id).filter(|number| !known && number.is_open()) else {
            return Vec::new();
        };
        if number.own.is_none() {
            // Issued by another tool of the same operator, which alone has the secret.
            return Vec::new();
        }
        number.go(ReceptionState::Entered);
        let waiting = self.session.is_some();
        let mut effects = vec![Effect::Tell(Told::Customer { session_id, reception_id, waiting })];
        if waiting {
            self.waiting.retain(|waiting| waiting.reception_id != reception_id);
            self.waiting.push_back(Waiting { reception_id, pairing, since_ms: now_ms });
        } else {
            effects.extend(self.meet_under(reception_id, pairing, now_ms));
        }
        effects
    }

    /// Meets the customer who has waited longest.
    pub(super) fn meet_next(&mut self, now_ms: UnixMillis) -> Vec<Effect> {
        let mut effects = Vec::new();
        while let Some(Waiting { reception_id, pairing, .. }) = self.waiting.pop_front() {
            effects.extend(self.meet_under(reception_id, pairing, now_ms));
            if self.session.is_some() {
                break;
            }
        }
        effects
    }

    /// Meets a customer who entered this number, unless it was met too often already.
    fn meet_under(&mut self, reception_id: ReceptionId, pairing: Pairing, now_ms: UnixMillis) -> Vec<Effect> {
        let Some(number) = self.number_mut(reception_id).filter(|number| number.is_open()) else { return Vec::new() };
        let (own, reason) = (number.next_meeting(), number.reason.clone());
        let burned = !number.is_open();
        match own {
            Some(own) => self.meet(reception_id, own, reason, pairing, now_ms),
            None if burned => {
                self.notice = Some(Notice::Burned);
                vec![Effect::Cancel(reception_id), Effect::Tell(Told::Burned { reception_id })]
            }
            None => Vec::new(),
        }
    }

    /// The manager says that a session which may not have begun here is over.
    fn left(&mut self, session_id: SessionId, now_ms: UnixMillis) -> Vec<Effect> {
        self.waiting.retain(|waiting| waiting.pairing.session_id != session_id);
        self.customer_left(session_id, now_ms)
    }

    fn closed(&mut self, id: ReceptionId, state: ReceptionState, told: Told) -> Vec<Effect> {
        self.waiting.retain(|waiting| waiting.reception_id != id);
        let news = self.number_mut(id).is_some_and(|number| number.go(state));
        if !news {
            return Vec::new();
        }
        if state == ReceptionState::Cancelled && self.page == Page::Number(id) {
            self.page = Page::Home;
        }
        vec![Effect::Tell(told)]
    }

    fn forget_old(&mut self) {
        while NUMBERS_MAX < self.numbers.len() {
            let closed = self.numbers.iter().rposition(|number| !number.is_open());
            self.numbers.remove(closed.unwrap_or(self.numbers.len().saturating_sub(1)));
        }
    }
}
