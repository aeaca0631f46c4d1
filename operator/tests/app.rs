//! The flow of the tool, without network and display: ordinary sessions, and random events.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;

use operator::app::{
    App, Notice, Page, Phase, Session,
    event::{Effect, Event, FromSession, Left, Manager, Own, Told, Verb, Wish},
};
use operator::failure::Failure;
use proptest::prelude::*;
use proto::{
    api::{
        login::{LoginAnswer, LoginRequest},
        reception::{Event as Reception, Pairing, ReceptionBody, ReceptionState},
        session::{SessionBody, SessionState},
    },
    close::CloseReason,
    device::{DeviceFact, DeviceFactKind},
    grant::GrantKind,
    id::{CompanyId, OperatorId, ReceptionId, SessionId},
    input::Input,
    message::{Message, Monitor},
    number::ReceptionNumber,
    ticket::ProofKey,
};
use rand_core::OsRng;

const NOW: i64 = 1_700_000_000_000;

fn login() -> Event {
    Event::Manager(Manager::LoggedIn(LoginAnswer {
        token: "t".into(),
        expires_at_ms: NOW + 1,
        operator_id: OperatorId::from_bytes([1; 16]),
        operator_name: "山田".into(),
        company_id: CompanyId::from_bytes([2; 16]),
        company_name: "例示".into(),
        notices: Vec::new(),
    }))
}

const fn reception(index: u8) -> ReceptionId {
    ReceptionId::from_bytes([index; 16])
}

const fn session(index: u8) -> SessionId {
    SessionId::from_bytes([index; 16])
}

fn body(index: u8) -> ReceptionBody {
    ReceptionBody {
        reception_id: reception(index),
        locator: "412905".parse().unwrap(),
        state: ReceptionState::Issued,
        reason: "印刷".into(),
        issued_at_ms: NOW,
        expires_at_ms: NOW + 600_000,
        unproved_count: 0,
    }
}

fn issued(index: u8) -> Event {
    let number = ReceptionNumber::parse("412-905-3381").unwrap();
    let own = Own { number, proof_key: Arc::new(ProofKey::random(&mut OsRng)) };
    Event::Manager(Manager::Issued(own, body(index)))
}

fn entered(number: u8, id: u8) -> Event {
    let pairing =
        Pairing { session_id: session(id), introduction: String::new(), ticket: String::new(), relays: Vec::new() };
    told(Reception::Entered { reception_id: reception(number), pairing })
}

const fn told(event: Reception) -> Event {
    Event::Manager(Manager::Told(event))
}

fn met(id: u8) -> Event {
    Event::Session(session(id), FromSession::Met { safety_code: "123 456".into() })
}

fn granted(id: u8, kind: GrantKind) -> Event {
    Event::Session(session(id), FromSession::Granted(kind))
}

fn monitors(id: u8) -> Event {
    let monitor = Monitor { id: 3, x: 0, y: 0, width: 640, height: 480, name: "A".into(), primary: true };
    Event::Session(session(id), FromSession::Monitors(vec![monitor], 3))
}

fn history(id: u8, device: Vec<DeviceFact>) -> Event {
    Event::Manager(Manager::History(vec![SessionBody {
        session_id: session(id),
        state: SessionState::Connected,
        operator_name: "山田".into(),
        reason: String::new(),
        entered_at_ms: NOW,
        connected_at_ms: Some(NOW),
        ended_at_ms: None,
        duration_ms: None,
        end_reason: None,
        device,
    }]))
}

fn gone(id: u8, reason: CloseReason) -> Event {
    Event::Session(session(id), FromSession::Gone(reason))
}

fn play(app: &mut App, events: impl IntoIterator<Item = Event>) -> Vec<Effect> {
    events.into_iter().flat_map(|event| app.on(event, NOW)).collect()
}

fn tells(effects: &[Effect]) -> Vec<&Told> {
    effects.iter().filter_map(|effect| if let Effect::Tell(told) = effect { Some(told) } else { None }).collect()
}

