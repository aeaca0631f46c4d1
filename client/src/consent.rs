//! The only place where a permission is given or taken back.
//!
//! Guarantees: nothing is granted without an answer to a question that was shown; silence until
//! [`limits::CONSENT_TIMEOUT`] is a no; the introduction's ceiling narrows and never widens; control acts only while the
//! screen is seen; pause and the end stop both at once. [`Permit`] is how every other part learns what is allowed: the
//! screen before each picture, the input before each act.
//! It does not know who draws the question.

use std::{sync::Arc, time::Instant};

use proto::{
    grant::{GrantKind, Grants},
    limits,
};
use tokio::sync::watch;

/// What the customer allows, and what is being asked.
#[derive(Debug)]
pub struct Consent {
    ceiling: Grants,
    live: Grants,
    paused: bool,
    over: bool,
    question: Option<Question>,
    waiting: Vec<Waiting>,
    permit: Permit,
}

/// The question the customer sees now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// What is asked for.
    pub kind: GrantKind,
    /// The operator's words; may be empty.
    pub reason: String,
    /// When silence becomes a no.
    pub deadline: Instant,
}

/// A question behind the one that is shown; its time starts when it is shown. At most one for each kind.
#[derive(Debug)]
struct Waiting {
    kind: GrantKind,
    reason: String,
}

/// What follows from a verb, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Show this question.
    Ask(Question),
    /// A grant is live.
    Granted(GrantKind),
    /// A question was answered with no.
    Refused {
        /// What was asked for.
        kind: GrantKind,
        /// By silence.
        timed_out: bool,
    },
    /// The customer took a live grant back.
    TakenBack(GrantKind),
    /// A live grant is over without the customer having done anything.
    Lapsed(GrantKind),
    /// Nobody asks for this any more.
    Withdrawn(GrantKind),
    /// Sharing stopped for a while, or goes on.
    Paused(bool),
}

/// What is allowed at this moment, readable and stoppable from every thread.
///
/// Two hands hold it: [`Consent`] sets what is granted; the window's [`Permit::brake`] stops at once, before the
/// session has even heard of the customer's click.
#[derive(Debug, Clone)]
pub struct Permit(Arc<watch::Sender<Allowed>>);

/// The value behind a permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Allowed {
    /// What may act now: live and not paused.
    active: Grants,
    brake: Brake,
}

/// What the customer's own hand holds back, whatever is granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Brake {
    /// Nothing.
    #[default]
    Off,
    /// No input.
    Act,
    /// No input and no picture.
    All,
}

impl Permit {
    /// A permit that allows nothing.
    pub fn none() -> Self {
        Self(Arc::new(watch::Sender::new(Allowed::default())))
    }

    /// Whether pictures may leave this machine now.
    pub fn may_see(&self) -> bool {
        self.0.borrow().see()
    }

    /// Whether input may act now.
    pub fn may_act(&self) -> bool {
        self.0.borrow().act()
    }

    /// Stops at once, or lets go again.
    pub fn brake(&self, brake: Brake) {
        self.0.send_modify(|allowed| allowed.brake = brake);
    }

    /// Waits until pictures may not leave any more. Cancel-safe.
    pub async fn unseen(&self) {
        // The sender lives in `self`, so the wait never fails.
        drop(self.0.subscribe().wait_for(|allowed| !allowed.see()).await);
    }

    /// Waits until input may not act any more. Cancel-safe.
    pub async fn idle(&self) {
        drop(self.0.subscribe().wait_for(|allowed| !allowed.act()).await);
    }

    fn set(&self, active: Grants) {
        self.0.send_if_modified(|allowed| std::mem::replace(&mut allowed.active, active) != active);
    }
}

impl Allowed {
    fn see(self) -> bool {
        self.active.has(GrantKind::View) && self.brake < Brake::All
    }

    fn act(self) -> bool {
        self.see() && self.active.has(GrantKind::Control) && self.brake == Brake::Off
    }
}

impl Consent {
    /// Nothing is granted; at most `ceiling` ever will be.
    pub const fn new(ceiling: Grants, permit: Permit) -> Self {
        Self { ceiling, live: Grants::NONE, paused: false, over: false, question: None, waiting: Vec::new(), permit }
    }

    /// As [`Self::new`], with the view that the customer allowed before this tool was started again. Only after their word
    /// that it shall go on: a tap on a page that says who will see what, or `view` in the list of the headless mode.
    pub fn going_on(ceiling: Grants, permit: Permit, paused: bool) -> Self {
        let live = Grants::NONE.with(GrantKind::View).within(ceiling);
        let consent = Self { live, paused, ..Self::new(ceiling, permit) };
        consent.settle();
        consent
    }

    /// What is granted now, paused or not.
    pub const fn live(&self) -> Grants {
        self.live
    }

