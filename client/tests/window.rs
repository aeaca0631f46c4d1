//! The pages, met as a screen reader meets them: no display, no network.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use std::time::{Duration, Instant};

use client::{
    app::{App, Event, Page, Shown, Trouble},
    consent::Question,
    session::{Command, News},
    ui::{self, Did},
    visit::Step,
};
use desk::{lang::Lang, look, text::Catalogue};
use egui_kittest::{Harness, kittest::Queryable as _};
use link::transport::Transport;
use proto::{close::CloseReason, grant::GrantKind, id::SessionId, introduction::Introduction, message::Monitor};

/// A window without a display.
struct Drawn {
    app: App,
    text: Catalogue,
    effects: Vec<client::app::Effect>,
    bar: bool,
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn open(app: App, lang: Lang, bar: bool) -> Harness<'static, Drawn> {
    let shown = Drawn { app, text: ui::catalogue(lang).unwrap(), effects: Vec::new(), bar };
    Harness::builder().with_size([900.0, 700.0]).with_context_setup(look::apply).allow_missing_glyphs().build_ui_state(
        |ui, shown: &mut Drawn| {
            let did = if shown.bar {
                ui::bar::draw(ui, &shown.app, &shown.text, now())
            } else {
                ui::draw(ui, &shown.app, &shown.text, now())
            };
            for did in did {
                match did {
                    Did::App(event) => shown.effects.extend(shown.app.on(event, now())),
                    Did::Lang(lang) => shown.text.set_lang(lang),
                    Did::Close => {}
                }
            }
        },
        shown,
    )
}

fn introduction() -> Introduction {
    Introduction {
        session_id: SessionId::from_bytes([1; 16]),
        company_name: "Sample Trading".to_owned(),
        operator_name: "Hanako Yamada".to_owned(),
        reason: "Printer".to_owned(),
        ceiling: GrantKind::ALL.to_vec(),
    }
}

fn met() -> App {
    let mut app = App::new();
    app.on(Event::Typed("4129053381".to_owned()), now());
    app.on(Event::Connect, now());
    app.on(Event::Step(Step::Introduced(introduction())), now());
    let proved = Step::Proved {
        session_id: SessionId::from_bytes([1; 16]),
        safety_code: "582 914".to_owned(),
        transport: Transport::Quic,
    };
    app.on(Event::Step(proved), now());
    app
}

fn ask(app: &mut App, kind: GrantKind) {
    let question = Question { kind, reason: String::new(), deadline: now() + Duration::from_secs(100) };
    app.on(Event::Step(Step::Session(News::Asked(question, Vec::new()))), now());
}

fn granted(app: &mut App, kind: GrantKind) {
    ask(app, kind);
    app.on(Event::Answer(kind, true), now());
    app.on(Event::Step(Step::Session(News::Granted(kind))), now());
    let monitor = Monitor { id: 0, x: 0, y: 0, width: 800, height: 600, name: String::new(), primary: true };
    app.on(Event::Step(Step::Session(News::Sharing(monitor))), now());
}

fn commands(window: &Harness<'_, Drawn>) -> Vec<Command> {
    let command = |effect: &client::app::Effect| match effect {
        client::app::Effect::Command(command) => Some(*command),
        client::app::Effect::Visit(_)
        | client::app::Effect::EndLeft(_)
        | client::app::Effect::Brake(_)
        | client::app::Effect::Raise
        | client::app::Effect::Lower => None,
    };
    window.state().effects.iter().filter_map(command).collect()
}

#[test]
fn nothing_is_resumed_without_the_customers_word_and_not_twice() {
    let id = SessionId::from_bytes([1; 16]);
    let mut app = App::found(id, introduction(), Shown::Screen);
    assert_eq!((app.page(), app.sharing()), (Page::Left, None));
    assert_eq!(app.on(Event::Connect, now()), [], "there is no number yet");

    let visits = client::app::Effect::Visit(client::visit::Begin::Bookmark { session_id: id, shows_again: true });
    assert_eq!(app.on(Event::Resume, now()), [client::app::Effect::Brake(client::consent::Brake::Off), visits]);
    assert_eq!(app.on(Event::Resume, now()), []);
    assert_eq!(app.on(Event::EndLeft, now()), []);
    app.on(Event::Step(Step::Session(News::Granted(GrantKind::View))), now());
    assert_eq!(app.sharing(), Some(client::app::Sharing::Viewing), "control must be asked for");

    let mut app = App::found(id, introduction(), Shown::Screen);
    assert_eq!(app.on(Event::EndLeft, now()), [client::app::Effect::EndLeft(id)]);
    assert_eq!(app.page(), Page::Number(None));
}