fn error_code(effects: &[Effect]) -> Option<&str> {
    tells(effects)
        .into_iter()
        .find_map(|told| if let Told::Error { code, .. } = told { Some(code.as_str()) } else { None })
}

fn connected() -> App {
    let mut app = App::default();
    play(&mut app, [login(), issued(1), entered(1, 9), met(9), granted(9, GrantKind::View), monitors(9)]);
    app
}

#[test]
fn after_a_restart_of_the_customers_tool_the_view_is_asked_for_and_control_is_not_there() {
    let mut app = connected();
    play(&mut app, [granted(9, GrantKind::Control)]);
    assert!(app.session.as_ref().unwrap().has_control());

    let effects = play(&mut app, [Event::Session(session(9), FromSession::PeerRestarted)]);

    assert!(matches!(effects.first(), Some(Effect::DropInput)), "{effects:?}");
    let asks = |effect: &Effect| matches!(effect, Effect::Say(Message::Ask { kind: GrantKind::View, .. }));
    assert!(effects.iter().any(asks), "{effects:?}");
    let [Told::PeerRestarted {}, Told::Asked { kind: GrantKind::View }] = tells(&effects)[..] else {
        panic!("{effects:?}")
    };
    play(&mut app, [granted(9, GrantKind::View)]);
    let there = app.session.as_ref().unwrap();
    assert_eq!((there.phase, there.has_control(), there.peer_restarted), (Phase::Running, false, true));
    play(&mut app, [granted(9, GrantKind::Control)]);
    let there = app.session.as_ref().unwrap();
    assert!(there.has_control() && !there.peer_restarted);
}

fn left() -> Event {
    Event::Left(Left {
        session_id: session(9),
        reception_id: reception(1),
        company_name: "例示".into(),
        operator_name: "山田".into(),
        reason: "印刷".into(),
        viewed_at_ms: Some(NOW - 60_000),
        until_ms: NOW + 100_000,
    })
}

#[test]
fn a_session_whose_tool_died_goes_on_without_a_login_when_the_person_says_so() {
    let mut app = App::default();
    assert!(play(&mut app, [left()]).is_empty() && app.page == Page::Login, "nothing without a word");

    let effects = play(&mut app, [Event::Wish(Wish::Rejoin(session(9)))]);
    assert!(matches!(effects.as_slice(), [Effect::Rejoin(_)]), "{effects:?}");
    assert!(app.page == Page::Meeting && app.account.is_none(), "nobody was found yet");
    let effects = play(&mut app, [met(9)]);
    assert!(matches!(tells(&effects)[..], [Told::Rejoined { .. }, Told::Asked { kind: GrantKind::View }]));
    // The manager may not have heard of the proof before the death.
    assert!(matches!(effects[..3], [Effect::LogInAgain, Effect::Listen, Effect::Proved(_)]), "{effects:?}");
    assert!(app.account.is_some());
    play(&mut app, [granted(9, GrantKind::View), monitors(9)]);
    assert_eq!(app.session.as_ref().unwrap().connected_at_ms, Some(NOW - 60_000));
    assert_eq!(error_code(&play(&mut app, [Event::Wish(Wish::Rejoin(session(9)))])), Some("wrong_state"));
    let effects = play(&mut app, [gone(9, CloseReason::OperatorEnded)]);
    assert!(matches!(effects.first(), Some(Effect::ReportEnd(..))));
    assert_eq!(error_code(&play(&mut app, [Event::Wish(Wish::Rejoin(session(9)))])), Some("not_found"));
}

#[test]
fn who_finds_nobody_after_a_restart_is_told_to_issue_a_new_number_and_is_not_logged_in() {
    for mut app in [App::default(), with_login()] {
        let was_logged_in = app.account.is_some();
        play(&mut app, [left(), Event::Wish(Wish::Rejoin(session(9)))]);
        let effects = play(&mut app, [gone(9, CloseReason::CustomerEnded)]);
        assert!(matches!(effects.first(), Some(Effect::ReportEnd(..))));
        assert_eq!(error_code(&effects), Some("not_met"));
        assert_eq!(app.notice, Some(Notice::NotRejoined(CloseReason::CustomerEnded)));
        assert_eq!(app.account.is_some(), was_logged_in);
        assert_eq!(app.page, if was_logged_in { Page::Home } else { Page::Login });
    }
}