    /// Whether sharing is paused.
    pub const fn paused(&self) -> bool {
        self.paused
    }

    /// The question that is shown.
    pub const fn question(&self) -> Option<&Question> {
        self.question.as_ref()
    }

    /// The operator asks for a grant.
    pub fn ask(&mut self, kind: GrantKind, reason: String, now: Instant) -> Vec<Outcome> {
        let known = self.question.as_ref().is_some_and(|question| question.kind == kind)
            || self.waiting.iter().any(|waiting| waiting.kind == kind);
        if self.live.has(kind) {
            vec![Outcome::Granted(kind)]
        } else if self.over || !self.ceiling.has(kind) {
            vec![Outcome::Refused { kind, timed_out: false }]
        } else if known {
            Vec::new()
        } else {
            self.waiting.push(Waiting { kind, reason });
            self.next(now)
        }
    }

    /// The customer answers the question for `kind`. An answer to a question that is not shown changes nothing, and an
    /// answer after the deadline is a no.
    pub fn answer(&mut self, kind: GrantKind, allow: bool, now: Instant) -> Vec<Outcome> {
        let Some(question) = self.question.take_if(|question| question.kind == kind) else {
            return Vec::new();
        };
        let in_time = now < question.deadline;
        let mut outcomes = if allow && in_time {
            self.live = self.live.with(kind).within(self.ceiling);
            vec![Outcome::Granted(kind)]
        } else {
            vec![Outcome::Refused { kind, timed_out: !in_time }]
        };
        outcomes.extend(self.next(now));
        outcomes
    }

    /// Time passes: a question whose time is over is answered with no.
    pub fn tick(&mut self, now: Instant) -> Vec<Outcome> {
        match &self.question {
            Some(question) if question.deadline <= now => self.answer(question.kind, false, now),
            Some(_) | None => Vec::new(),
        }
    }

    /// The customer takes a grant back; with the view goes the control.
    pub fn take_back(&mut self, kind: GrantKind) -> Vec<Outcome> {
        let gone = match kind {
            GrantKind::View => vec![GrantKind::Control, GrantKind::View],
            GrantKind::Control | GrantKind::Device => vec![kind],
        };
        self.lose(gone).into_iter().map(Outcome::TakenBack).collect()
    }

    /// These grants are over; which of them were live.
    fn lose(&mut self, gone: Vec<GrantKind>) -> Vec<GrantKind> {
        let gone: Vec<_> = gone.into_iter().filter(|kind| self.live.has(*kind)).collect();
        self.live = gone.iter().copied().fold(self.live, Grants::without);
        self.settle();
        gone
    }

    /// The operator's tool was started again: control lapses, and whatever it asked for it must ask again. What the
    /// customer shows to this operator stays shown, perhaps paused.
    pub fn peer_restarted(&mut self) -> Vec<Outcome> {
        let unanswered = self.question.take().map(|question| question.kind);
        let waiting = self.waiting.drain(..).map(|waiting| waiting.kind);
        let withdrawn = unanswered.into_iter().chain(waiting).map(Outcome::Withdrawn).collect::<Vec<_>>();
        self.lose(vec![GrantKind::Control]).into_iter().map(Outcome::Lapsed).chain(withdrawn).collect()
    }

    /// The customer pauses, or goes on.
    pub fn pause(&mut self, paused: bool) -> Vec<Outcome> {
        if self.paused == paused || self.over || !self.live.has(GrantKind::View) {
            return Vec::new();
        }
        self.paused = paused;
        self.settle();
        vec![Outcome::Paused(paused)]
    }

    /// The session is over: nothing is allowed any more, for ever.
    pub fn end(&mut self) {
        self.over = true;
        self.live = Grants::NONE;
        self.question = None;
        self.waiting.clear();
        self.settle();
    }

    /// Shows the next question that still makes sense, when none is shown.
    fn next(&mut self, now: Instant) -> Vec<Outcome> {
        self.settle();
        let mut outcomes = Vec::new();
        while self.question.is_none() && !self.waiting.is_empty() {
            let Waiting { kind, reason } = self.waiting.remove(0);
            if kind == GrantKind::Control && !self.live.has(GrantKind::View) {
                outcomes.push(Outcome::Refused { kind, timed_out: false });
                continue;
            }
            let question = Question { kind, reason, deadline: now + limits::CONSENT_TIMEOUT };
            self.question = Some(question.clone());
            outcomes.push(Outcome::Ask(question));
        }
        outcomes
    }