#[test]
fn after_a_death_the_first_page_names_who_waits_and_does_what_the_customer_says() {
    for (button, lang) in [("Continue the support", Lang::En), ("サポートを再開する", Lang::Ja)] {
        let mut window = open(left(Shown::Screen), lang, false);
        window.get_by_label("Hanako Yamada");
        assert_eq!(window.state().effects, [], "nothing without a word");
        window.get_by_label(button).click();
        // What follows turns for as long as it takes.
        window.run_steps(2);
        assert!(matches!(window.state().effects[..], [_, client::app::Effect::Visit(_)]));
    }
    let mut window = open(left(Shown::Screen), Lang::En, false);
    window.get_by_label("End it").click();
    window.run();
    assert!(matches!(window.state().effects[..], [client::app::Effect::EndLeft(_)]));
    assert_eq!(window.state().app.page(), Page::Number(None));
}

fn left(shown: Shown) -> App {
    App::found(SessionId::from_bytes([1; 16]), introduction(), shown)
}

#[test]
fn before_a_session_goes_on_the_page_says_what_the_operator_will_see() {
    for (shown, ja, en) in [
        (Shown::Screen, "これまでどおりオペレーターに画面が見えます", "sees your screen again as before"),
        (Shown::Paused, "一時停止のままです", "it stays paused"),
        (Shown::Nothing, "お客様が許可するまで", "until you allow it"),
    ] {
        for (lang, words) in [(Lang::Ja, ja), (Lang::En, en)] {
            let mut window = open(left(shown), lang, false);
            window.run_ok();
            window.get_by_label_contains(words);
        }
    }
}

#[test]
fn a_session_that_is_over_meanwhile_is_told_where_a_new_number_can_be_typed() {
    for (lang, words, field) in
        [(Lang::Ja, "再開できませんでした", "受付番号"), (Lang::En, "could not be continued", "Reception number")]
    {
        let mut app = left(Shown::Screen);
        app.on(Event::Resume, now());
        let mut window = open(app.clone(), lang, false);
        window.run_steps(2);
        window.get_by_label_contains(if lang == Lang::Ja {
            "オペレーターを探しています"
        } else {
            "Looking for the operator"
        });
        app.on(Event::Step(Step::Ended(CloseReason::PeerLost)), now());
        assert_eq!(app.page(), Page::Number(Some(Trouble::Failed("no_bookmark"))));
        let mut window = open(app, lang, false);
        window.run_ok();
        window.get_by_label_contains(words);
        window.get_by_label(field);
    }
}

#[test]
fn a_restart_of_the_operators_tool_is_told_in_the_window_and_in_the_bar() {
    for (lang, words) in [(Lang::Ja, "プログラムが再起動しました"), (Lang::En, "was started again")] {
        for bar in [false, true] {
            let mut app = met();
            granted(&mut app, GrantKind::View);
            let mut window = open(app.clone(), lang, bar);
            window.run_ok();
            assert!(window.query_by_label_contains(words).is_none());
            app.on(Event::Step(Step::Session(News::PeerRestarted)), now());
            let mut window = open(app.clone(), lang, bar);
            window.run_ok();
            window.get_by_label_contains(words);
            granted(&mut app, GrantKind::Control);
            let mut window = open(app, lang, bar);
            window.run_ok();
            assert!(window.query_by_label_contains(words).is_none(), "the customer has allowed it since");
        }
    }
}

#[test]
fn a_number_is_typed_and_the_visit_begins() {
    let mut window = open(App::new(), Lang::En, false);
    window.run_ok();
    window.get_by_label("Reception number").type_text("412905");
    window.run_ok();
    assert_eq!(window.state().app.typed(), "412-905");
    window.get_by_label("Reception number").type_text("3381");
    window.run_ok();
    window.get_by_label("Connect").click();
    window.run_steps(3);
    assert_eq!(window.state().app.page(), Page::Connecting);
    assert!(matches!(window.state().effects[..], [_, client::app::Effect::Visit(_)]));
}

#[test]
fn the_page_says_that_a_number_is_entered_again_and_it_can_be_cancelled() {
    for (lang, words, cancel) in
        [(Lang::Ja, "もう一度接続しています", "やめる"), (Lang::En, "it is being tried again", "Cancel")]
    {
        let mut app = App::new();
        app.on(Event::Typed("4129053381".to_owned()), now());
        app.on(Event::Connect, now());
        let mut window = open(app, lang, false);
        window.run_steps(2);
        assert!(window.query_by_label_contains(words).is_none());
        window.state_mut().app.on(Event::Step(Step::EnteringAgain), now());
        window.run_steps(2);
        window.get_by_label_contains(words);
        window.get_by_label(cancel).click();
        window.run_steps(2);
        assert_eq!(commands(&window), [Command::End]);
        assert!(window.query_by_label_contains(words).is_none(), "it is ending");
    }
}