#[test]
fn a_session_that_another_process_goes_on_with_is_left_alone() {
    let mut app = with_login();
    play(&mut app, [left(), Event::Wish(Wish::Rejoin(session(9)))]);
    let effects = play(&mut app, [Event::Session(session(9), FromSession::NoBookmark)]);
    assert!(matches!(effects.as_slice(), [Effect::Tell(_)]), "the manager must not hear of an end: {effects:?}");
    assert_eq!(error_code(&effects), Some("no_bookmark"));
    assert_eq!((app.notice.clone(), app.page), (Some(Notice::NoBookmark), Page::Home));
    assert!(app.session.is_none());
    assert!(play(&mut app, [Event::Session(session(9), FromSession::NoBookmark)]).is_empty());
}

#[test]
fn closing_the_tool_ends_the_session_also_when_nobody_is_logged_in() {
    let mut app = App::default();
    play(&mut app, [left(), Event::Wish(Wish::Rejoin(session(9)))]);
    let effects = play(&mut app, [Event::Wish(Wish::Logout)]);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::StopMeeting(_))), "{effects:?}");
    assert!(app.session.is_none());
    assert_eq!(error_code(&play(&mut app, [Event::Wish(Wish::Logout)])), Some("not_logged_in"));
}

fn with_login() -> App {
    let mut app = App::default();
    play(&mut app, [login()]);
    app
}

#[test]
fn a_session_whose_tool_died_is_ended_when_the_person_says_so() {
    let mut app = App::default();
    let effects = play(&mut app, [left(), Event::Wish(Wish::EndLeft(session(9)))]);
    assert!(matches!(effects.as_slice(), [Effect::EndLeft(_)]));
    assert!(app.left.is_empty() && app.session.is_none());
}

#[test]
fn a_customer_who_enters_the_number_is_met_asked_and_shown() {
    let mut app = App::default();
    play(&mut app, [login(), issued(1)]);
    assert_eq!(app.page, Page::Number(reception(1)));
    let effects = play(&mut app, [entered(1, 9)]);
    assert_eq!(app.page, Page::Meeting);
    assert!(matches!(effects.as_slice(), [Effect::Tell(Told::Customer { .. }), Effect::Meet { .. }]), "{effects:?}");
    let effects = play(&mut app, [met(9)]);
    assert_eq!(app.page, Page::Asking);
    assert!(matches!(effects.first(), Some(Effect::Proved(_))));
    let asked = Message::Ask { kind: GrantKind::View, reason: "印刷".into() };
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Say(message) if *message == asked)), "{effects:?}");
    let effects = play(&mut app, [granted(9, GrantKind::View), monitors(9)]);
    assert_eq!(app.page, Page::Session);
    assert!(matches!(tells(&effects).as_slice(), [Told::Granted { .. }, Told::Connected { .. }]), "{effects:?}");
}

#[test]
fn the_secret_of_a_proved_number_is_forgotten() {
    let app = connected();
    assert!(app.numbers.iter().all(|number| number.own.is_none()));
}

#[test]
fn connected_is_told_once_even_when_the_picture_comes_before_the_monitors() {
    let mut app = App::default();
    let picture = Event::Session(session(9), FromSession::FirstPicture { width: 4, height: 4 });
    let effects =
        play(&mut app, [login(), issued(1), entered(1, 9), met(9), granted(9, GrantKind::View), picture, monitors(9)]);
    let count = tells(&effects).iter().filter(|told| matches!(told, Told::Connected { .. })).count();
    assert_eq!(count, 1);
}

#[test]
fn input_without_control_is_refused_and_sends_nothing() {
    let mut app = connected();
    let wish = || Event::Wish(Wish::Input(vec![Input::ReleaseAll]));
    let effects = app.on(wish(), NOW);
    assert_eq!(error_code(&effects), Some("wrong_state"));
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Input(_))));
    app.on(granted(9, GrantKind::Control), NOW);
    assert!(matches!(app.on(wish(), NOW).as_slice(), [Effect::Input(_)]));
}