    fn settle(&self) {
        self.permit.set(if self.over || self.paused { Grants::NONE } else { self.live });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const ALL: [GrantKind; 3] = [GrantKind::View, GrantKind::Control, GrantKind::Device];

    fn start() -> (Consent, Permit, Instant) {
        let permit = Permit::none();
        (Consent::new(ALL.into_iter().collect(), permit.clone()), permit, tokio::time::Instant::now().into_std())
    }

    fn grant(consent: &mut Consent, kind: GrantKind, now: Instant) {
        consent.ask(kind, String::new(), now);
        assert_eq!(consent.answer(kind, true, now).first(), Some(&Outcome::Granted(kind)));
    }

    #[test]
    fn silence_until_the_deadline_is_a_no() {
        let (mut consent, permit, now) = start();
        consent.ask(GrantKind::View, String::new(), now);
        assert_eq!(consent.tick(now + limits::CONSENT_TIMEOUT.saturating_sub(Duration::from_millis(1))), []);
        let outcomes = consent.tick(now + limits::CONSENT_TIMEOUT);
        assert_eq!(outcomes, [Outcome::Refused { kind: GrantKind::View, timed_out: true }]);
        assert!(!permit.may_see());
    }

    #[test]
    fn a_yes_after_the_deadline_is_a_no() {
        let (mut consent, permit, now) = start();
        consent.ask(GrantKind::View, String::new(), now);
        let outcomes = consent.answer(GrantKind::View, true, now + limits::CONSENT_TIMEOUT);
        assert_eq!(outcomes, [Outcome::Refused { kind: GrantKind::View, timed_out: true }]);
        assert!(!permit.may_see());
    }

    #[test]
    fn a_yes_to_a_question_that_is_not_shown_grants_nothing() {
        let (mut consent, permit, now) = start();
        assert_eq!(consent.answer(GrantKind::Control, true, now), []);
        consent.ask(GrantKind::View, String::new(), now);
        assert_eq!(consent.answer(GrantKind::Control, true, now), []);
        assert!(!permit.may_act() && consent.live() == Grants::NONE);
    }

    #[test]
    fn what_is_above_the_ceiling_is_refused_without_a_question() {
        let permit = Permit::none();
        let mut consent = Consent::new(Grants::NONE.with(GrantKind::View), permit);
        let now = tokio::time::Instant::now().into_std();
        let outcomes = consent.ask(GrantKind::Control, String::new(), now);
        assert_eq!(outcomes, [Outcome::Refused { kind: GrantKind::Control, timed_out: false }]);
    }

    #[test]
    fn refusing_control_leaves_the_view_as_it_is() {
        let (mut consent, permit, now) = start();
        grant(&mut consent, GrantKind::View, now);
        consent.ask(GrantKind::Control, String::new(), now);
        consent.answer(GrantKind::Control, false, now);
        assert!(permit.may_see() && !permit.may_act());
    }

    #[test]
    fn questions_are_shown_one_after_the_other() {
        let (mut consent, _permit, now) = start();
        consent.ask(GrantKind::View, String::new(), now);
        assert_eq!(consent.ask(GrantKind::Control, String::new(), now), []);
        let outcomes = consent.answer(GrantKind::View, true, now);
        assert!(matches!(&outcomes[..], [Outcome::Granted(GrantKind::View), Outcome::Ask(question)]
            if question.kind == GrantKind::Control));
    }

    #[test]
    fn control_is_not_asked_when_the_view_was_refused() {
        let (mut consent, _permit, now) = start();
        consent.ask(GrantKind::View, String::new(), now);
        consent.ask(GrantKind::Control, String::new(), now);
        let outcomes = consent.answer(GrantKind::View, false, now);
        let refused = |kind| Outcome::Refused { kind, timed_out: false };
        assert_eq!(outcomes, [refused(GrantKind::View), refused(GrantKind::Control)]);
    }

    #[test]
    fn after_a_restart_of_this_tool_what_was_shown_is_shown_and_what_was_paused_is_paused() {
        let all = ALL.into_iter().collect();
        for paused in [false, true] {
            let permit = Permit::none();
            let mut consent = Consent::going_on(all, permit.clone(), paused);
            assert_eq!((permit.may_see(), permit.may_act()), (!paused, false));
            consent.pause(false);
            assert!(permit.may_see() && !permit.may_act(), "control must be asked for again");
        }
        let permit = Permit::none();
        Consent::going_on(Grants::NONE, permit.clone(), false);
        assert!(!permit.may_see(), "the ceiling narrows it, too");
    }

    #[test]
    fn a_restart_of_the_operators_tool_leaves_the_view_and_nothing_else() {
        let (mut consent, permit, now) = start();
        grant(&mut consent, GrantKind::View, now);
        grant(&mut consent, GrantKind::Control, now);
        consent.ask(GrantKind::Device, String::new(), now);

        let outcomes = consent.peer_restarted();

        assert_eq!(outcomes, [Outcome::Lapsed(GrantKind::Control), Outcome::Withdrawn(GrantKind::Device)]);
        assert!(permit.may_see() && !permit.may_act());
        assert_eq!(consent.answer(GrantKind::Device, true, now), [], "nobody asks any more");
    }

    #[test]
    fn a_pause_stops_pictures_and_input_and_gives_both_back() {
        let (mut consent, permit, now) = start();
        grant(&mut consent, GrantKind::View, now);
        grant(&mut consent, GrantKind::Control, now);
        consent.pause(true);
        assert!(!permit.may_see() && !permit.may_act());
        consent.pause(false);
        assert!(permit.may_see() && permit.may_act());
    }

    #[test]
    fn the_brake_stops_before_the_session_has_heard_of_it() {
        let (mut consent, permit, now) = start();
        grant(&mut consent, GrantKind::View, now);
        grant(&mut consent, GrantKind::Control, now);
        permit.brake(Brake::Act);
        assert!(permit.may_see() && !permit.may_act());
        permit.brake(Brake::All);
        assert!(!permit.may_see() && !permit.may_act());
    }

    #[tokio::test]
    async fn who_waits_for_the_end_of_the_view_is_woken_by_a_pause() {
        let (mut consent, permit, now) = start();
        grant(&mut consent, GrantKind::View, now);
        let waiter = tokio::spawn({
            let permit = permit.clone();
            async move { permit.unseen().await }
        });
        consent.pause(true);
        waiter.await.unwrap();
        permit.idle().await;
    }

    /// A verb of a random life.
    #[derive(Debug, Clone)]
    enum Verb {
        Ask(GrantKind),
        Answer(GrantKind, bool),
        TakeBack(GrantKind),
        Pause(bool),
        PeerRestarts,
        Wait(u64),
        End,
    }

    fn verb() -> impl Strategy<Value = Verb> {
        let kind = || prop::sample::select(&ALL[..]);
        prop_oneof![
            4 => kind().prop_map(Verb::Ask),
            6 => (kind(), any::<bool>()).prop_map(|(kind, allow)| Verb::Answer(kind, allow)),
            2 => kind().prop_map(Verb::TakeBack),
            2 => any::<bool>().prop_map(Verb::Pause),
            1 => Just(Verb::PeerRestarts),
            2 => (0u64..200).prop_map(Verb::Wait),
            1 => Just(Verb::End),
        ]
    }

    proptest! {
        #[test]
        fn nothing_is_allowed_that_was_not_granted_and_is_not_live(
            ceiling in prop::collection::vec(prop::sample::select(&ALL[..]), 0..4),
            verbs in prop::collection::vec(verb(), 1..60),
        ) {
            let ceiling: Grants = ceiling.into_iter().collect();
            let permit = Permit::none();
            let mut consent = Consent::new(ceiling, permit.clone());
            let mut now = tokio::time::Instant::now().into_std();
            // The model: what the outcomes told the operator.
            let (mut told, mut paused, mut over) = (Grants::NONE, false, false);
            for verb in verbs {
                let outcomes = match verb {
                    Verb::Ask(kind) => consent.ask(kind, String::new(), now),
                    Verb::Answer(kind, allow) => {
                        let shown = consent.question().is_some_and(|q| q.kind == kind && now < q.deadline);
                        let outcomes = consent.answer(kind, allow, now);
                        prop_assert!(!outcomes.contains(&Outcome::Granted(kind)) || (shown && allow));
                        outcomes
                    }
                    Verb::TakeBack(kind) => consent.take_back(kind),
                    Verb::Pause(paused) => consent.pause(paused),
                    Verb::PeerRestarts => {
                        let outcomes = consent.peer_restarted();
                        prop_assert!(consent.question().is_none() && !consent.live().has(GrantKind::Control));
                        outcomes
                    }
                    Verb::Wait(secs) => {
                        now += Duration::from_secs(secs);
                        let outcomes = consent.tick(now);
                        prop_assert!(!outcomes.iter().any(|o| matches!(o, Outcome::Granted(_))));
                        outcomes
                    }
                    Verb::End => {
                        consent.end();
                        (told, over) = (Grants::NONE, true);
                        Vec::new()
                    }
                };
                for outcome in outcomes {
                    match outcome {
                        Outcome::Granted(kind) => told = told.with(kind),
                        Outcome::TakenBack(kind) | Outcome::Lapsed(kind) => told = told.without(kind),
                        Outcome::Paused(now_paused) => paused = now_paused,
                        Outcome::Ask(question) => prop_assert!(ceiling.has(question.kind)),
                        Outcome::Refused { kind, .. } | Outcome::Withdrawn(kind) => prop_assert!(!told.has(kind)),
                    }
                }
                prop_assert_eq!(consent.live(), told, "the operator was told what is live");
                prop_assert_eq!(told.within(ceiling), told, "never above the ceiling");
                let see = !over && !paused && told.has(GrantKind::View);
                prop_assert_eq!(permit.may_see(), see);
                prop_assert_eq!(permit.may_act(), see && told.has(GrantKind::Control));
            }
        }
    }
}
