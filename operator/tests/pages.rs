//! The pages, driven as a person would, without a display.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;

use desk::{lang::Lang, look};
use egui_kittest::{Harness, kittest::Queryable as _};
use operator::{
    app::{
        App,
        event::{Event, FromSession, Left, Manager, Own, Verb, Wish},
    },
    failure::Failure,
    input::capture::Capture,
    login::Remembered,
    session::{self, Handle},
    text,
    ui::{Pages, View},
};
use proto::{
    api::{
        login::{LoginAnswer, NoticeBody},
        reception::{Event as Reception, Pairing, ReceptionBody, ReceptionState},
    },
    close::CloseReason,
    grant::GrantKind,
    id::{CompanyId, OperatorId, ReceptionId, SessionId},
    message::Monitor,
    number::ReceptionNumber,
    ticket::ProofKey,
};
use rand_core::OsRng;

const NOW: i64 = 1_700_000_000_000;

struct Desk {
    pages: Pages,
    app: App,
    session: Option<Handle>,
    wishes: Vec<Wish>,
}

fn desk(lang: Lang, app: App) -> Harness<'static, Desk> {
    let remembered = Remembered { company: "demo".into(), user: "yamada".into() };
    let pages = Pages::new(text::catalogue(lang).unwrap(), Capture::default(), remembered, jiff::tz::TimeZone::UTC);
    let mut dressed = false;
    Harness::builder().with_size([1280.0, 800.0]).with_max_steps(8).allow_missing_glyphs().build_ui_state(
        move |ui, desk: &mut Desk| {
            if !dressed {
                look::apply(ui.ctx());
                dressed = true;
            }
            let view = View { app: Arc::new(desk.app.clone()), session: desk.session.clone() };
            desk.wishes.extend(desk.pages.show(ui, &view, NOW));
        },
        Desk { pages, app, session: None, wishes: Vec::new() },
    )
}

fn play(app: &mut App, events: impl IntoIterator<Item = Event>) {
    for event in events {
        app.on(event, NOW);
    }
}

fn logged_in() -> App {
    let mut app = App::default();
    let answer = LoginAnswer {
        token: "t".into(),
        expires_at_ms: NOW,
        operator_id: OperatorId::from_bytes([1; 16]),
        operator_name: "山田".into(),
        company_id: CompanyId::from_bytes([2; 16]),
        company_name: "例示商事".into(),
        notices: Vec::new(),
    };
    play(&mut app, [Event::Manager(Manager::LoggedIn(answer))]);
    app
}

#[test]
fn a_notice_stands_above_the_page_until_it_is_over() {
    let mut app = logged_in();
    let notice = |title: &str, ends_at_ms| NoticeBody {
        notice_id: "00".into(),
        title: title.into(),
        important: true,
        ends_at_ms,
    };
    app.notices = vec![notice("Relays stop at 01:00", NOW + 60_000), notice("Stale words", NOW)];
    let mut harness = desk(Lang::En, app);
    harness.run_ok();
    harness.get_by_label_contains("Relays stop at 01:00");
    assert!(harness.query_by_label_contains("Stale words").is_none());
}

fn with_number() -> App {
    let mut app = logged_in();
    play(&mut app, [issued()]);
    app
}

fn issued() -> Event {
    let own = Own {
        number: ReceptionNumber::parse("412-905-3381").unwrap(),
        proof_key: Arc::new(ProofKey::random(&mut OsRng)),
    };
    let body = ReceptionBody {
        reception_id: ReceptionId::from_bytes([3; 16]),
        locator: "412905".parse().unwrap(),
        state: ReceptionState::Issued,
        reason: "印刷".into(),
        issued_at_ms: NOW,
        expires_at_ms: NOW + 545_000,
        unproved_count: 0,
    };
    Event::Manager(Manager::Issued(own, body))
}

fn asking() -> App {
    let mut app = with_number();
    let session_id = SessionId::from_bytes([9; 16]);
    let pairing = Pairing { session_id, introduction: String::new(), ticket: String::new(), relays: Vec::new() };
    let entered = Reception::Entered { reception_id: ReceptionId::from_bytes([3; 16]), pairing };
    play(
        &mut app,
        [
            Event::Manager(Manager::Told(entered)),
            Event::Session(session_id, FromSession::Met { safety_code: "123 456".into() }),
        ],
    );
    app
}

fn left(session_id: SessionId) -> Left {
    Left {
        session_id,
        reception_id: ReceptionId::from_bytes([3; 16]),
        company_name: "Sample Trading".into(),
        operator_name: "Hanako Yamada".into(),
        reason: "Printer".into(),
        viewed_at_ms: Some(NOW),
        until_ms: NOW + 1,
    }
}