#[test]
fn control_that_is_taken_back_or_paused_drops_what_waits() {
    let mut app = connected();
    app.on(granted(9, GrantKind::Control), NOW);
    let paused = app.on(Event::Session(session(9), FromSession::Paused(true)), NOW);
    assert!(matches!(paused.first(), Some(Effect::DropInput)));
    app.on(Event::Session(session(9), FromSession::Paused(false)), NOW);
    let taken = app.on(Event::Session(session(9), FromSession::TakenBack(GrantKind::Control)), NOW);
    assert!(matches!(taken.first(), Some(Effect::DropInput)));
    assert_eq!(error_code(&app.on(Event::Wish(Wish::Input(Vec::new())), NOW)), Some("wrong_state"));
}

#[test]
fn a_question_is_asked_once_until_it_is_answered() {
    let mut app = connected();
    let ask = || Event::Wish(Wish::Ask { kind: GrantKind::Control, reason: String::new() });
    assert!(error_code(&app.on(ask(), NOW)).is_none());
    assert_eq!(error_code(&app.on(ask(), NOW)), Some("wrong_state"));
    app.on(Event::Session(session(9), FromSession::Refused { kind: GrantKind::Control, timed_out: true }), NOW);
    assert!(error_code(&app.on(ask(), NOW)).is_none());
}

#[test]
fn facts_of_the_device_are_looked_for_until_they_are_there_and_not_for_ever() {
    let mut app = connected();
    let looks = |app: &mut App, at_ms| {
        app.on(Event::Tick, at_ms).into_iter().filter(|effect| matches!(effect, Effect::FetchHistory)).count()
    };
    assert_eq!(looks(&mut app, NOW), 0, "nothing was granted");
    app.on(granted(9, GrantKind::Device), NOW);

    assert_eq!(looks(&mut app, NOW), 1);
    assert_eq!(looks(&mut app, NOW + 500), 0, "not twice within a second");
    let fact = DeviceFact { kind: DeviceFactKind::OsName, value: "Debian".into() };
    let mut told = app.clone();
    play(&mut told, [history(9, vec![fact.clone()])]);
    assert_eq!(told.device(), [fact]);
    assert_eq!(looks(&mut told, NOW + 1_000), 0);
    let more: usize = (1..60).map(|secs| looks(&mut app, NOW + secs * 1_000)).sum();
    assert_eq!(more, 9, "a customer's tool that never sends them is not waited for without end");
}

#[test]
fn a_wrong_secret_is_told_and_the_number_is_shown_again() {
    let mut app = App::default();
    play(&mut app, [login(), issued(1), entered(1, 9)]);
    let effects = play(&mut app, [gone(9, CloseReason::WrongSecret)]);
    assert_eq!(error_code(&effects), Some("wrong_secret"));
    assert!(matches!(effects.first(), Some(Effect::ReportEnd(_, CloseReason::WrongSecret))));
    assert_eq!((app.page, &app.notice), (Page::Number(reception(1)), &Some(Notice::WrongSecret)));
    let reopened = told(Reception::Reopened { reception_id: reception(1), session_id: session(9), unproved_count: 1 });
    let effects = play(&mut app, [reopened]);
    assert!(matches!(tells(&effects).as_slice(), [Told::Reopened { unproved_count: 1, .. }]));
    assert!(app.numbers[0].own.is_some(), "the same number may be entered again");
}

#[test]
fn a_manager_that_sends_a_fourth_customer_finds_the_secret_erased() {
    let mut app = App::default();
    play(&mut app, [login(), issued(1)]);
    for id in 1..=3 {
        play(&mut app, [entered(1, id), gone(id, CloseReason::WrongSecret)]);
    }

    let effects = play(&mut app, [entered(1, 4)]);

    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Meet { .. })), "{effects:?}");
    assert!(tells(&effects).iter().any(|told| matches!(told, Told::Burned { .. })));
    assert!(app.numbers[0].own.is_none());
}

