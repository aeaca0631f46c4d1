//! The flow of the window: what happened goes in, what to do comes out.

use std::time::Instant;

use client::{
    app::{App, Effect, Event, Page, Sharing, Shown, Trouble, grouped},
    consent::{Brake, Question},
    enter::EnterError,
    session::{Command, News},
    visit::Step,
};
use link::transport::Transport;
use proptest::prelude::*;
use proto::{close::CloseReason, grant::GrantKind, id::SessionId, introduction::Introduction, number::ReceptionNumber};

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn introduction() -> Introduction {
    Introduction {
        session_id: SessionId::from_bytes([1; 16]),
        company_name: "サンプル商事".to_owned(),
        operator_name: "山田".to_owned(),
        reason: String::new(),
        ceiling: GrantKind::ALL.to_vec(),
    }
}

fn asked(kind: GrantKind) -> Event {
    let question = Question { kind, reason: String::new(), deadline: now() };
    Event::Step(Step::Session(News::Asked(question, Vec::new())))
}

fn granted(kind: GrantKind) -> Event {
    Event::Step(Step::Session(News::Granted(kind)))
}

fn sharing() -> App {
    let mut app = App::new();
    app.on(Event::Typed("4129053381".to_owned()), now());
    app.on(Event::Connect, now());
    app.on(Event::Step(Step::Introduced(introduction())), now());
    let proved = Step::Proved {
        session_id: SessionId::from_bytes([1; 16]),
        safety_code: "123 456".to_owned(),
        transport: Transport::Quic,
    };
    app.on(Event::Step(proved), now());
    for kind in [GrantKind::View, GrantKind::Control] {
        app.on(asked(kind), now());
        app.on(Event::Answer(kind, true), now());
        app.on(granted(kind), now());
    }
    app
}

#[test]
fn digits_are_grouped_while_they_are_typed_or_pasted() {
    for (typed, shown) in [
        ("4129", "412-9"),
        ("412-905", "412-905"),
        ("４１２９０５３３８１", "412-905-3381"),
        (" 412 905 3381 99", "412-905-3381"),
        ("受付番号: 412‐905‐3381です", "412-905-3381"),
        ("abc", ""),
    ] {
        assert_eq!(grouped(typed), shown, "{typed}");
    }
}

#[test]
fn a_number_that_is_too_short_is_told_here_and_goes_nowhere() {
    let mut app = App::new();
    app.on(Event::Typed("412-905".to_owned()), now());
    assert_eq!(app.on(Event::Connect, now()), []);
    assert_eq!(app.page(), Page::Number(Some(Trouble::TooShort)));
}

#[test]
fn a_number_that_the_program_was_started_with_is_in_the_field_and_waits_for_the_customer() {
    let mut app = App::with_number("4129053381");
    assert_eq!((app.typed(), app.page()), ("412-905-3381", Page::Number(None)));
    let number = ReceptionNumber::parse("412-905-3381").unwrap();
    let visit = Effect::Visit(client::visit::Begin::Number(number));
    assert_eq!(app.on(Event::Connect, now()), [Effect::Brake(Brake::Off), visit]);
}

#[test]
fn a_number_that_cannot_be_used_stays_in_the_field() {
    let mut app = App::new();
    app.on(Event::Typed("4129053381".to_owned()), now());
    app.on(Event::Connect, now());
    app.on(Event::Step(Step::Failed(EnterError::NumberUnusable)), now());
    assert_eq!(app.page(), Page::Number(Some(Trouble::Failed("number_unusable"))));
    assert_eq!(app.typed(), "412-905-3381");
}

#[test]
fn a_number_that_is_entered_again_is_told_until_the_manager_answers_or_the_customer_cancels() {
    let mut app = App::new();
    app.on(Event::Typed("4129053381".to_owned()), now());
    app.on(Event::Connect, now());
    assert!(!app.is_entering_again());
    app.on(Event::Step(Step::EnteringAgain), now());
    assert!(app.page() == Page::Connecting && app.is_entering_again());

    let mut answered = app.clone();
    answered.on(Event::Step(Step::Introduced(introduction())), now());
    assert!(answered.page() == Page::Connecting && !answered.is_entering_again());
    let mut failed = app.clone();
    failed.on(Event::Step(Step::Failed(EnterError::ManagerUnreachable)), now());
    failed.on(Event::Connect, now());
    assert!(failed.page() == Page::Connecting && !failed.is_entering_again(), "the next press begins anew");
    app.on(Event::End, now());
    assert!(!app.is_entering_again(), "it is ending");
}

#[test]
fn pause_and_end_put_the_brake_on_before_anybody_is_told() {
    let mut app = sharing();
    assert_eq!(app.sharing(), Some(Sharing::Controlling));
    let effects = app.on(Event::Pause(true), now());
    assert_eq!(effects, [Effect::Brake(Brake::All), Effect::Command(Command::Pause(true))]);
    assert_eq!(app.sharing(), Some(Sharing::Paused));
    let effects = app.on(Event::End, now());
    assert_eq!(effects, [Effect::Brake(Brake::All), Effect::Command(Command::End)]);
    assert!(app.is_ending() && app.sharing().is_none());
}

#[test]
fn control_that_was_taken_back_leaves_the_view() {
    let mut app = sharing();
    let effects = app.on(Event::TakeBackControl, now());
    assert_eq!(effects[0], Effect::Brake(Brake::Act));
    assert_eq!(app.sharing(), Some(Sharing::Viewing));
}