#[test]
fn a_session_whose_tool_died_is_offered_before_and_after_the_login() {
    let id = SessionId::from_bytes([9; 16]);
    for mut app in [App::default(), logged_in()] {
        let left = left(id);
        let late = Left { session_id: SessionId::from_bytes([8; 16]), until_ms: NOW, ..left.clone() };
        play(&mut app, [Event::Left(late), Event::Left(left)]);
        let mut harness = desk(Lang::En, app.clone());
        harness.run_ok();
        harness.get_by_label_contains("Hanako Yamada");
        assert!(harness.state().wishes.is_empty(), "nothing without a word");
        harness.get_by_label("Continue the support").click();
        harness.run_ok();
        assert!(matches!(harness.state().wishes.as_slice(), [Wish::Rejoin(wished)] if *wished == id));
        let mut harness = desk(Lang::En, app);
        harness.run_ok();
        harness.get_by_label("End it").click();
        harness.run_ok();
        assert!(matches!(harness.state().wishes.as_slice(), [Wish::EndLeft(wished)] if *wished == id));
    }
}

#[test]
fn who_finds_nobody_after_a_restart_reads_what_to_do() {
    let id = SessionId::from_bytes([9; 16]);
    for (what, lang, words) in [
        (FromSession::Gone(CloseReason::PeerLost), Lang::Ja, "新しい番号を発行して"),
        (FromSession::Gone(CloseReason::PeerLost), Lang::En, "issue a new number"),
        (FromSession::NoBookmark, Lang::Ja, "もう再開できません"),
        (FromSession::NoBookmark, Lang::En, "goes on in another window"),
    ] {
        for mut app in [App::default(), logged_in()] {
            play(&mut app, [Event::Left(left(id)), Event::Wish(Wish::Rejoin(id)), Event::Session(id, what.clone())]);
            let mut harness = desk(lang, app);
            harness.run_ok();
            harness.get_by_label_contains(words);
            assert!(harness.query_by_label_contains("enter the number once more").is_none());
        }
    }
}

#[test]
fn a_failed_login_says_what_to_do_and_not_which_field_was_wrong() {
    let mut app = App::default();
    play(&mut app, [Event::Manager(Manager::Failed(Verb::Login, Failure::new("login_failed", "")))]);
    let mut harness = desk(Lang::En, app);
    harness.run_ok();
    harness.get_by_label_contains("Check company code, ID and password");
}

#[test]
fn the_password_is_handed_over_once_and_the_field_is_empty_then() {
    let mut harness = desk(Lang::En, App::default());
    harness.run_ok();
    let field = harness.get_by_label("Password");
    field.focus();
    field.type_text("s3cret!x");
    harness.run_ok();
    harness
        .get_by(|node| node.role() == egui::accesskit::Role::Button && node.label().as_deref() == Some("Log in"))
        .click();
    harness.run_ok();
    let wishes = std::mem::take(&mut harness.state_mut().wishes);
    let Some(Wish::Login(request)) = wishes.into_iter().next() else { panic!("a login was wished") };
    assert_eq!((request.company.as_str(), request.user.as_str()), ("demo", "yamada"));
    assert_eq!(request.password, "s3cret!x");
    assert_eq!(harness.get_by_label("Password").value().unwrap_or_default(), "");
}

#[test]
fn issuing_shows_the_number_its_time_and_how_to_say_it() {
    let mut harness = desk(Lang::En, logged_in());
    harness.run_ok();
    harness.get_by_label("Issue a number").click();
    harness.run_ok();
    assert!(matches!(harness.state().wishes.as_slice(), [Wish::Issue { .. }]));
    let mut harness = desk(Lang::En, with_number());
    harness.run_ok();
    harness.get_by_label("412-905-3381");
    harness.get_by_label("9:05 left");
    harness.get_by_label_contains("four one two");
    harness.get_by_label("Cancel number").click();
    harness.run_ok();
    assert!(matches!(harness.state().wishes.as_slice(), [Wish::Cancel(_)]));
}

#[test]
fn a_typed_reason_stays_until_there_is_a_number() {
    let mut harness = desk(Lang::En, logged_in());
    harness.run_ok();
    let field = harness.get_by(|node| node.role() == egui::accesskit::Role::TextInput);
    field.focus();
    field.type_text("printer");
    harness.run_ok();
    harness.get_by_label("Issue a number").click();
    harness.run_ok();
    assert!(matches!(harness.state().wishes.as_slice(), [Wish::Issue { reason, .. }] if reason == "printer"));
    let failed = Event::Manager(Manager::Failed(Verb::Issue, Failure::new("unreachable", "")));
    play(&mut harness.state_mut().app, [failed]);
    harness.run_ok();
    let typed = |harness: &Harness<'_, Desk>| {
        harness.get_by(|node| node.role() == egui::accesskit::Role::TextInput).value().unwrap_or_default()
    };
    assert_eq!(typed(&harness), "printer", "it must not be typed twice");
    play(&mut harness.state_mut().app, [issued(), Event::Wish(Wish::ShowHome)]);
    harness.run_ok();
    assert_eq!(typed(&harness), "");
}