#[test]
fn a_burned_number_is_told_once_and_its_secret_forgotten() {
    let mut app = App::default();
    play(&mut app, [login(), issued(1), entered(1, 9)]);
    let burned = || told(Reception::Burned { reception_id: reception(1) });
    let effects = play(&mut app, [burned(), gone(9, CloseReason::WrongSecret), burned()]);
    let count = tells(&effects).iter().filter(|told| matches!(told, Told::Burned { .. })).count();
    assert_eq!(count, 1);
    assert_eq!(app.notice, Some(Notice::Burned), "the more important news stays");
    assert!(app.numbers[0].own.is_none());
}

#[test]
fn a_second_customer_waits_and_is_met_when_the_first_session_ends() {
    let mut app = connected();
    let effects = play(&mut app, [issued(2), entered(2, 10)]);
    assert!(tells(&effects).iter().any(|told| matches!(told, Told::Customer { waiting: true, .. })));
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Meet { .. })));
    assert_eq!(app.page, Page::Session);
    let effects = play(&mut app, [gone(9, CloseReason::CustomerEnded)]);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Meet { .. })));
    assert_eq!(app.session.as_ref().map(|session| (session.id, session.phase)), Some((session(10), Phase::Meeting)));
}

#[test]
fn a_repeated_event_starts_no_second_session() {
    let mut app = connected();
    play(&mut app, [gone(9, CloseReason::CustomerEnded)]);
    assert!(play(&mut app, [entered(1, 9)]).is_empty());
    assert!(app.session.is_none());
}

#[test]
fn a_number_of_another_tool_is_listed_but_not_met() {
    let mut app = App::default();
    play(&mut app, [login(), Event::Manager(Manager::Receptions(vec![body(5)]))]);
    assert!(app.numbers[0].told().number.is_none());
    assert!(play(&mut app, [entered(5, 9)]).is_empty());
    assert!(matches!(app.on(Event::Wish(Wish::Cancel(reception(5))), NOW).as_slice(), [Effect::Cancel(_)]));
}

#[test]
fn a_lost_login_leaves_the_running_session_alone() {
    let mut app = connected();
    play(&mut app, [Event::Manager(Manager::Failed(Verb::Listen, Failure::new("not_logged_in", "")))]);
    assert_eq!(app.page, Page::Session);
    play(&mut app, [gone(9, CloseReason::OperatorEnded), Event::Wish(Wish::ShowHome)]);
    assert_eq!(app.page, Page::Login);
}

#[test]
fn a_stopped_service_leads_to_the_login_which_says_so() {
    let mut app = App::default();
    play(&mut app, [login()]);
    let told = Event::Manager(Manager::Failed(Verb::Listen, Failure::new("service_halted", "")));
    assert_eq!(error_code(&play(&mut app, [told])), Some("service_halted"));
    assert_eq!(app.page, Page::Login);
    assert!(matches!(&app.notice, Some(Notice::Failed(failure)) if failure.code == "service_halted"));
}

#[test]
fn logging_out_ends_the_session_and_cancels_own_numbers_before_the_token_goes() {
    let mut app = connected();
    play(&mut app, [issued(2)]);
    let effects = play(&mut app, [Event::Wish(Wish::Logout)]);
    let place = |wanted: fn(&Effect) -> bool| effects.iter().position(wanted).unwrap();
    let end = place(|effect| matches!(effect, Effect::EndLink(_)));
    let cancel = place(|effect| matches!(effect, Effect::Cancel(_)));
    let out = place(|effect| matches!(effect, Effect::Logout));
    assert!(end < out && cancel < out, "{effects:?}");
}