#[test]
fn a_restart_of_the_operators_tool_brings_the_window_and_leaves_it_there() {
    let mut app = sharing();
    app.on(asked(GrantKind::Device), now());
    let say = |app: &mut App, news| app.on(Event::Step(Step::Session(news)), now());
    assert_eq!(say(&mut app, News::PeerRestarted), [Effect::Raise]);
    say(&mut app, News::TakenBack(GrantKind::Control));
    assert_eq!(say(&mut app, News::Withdrawn(GrantKind::Device)), [], "the customer is to read why");
    assert!(app.question().is_none() && app.peer_restarted());
    assert_eq!(app.sharing(), Some(Sharing::Viewing));
    say(&mut app, News::Granted(GrantKind::Control));
    assert!(!app.peer_restarted());
}

fn returning(shown: Shown) -> App {
    let mut app = App::found(SessionId::from_bytes([1; 16]), introduction(), shown);
    app.on(Event::Resume, now());
    app
}

fn rejoined() -> Event {
    Event::Step(Step::Rejoined {
        session_id: SessionId::from_bytes([1; 16]),
        safety_code: "123 456".to_owned(),
        transport: Transport::Quic,
    })
}

#[test]
fn who_returns_is_told_that_nobody_sees_anything_only_when_that_is_so() {
    for (shown, page) in
        [(Shown::Nothing, Page::Who), (Shown::Screen, Page::Connecting), (Shown::Paused, Page::Connecting)]
    {
        let mut app = returning(shown);
        assert_eq!((app.page(), app.returning()), (Page::Connecting, Some(shown)));
        app.on(rejoined(), now());
        assert_eq!((app.page(), app.returning()), (page, None), "{shown:?}");
        app.on(asked(GrantKind::Device), now());
        assert_eq!(app.page(), Page::Who, "a question is shown wherever it comes");
        app.on(granted(GrantKind::View), now());
        assert_eq!(app.page(), Page::Sharing);
    }
}

#[test]
fn who_cannot_return_gets_the_field_for_a_new_number() {
    let gone = Page::Number(Some(Trouble::Failed("no_bookmark")));
    for step in [Step::Ended(CloseReason::PeerLost), Step::Failed(EnterError::NoBookmark)] {
        let mut app = returning(Shown::Screen);
        assert_eq!(app.on(Event::Step(step), now()), [Effect::Raise]);
        assert_eq!(app.page(), gone);
    }
    let mut app = returning(Shown::Screen);
    app.on(Event::End, now());
    app.on(Event::Step(Step::Ended(CloseReason::CustomerEnded)), now());
    assert_eq!(app.page(), Page::Ended(CloseReason::CustomerEnded));
    let mut app = returning(Shown::Screen);
    app.on(rejoined(), now());
    app.on(Event::Step(Step::Ended(CloseReason::OperatorEnded)), now());
    assert_eq!(app.page(), Page::Ended(CloseReason::OperatorEnded), "it went on and then ended");
}

#[test]
fn an_answer_from_the_keyboard_that_comes_twice_counts_once() {
    let mut app = sharing();
    app.on(asked(GrantKind::Device), now());
    assert_eq!(app.on(Event::Answer(GrantKind::Device, true), now()).len(), 1);
    assert_eq!(app.on(Event::Answer(GrantKind::Device, true), now()), []);
}

fn event() -> impl Strategy<Value = Event> {
    let kind = || prop::sample::select(GrantKind::ALL);
    let session = |news: News| Event::Step(Step::Session(news));
    prop_oneof![
        "[0-9]{0,12}".prop_map(Event::Typed),
        Just(Event::Typed("4129053381".to_owned())),
        Just(Event::Connect),
        (kind(), any::<bool>()).prop_map(|(kind, allow)| Event::Answer(kind, allow)),
        any::<bool>().prop_map(Event::Pause),
        Just(Event::TakeBackControl),
        Just(Event::End),
        Just(Event::Again),
        Just(Event::Step(Step::EnteringAgain)),
        Just(Event::Step(Step::Introduced(introduction()))),
        Just(Event::Step(Step::Failed(EnterError::Busy))),
        Just(Event::Step(Step::Ended(CloseReason::OperatorEnded))),
        kind().prop_map(asked),
        kind().prop_map(granted),
        kind().prop_map(move |kind| session(News::TakenBack(kind))),
        kind().prop_map(move |kind| session(News::Refused { kind, timed_out: true })),
    ]
}

proptest! {
    #[test]
    fn a_yes_is_only_said_to_the_question_that_is_shown(events in prop::collection::vec(event(), 0..80)) {
        let mut app = App::new();
        for event in events {
            let shown = app.question().map(|asked| asked.question.kind);
            let effects = app.on(event.clone(), now());
            for effect in &effects {
                if let Effect::Command(Command::Answer(kind, _)) = effect {
                    prop_assert_eq!(Some(*kind), shown);
                    prop_assert!(matches!(event, Event::Answer(..)));
                }
                if let Effect::Command(Command::End | Command::Pause(true) | Command::TakeBack(_)) = effect {
                    prop_assert!(matches!(effects[0], Effect::Brake(Brake::Act | Brake::All)));
                }
                if matches!(effect, Effect::Visit(_)) {
                    prop_assert!(matches!(event, Event::Connect | Event::Resume));
                }
            }
            if matches!(app.page(), Page::Number(_) | Page::Ended(_)) {
                prop_assert!(app.question().is_none() && app.sharing().is_none());
            }
        }
    }
}