#[test]
fn a_number_of_a_device_management_is_taken_by_its_ten_digits() {
    let typed = |digits: &str| {
        let mut harness = desk(Lang::En, logged_in());
        harness.run_ok();
        harness.get_by_label("Take a number from the MDM").click();
        harness.run_ok();
        let field = harness.get_by_label("Reception number that the MDM shows (10 digits)");
        field.focus();
        field.type_text(digits);
        harness.run_ok();
        harness.get_by_label("Take the number").click();
        harness.run_ok();
        harness
    };
    assert!(typed("412 905 338").state().wishes.is_empty(), "a digit is missing");
    let mut harness = typed("412 905 3381");
    let [Wish::Issue { given: Some(number), .. }] = harness.state().wishes.as_slice() else { panic!("it is taken") };
    assert_eq!(number.reveal(), "412-905-3381");
    play(&mut harness.state_mut().app, [issued(), Event::Wish(Wish::ShowHome)]);
    harness.run_ok();
    harness.get_by_label("Take a number from the MDM");
}

#[test]
fn a_burned_number_is_explained_in_both_languages() {
    for (lang, words) in [(Lang::En, "three times"), (Lang::Ja, "3 回続いた")] {
        let mut app = with_number();
        let burned = Reception::Burned { reception_id: ReceptionId::from_bytes([3; 16]) };
        play(&mut app, [Event::Manager(Manager::Told(burned))]);
        let mut harness = desk(lang, app);
        harness.run_ok();
        harness.get_by_label_contains(words);
        assert!(harness.query_by_label("412-905-3381").is_none(), "the secret is forgotten");
    }
}

#[test]
fn while_the_customer_is_asked_the_seconds_are_shown_and_a_refusal_can_be_answered() {
    let mut app = asking();
    let mut harness = desk(Lang::En, app.clone());
    harness.run_steps(3);
    harness.get_by_label_contains("120 seconds");
    let refused = FromSession::Refused { kind: GrantKind::View, timed_out: false };
    play(&mut app, [Event::Session(SessionId::from_bytes([9; 16]), refused)]);
    let mut harness = desk(Lang::En, app);
    harness.run_ok();
    harness.get_by_label("Ask again").click();
    harness.run_ok();
    assert!(matches!(harness.state().wishes.as_slice(), [Wish::Ask { kind: GrantKind::View, .. }]));
}

#[test]
fn the_session_says_that_the_connection_is_switched_from_the_word_to_its_end() {
    let id = SessionId::from_bytes([9; 16]);
    let monitor = Monitor { id: 0, x: 0, y: 0, width: 800, height: 600, name: String::new(), primary: true };
    let mut app = asking();
    let shown = [
        FromSession::Granted(GrantKind::View),
        FromSession::Monitors(vec![monitor], 0),
        FromSession::FirstPicture { width: 800, height: 600 },
    ];
    play(&mut app, shown.map(|event| Event::Session(id, event)));
    let mut harness = desk(Lang::Ja, app);
    let (handle, _port) = session::open(id, tokio::sync::mpsc::channel(1).0, Arc::new(|| {}));
    harness.state_mut().session = Some(handle);
    harness.run_steps(3);
    harness.get_by_label("閲覧のみ");
    assert!(harness.query_by_label("接続を切り替えています").is_none());
    // The link says this after half a second, and not before: `proto/link/tests/it/renewal.rs`.
    play(&mut harness.state_mut().app, [Event::Session(id, FromSession::Switching(true))]);
    harness.run_steps(3);
    harness.get_by_label("接続を切り替えています");
    play(&mut harness.state_mut().app, [Event::Session(id, FromSession::Switching(false))]);
    harness.run_steps(3);
    assert!(harness.query_by_label("接続を切り替えています").is_none(), "it goes on");
}

#[test]
fn the_end_says_why_and_leads_home() {
    let mut app = asking();
    let id = SessionId::from_bytes([9; 16]);
    play(&mut app, [Event::Session(id, FromSession::Gone(CloseReason::CustomerEnded))]);
    let mut harness = desk(Lang::En, app);
    harness.run_ok();
    harness.get_by_label("The customer ended the session");
    harness.get_by_label("Back to the first page").click();
    harness.run_ok();
    assert!(matches!(harness.state().wishes.as_slice(), [Wish::ShowHome]));
}

#[test]
fn the_language_can_be_changed_on_every_page() {
    let mut harness = desk(Lang::Ja, logged_in());
    harness.run_ok();
    harness.get_by_label("受付番号を発行する");
    harness.get_by_label("English").click();
    harness.run_ok();
    harness.get_by_label("Issue a number");
}