#[test]
fn bad_values_change_nothing() {
    let mut app = App::default();
    play(&mut app, [login()]);
    for (wish, code) in [
        (Wish::Issue { reason: "あ".repeat(200), life_secs: None, given: None }, "bad_value"),
        (Wish::Issue { reason: String::new(), life_secs: Some(5), given: None }, "bad_value"),
        (Wish::Cancel(reception(7)), "not_found"),
        (Wish::End, "wrong_state"),
        (Wish::ChooseMonitor(1), "wrong_state"),
        (Wish::Ask { kind: GrantKind::View, reason: String::new() }, "wrong_state"),
    ] {
        let before = format!("{app:?}");
        assert_eq!(error_code(&app.on(Event::Wish(wish), NOW)), Some(code));
        assert_eq!(format!("{app:?}"), before);
    }
}

fn any_event() -> impl Strategy<Value = (u8, u8, u8)> {
    (0..34u8, 1..4u8, 9..13u8)
}

fn event((which, number, id): (u8, u8, u8)) -> Event {
    let kind = GrantKind::ALL[usize::from(id) % 3];
    match which {
        0 => login(),
        1..=3 => issued(number),
        4..=7 => entered(number, id),
        8..=10 => met(id),
        11..=13 => granted(id, GrantKind::View),
        14..=15 => granted(id, kind),
        16 => monitors(id),
        17 => gone(id, CloseReason::CustomerEnded),
        18 => gone(id, CloseReason::WrongSecret),
        19 => Event::Session(session(id), FromSession::Refused { kind, timed_out: false }),
        20 => Event::Session(session(id), FromSession::TakenBack(kind)),
        21 => Event::Session(session(id), FromSession::Paused(number == 1)),
        22 => told(Reception::Burned { reception_id: reception(number) }),
        23 => told(Reception::Expired { reception_id: reception(number) }),
        24 => told(Reception::Cancelled { reception_id: reception(number) }),
        25 => told(Reception::Reopened { reception_id: reception(number), session_id: session(id), unproved_count: 1 }),
        26 => told(Reception::Ended { session_id: session(id), reason: CloseReason::Abnormal }),
        27 => Event::Wish(Wish::End),
        28 => Event::Wish(Wish::Ask { kind, reason: String::new() }),
        29 => Event::Wish(Wish::Input(vec![Input::ReleaseAll])),
        30 => Event::Wish(Wish::ShowHome),
        31 => Event::Wish(Wish::ShowNumber(reception(number))),
        32 => Event::Manager(Manager::Receptions(vec![body(number)])),
        _ => Event::Wish(Wish::Login(LoginRequest {
            company: String::new(),
            user: String::new(),
            password: String::new(),
            code: None,
        })),
    }
}

proptest! {
    #[test]
    fn whatever_happens_page_and_session_agree_and_nothing_is_sent_without_a_grant(
        steps in proptest::collection::vec(any_event(), 0..120),
    ) {
        let mut app = App::default();
        let mut meetings = std::collections::BTreeSet::new();
        for step in steps {
            let had_control = app.session.as_ref().is_some_and(Session::has_control);
            let had_session = app.session.as_ref().map(|session| session.id);
            for effect in app.on(event(step), NOW) {
                if let Effect::Input(_) = effect {
                    prop_assert!(had_control);
                } else if let Effect::Meet { pairing, .. } = effect {
                    prop_assert!(meetings.insert(pairing.session_id), "met twice");
                } else if let Effect::Say(_) = effect {
                    prop_assert!(app.session.is_some() || had_session.is_some());
                }
            }
            let page = app.session.as_ref().map(|session| session.phase.page());
            match page {
                Some(page) => prop_assert_eq!(app.page, page),
                None => prop_assert!(!matches!(app.page, Page::Meeting | Page::Asking | Page::Session)),
            }
            if let Some(session) = &app.session {
                prop_assert_eq!(session.phase == Phase::Running, session.connected_at_ms.is_some());
                prop_assert!(session.phase != Phase::Meeting || session.safety_code.is_empty());
            } else {
                prop_assert!(app.waiting.is_empty(), "nobody waits while nothing runs");
            }
            prop_assert!(app.numbers.iter().all(|number| number.is_open() || number.own.is_none()));
            prop_assert!(app.waiting.len() <= 3);
        }
    }
}
