//! Opens one page of the window with sample data: `client-gallery PAGE LANG`, to look at it and to take pictures.
//!
//! Pages: left, `left_paused`, `left_nothing`, returning, gone, number, trouble, connecting, again, who, view, control,
//! device, viewing, restarted, controlling, paused, ended, lost, bar-viewing, bar-restarted, bar-controlling,
//! bar-paused.

use std::time::{Duration, Instant};

use client::{
    app::{App, Event, Shown},
    consent::Question,
    device,
    enter::EnterError,
    session::News,
    ui,
    visit::Step,
};
use desk::{lang::Lang, look};
use link::transport::Transport;
use proto::{close::CloseReason, grant::GrantKind, id::SessionId, introduction::Introduction, message::Monitor};

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let page = args.next().unwrap_or_else(|| "number".to_owned());
    let lang: Lang = args.next().unwrap_or_else(|| "ja".to_owned()).parse()?;
    let text = ui::catalogue(lang)?;
    let app = sample(&page, lang);
    let is_bar = page.starts_with("bar-");
    let size = if is_bar { ui::bar::SIZE } else { [860.0, 680.0] };
    let viewport = egui::ViewportBuilder::default().with_inner_size(size).with_decorations(!is_bar);
    let options = eframe::NativeOptions { viewport, ..Default::default() };
    eframe::run_ui_native("gallery", options, move |ui, frame| {
        frame.info();
        ui.ctx().request_repaint_after(Duration::from_millis(500));
        if !ui.ctx().data(|data| data.get_temp::<bool>(egui::Id::unique("styled")).unwrap_or(false)) {
            look::apply(ui.ctx());
            ui.ctx().data_mut(|data| data.insert_temp(egui::Id::unique("styled"), true));
        }
        if is_bar {
            ui::bar::draw(ui, &app, &text, now());
        } else {
            ui::draw(ui, &app, &text, now());
        }
    })
    .map_err(|error| anyhow::anyhow!("{error}"))
}

fn sample(page: &str, lang: Lang) -> App {
    let opened = now();
    let start = opened.checked_sub(Duration::from_secs(200)).unwrap_or(opened);
    let mut app = App::new();
    if page == "number" {
        return app;
    }
    if let Some(app) = left(page, lang) {
        return app;
    }
    app.on(Event::Typed("４１２９０５３３８１".to_owned()), start);
    app.on(Event::Connect, start);
    if page == "trouble" {
        app.on(Event::Step(Step::Failed(EnterError::NumberUnusable)), start);
    }
    if page == "again" {
        app.on(Event::Step(Step::EnteringAgain), start);
    }
    if matches!(page, "trouble" | "connecting" | "again") {
        return app;
    }
    app.on(Event::Step(Step::Introduced(introduction(lang))), start);
    let proved = Step::Proved {
        session_id: SessionId::from_bytes([1; 16]),
        safety_code: "582 914".to_owned(),
        transport: Transport::Quic,
    };
    app.on(Event::Step(proved), start);
    if page == "who" {
        return app;
    }
    ask(&mut app, GrantKind::View);
    if page == "view" {
        return app;
    }
    grant(&mut app, GrantKind::View, start);
    match page {
        "control" => ask(&mut app, GrantKind::Control),
        "restarted" | "bar-restarted" => {
            app.on(Event::Step(Step::Session(News::PeerRestarted)), start);
        }
        "device" => ask(&mut app, GrantKind::Device),
        "controlling" | "bar-controlling" => {
            ask(&mut app, GrantKind::Control);
            grant(&mut app, GrantKind::Control, start);
        }
        "paused" | "bar-paused" => {
            app.on(Event::Pause(true), start);
        }
        "ended" => {
            app.on(Event::Step(Step::Ended(CloseReason::OperatorEnded)), start);
        }
        "lost" => {
            app.on(Event::Step(Step::Ended(CloseReason::TransportLost)), start);
        }
        _ => {}
    }
    app
}

/// The pages of a session that an earlier process left.
fn left(page: &str, lang: Lang) -> Option<App> {
    let shown = match page {
        "left" | "returning" | "gone" => Shown::Screen,
        "left_paused" => Shown::Paused,
        "left_nothing" => Shown::Nothing,
        _ => return None,
    };
    let mut app = App::found(SessionId::from_bytes([1; 16]), introduction(lang), shown);
    if matches!(page, "returning" | "gone") {
        app.on(Event::Resume, now());
    }
    if page == "gone" {
        app.on(Event::Step(Step::Ended(CloseReason::PeerLost)), now());
    }
    Some(app)
}

fn introduction(lang: Lang) -> Introduction {
    let (company, operator, reason) = match lang {
        Lang::Ja => ("サンプル商事株式会社", "山田 花子", "プリンターの設定を確認します"),
        Lang::En => ("Sample Trading Ltd.", "Hanako Yamada", "Checking the printer settings"),
    };
    Introduction {
        session_id: SessionId::from_bytes([1; 16]),
        company_name: company.to_owned(),
        operator_name: operator.to_owned(),
        reason: reason.to_owned(),
        ceiling: GrantKind::ALL.to_vec(),
    }
}

fn monitor() -> Monitor {
    Monitor { id: 0, x: 0, y: 0, width: 1920, height: 1080, name: "screen".to_owned(), primary: true }
}

fn ask(app: &mut App, kind: GrantKind) {
    let deadline = now() + Duration::from_secs(96);
    let facts = if kind == GrantKind::Device { device::facts(&[monitor()], "ja") } else { Vec::new() };
    let question = Question { kind, reason: String::new(), deadline };
    app.on(Event::Step(Step::Session(News::Asked(question, facts))), now());
}

fn grant(app: &mut App, kind: GrantKind, at: Instant) {
    app.on(Event::Answer(kind, true), at);
    app.on(Event::Step(Step::Session(News::Granted(kind))), at);
    app.on(Event::Step(Step::Session(News::Sharing(monitor()))), at);
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