#[test]
fn the_customer_is_warned_of_strangers_before_and_at_the_question() {
    let mut window = open(App::new(), Lang::Ja, false);
    window.run_ok();
    window.get_by_label_contains("知らない相手");
    let mut app = met();
    ask(&mut app, GrantKind::View);
    let mut window = open(app, Lang::Ja, false);
    window.run_ok();
    window.get_by_label_contains("知らない相手");
}

#[test]
fn the_language_is_switched_on_the_first_page() {
    let mut window = open(App::new(), Lang::Ja, false);
    window.run_ok();
    window.get_by_label("English").click();
    window.run_ok();
    window.get_by_label("Connect");
}

#[test]
fn who_asks_is_shown_with_company_operator_and_reason() {
    let mut app = met();
    ask(&mut app, GrantKind::View);
    let mut window = open(app, Lang::En, false);
    window.run_ok();
    window.get_by_label("Hanako Yamada of Sample Trading asks to see your screen.");
    window.get_by_label("Printer");
    window.get_by_label_contains("Refused automatically in");
}

#[test]
fn return_in_the_number_field_connects() {
    let mut app = App::new();
    app.on(Event::Typed("4129053381".to_owned()), now());
    let mut window = open(app, Lang::En, false);
    window.run_ok();

    window.key_press(egui::Key::Enter);
    window.run_ok();

    assert!(!window.state().effects.is_empty(), "Return did nothing");
}

#[test]
fn the_keyboard_is_on_refuse_and_return_refuses() {
    let mut app = met();
    ask(&mut app, GrantKind::View);
    let mut window = open(app, Lang::En, false);
    window.run_ok();
    assert!(window.get_by_label("Refuse").is_focused());
    window.key_press(egui::Key::Enter);
    window.run_ok();
    assert_eq!(commands(&window), [Command::Answer(GrantKind::View, false)]);
}

#[test]
fn refuse_and_allow_have_the_same_size() {
    let mut app = met();
    ask(&mut app, GrantKind::Control);
    for lang in Lang::ALL {
        let mut window = open(app.clone(), lang, false);
        window.run_ok();
        let (refuse, allow) = match lang {
            Lang::Ja => ("拒否する", "許可する"),
            Lang::En => ("Refuse", "Allow"),
        };
        assert_eq!(window.get_by_label(refuse).rect().size(), window.get_by_label(allow).rect().size());
    }
}

#[test]
fn allow_is_said_by_a_click_only() {
    let mut app = met();
    ask(&mut app, GrantKind::View);
    let mut window = open(app, Lang::En, false);
    window.run_ok();
    window.get_by_label("Allow").click();
    window.run_ok();
    assert_eq!(commands(&window), [Command::Answer(GrantKind::View, true)]);
}

#[test]
fn the_bar_says_who_works_and_stops_at_once() {
    let mut app = met();
    granted(&mut app, GrantKind::View);
    granted(&mut app, GrantKind::Control);
    let mut window = open(app, Lang::En, true);
    window.run_ok();
    window.get_by_label("In control");
    window.get_by_label("Hanako Yamada (Sample Trading)");
    window.get_by_label("Take back control").click();
    window.run_ok();
    window.get_by_label("Seeing your screen");
    window.get_by_label("Pause").click();
    window.run_ok();
    window.get_by_label("Resume");
    window.get_by_label("End").click();
    window.run_ok();
    let wanted = [Command::TakeBack(GrantKind::Control), Command::Pause(true), Command::End];
    assert_eq!(commands(&window), wanted);
    assert!(window.query_by_label("End").is_none(), "the bar is gone at once");
}

#[test]
fn the_bar_says_that_the_connection_is_switched_from_the_word_to_its_end() {
    let mut app = met();
    granted(&mut app, GrantKind::View);
    let mut window = open(app, Lang::Ja, true);
    window.run_ok();
    assert!(window.query_by_label("接続を切り替えています").is_none());
    // The link says this after half a second, and not before: `proto/link/tests/it/renewal.rs`.
    window.state_mut().app.on(Event::Step(Step::Session(News::Switching)), now());
    window.run_ok();
    window.get_by_label("接続を切り替えています");
    window.get_by_label("終了する");
    window.state_mut().app.on(Event::Step(Step::Session(News::Resumed(Transport::Tcp))), now());
    window.run_ok();
    assert!(window.query_by_label("接続を切り替えています").is_none(), "it goes on");
}

#[test]
fn the_end_says_why_and_what_to_do() {
    let mut app = met();
    granted(&mut app, GrantKind::View);
    app.on(Event::Step(Step::Ended(CloseReason::TransportLost)), now());
    let mut window = open(app, Lang::En, false);
    window.run_ok();
    window.get_by_label_contains("ask the operator for a new number");
    window.get_by_label("Enter another number").click();
    window.run_ok();
    assert_eq!(window.state().app.page(), Page::Number(None));
}
