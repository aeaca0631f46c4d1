//! The pages of the window. They only draw: each gets the machine's state and answers with wishes.

pub mod device;
pub mod ended;
pub mod home;
mod left;
pub mod login;
pub mod number;
pub mod session;
pub mod waiting;

use std::sync::Arc;

use desk::{
    lang::Lang,
    look::{self, colour, widget},
    text::Catalogue,
};
use egui::{
    Align, CentralPanel, Color32, CornerRadius, Frame, Layout, Margin, Panel, Response, RichText, ScrollArea, Stroke,
    Ui,
};
use proto::{api::reception::ReceptionState, grant::GrantKind};

use crate::{
    app::{App, Notice, Page, event::Wish},
    input::capture::Capture,
    login::Remembered,
    session::Handle,
};

/// What the network side last said.
#[derive(Clone, Default)]
pub struct View {
    /// The machine.
    pub app: Arc<App>,
    /// The session that is met or running.
    pub session: Option<Handle>,
}

/// What the pages remember between two frames.
pub struct Pages {
    /// The sentences.
    pub text: Catalogue,
    /// The keyboard switch.
    pub capture: Capture,
    /// Zone in which times are shown.
    pub zone: jiff::tz::TimeZone,
    login: login::Form,
    home: home::Form,
    number: number::Copied,
    session: session::Bar,
}

/// What every page gets.
pub struct Scene<'a> {
    /// The machine.
    pub app: &'a App,
    /// The sentences.
    pub text: &'a Catalogue,
    /// Zone in which times are shown.
    pub zone: &'a jiff::tz::TimeZone,
    /// UTC milliseconds.
    pub now_ms: i64,
}

impl Scene<'_> {
    /// A sentence without values.
    pub fn say(&self, id: &str) -> String {
        self.text.say(id, &[])
    }

    /// A sentence with values.
    pub fn fill(&self, id: &str, values: &[(&str, &str)]) -> String {
        self.text.say(id, values)
    }

    /// The name of a grant.
    pub fn grant(&self, kind: GrantKind) -> String {
        self.say(&format!("grant.{}", kind.as_str()))
    }
}

impl Pages {
    /// Pages in the catalogue's language, with what was remembered of the last login.
    pub fn new(text: Catalogue, capture: Capture, remembered: Remembered, zone: jiff::tz::TimeZone) -> Self {
        Self {
            text,
            capture,
            zone,
            login: login::Form::new(remembered),
            home: home::Form::default(),
            number: number::Copied::default(),
            session: session::Bar::default(),
        }
    }

    /// Draws the page of the moment. Returns what the person wants.
    pub fn show(&mut self, ui: &mut Ui, view: &View, now_ms: i64) -> Vec<Wish> {
        let app = &*view.app;
        let mut wishes = Vec::new();
        let scene = Scene { app, text: &self.text, zone: &self.zone, now_ms };
        if app.page == Page::Session {
            self.session.show(ui, &scene, view.session.as_ref(), &self.capture, &mut wishes);
            return wishes;
        }
        if self.capture.is_on() {
            self.capture.stop();
        }
        self.session.leave(ui.ctx());
        let mut lang = None;
        Panel::top("top").frame(top_frame()).show(ui, |ui| top(ui, &scene, &mut lang, &mut wishes));
        CentralPanel::default().frame(page_frame()).show(ui, |ui| {
            ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
                notice(ui, &scene, &mut wishes);
                match app.page {
                    Page::Login => self.login.show(ui, &scene, &mut wishes),
                    Page::Home => self.home.show(ui, &scene, &mut wishes),
                    Page::Number(id) => self.number.show(ui, &scene, id, &mut wishes),
                    Page::Meeting | Page::Asking => waiting::show(ui, &scene, &mut wishes),
                    Page::Ended => ended::show(ui, &scene, &mut wishes),
                    Page::Session => {}
                }
            });
        });
        if let Some(lang) = lang {
            self.text.set_lang(lang);
        }
        wishes
    }

    /// Remembers company code and id of the form.
    pub fn remembered(&self) -> Remembered {
        self.login.remembered()
    }
}

fn top_frame() -> Frame {
    Frame::new().fill(colour::CARD).stroke(Stroke::new(1.0, colour::EDGE)).inner_margin(Margin::symmetric(24, 8))
}

fn page_frame() -> Frame {
    Frame::new().fill(colour::GROUND).inner_margin(Margin { left: 24, right: 24, top: 28, bottom: 16 })
}

fn top(ui: &mut Ui, scene: &Scene<'_>, lang: &mut Option<Lang>, wishes: &mut Vec<Wish>) {
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 20.0;
        ui.label(RichText::new(scene.say("top.name")).size(20.0).strong().color(colour::PRIMARY));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if scene.app.account.is_some() && widget::link(ui, &scene.say("top.log_out")).clicked() {
                wishes.push(Wish::Logout);
            }
            let other = if scene.text.lang() == Lang::Ja { Lang::En } else { Lang::Ja };
            if widget::link(ui, other.own_name()).clicked() {
                *lang = Some(other);
            }
            if let Some(account) = &scene.app.account {
                let who = [("company", account.company_name.as_str()), ("operator", account.operator_name.as_str())];
                ui.label(RichText::new(scene.fill("top.who", &who)).color(colour::TEXT_QUIET));
            }
        });
    });
}

fn notice(ui: &mut Ui, scene: &Scene<'_>, wishes: &mut Vec<Wish>) {
    if scene.app.account.is_some() && !scene.app.listening {
        widget::column(ui, |ui| widget::warning(ui, &scene.say("notice.not_listening")));
        ui.add_space(look::GAP);
    }
    let running = scene.app.notices.iter().filter(|notice| scene.now_ms < notice.ends_at_ms);
    for told in running.filter(|_| scene.app.account.is_some()) {
        let sentence = scene.fill("notice.running", &[("title", &told.title)]);
        widget::column(ui, |ui| widget::warning(ui, &sentence));
        ui.add_space(look::GAP);
    }
    let sentence = match &scene.app.notice {
        None => return,
        Some(Notice::Failed(failure)) => {
            let secs = failure.retry_after_secs.unwrap_or(30).to_string();
            scene.fill(&format!("failure.{}", failure.code), &[("secs", &secs)])
        }
        Some(Notice::WrongSecret) => scene.say("notice.wrong_secret"),
        Some(Notice::NotMet(reason)) => {
            let reason = scene.say(&format!("ended.{}", reason.as_str()));
            scene.fill("notice.not_met", &[("reason", &reason)])
        }
        Some(Notice::NotRejoined(reason)) => {
            let reason = scene.say(&format!("ended.{}", reason.as_str()));
            scene.fill("notice.not_rejoined", &[("reason", &reason)])
        }
        Some(Notice::NoBookmark) => scene.say("notice.no_bookmark"),
        // The page of the number says it itself.
        Some(Notice::Burned | Notice::Expired) if shows_closed(scene.app) => return,
        Some(Notice::Burned) => scene.say("notice.burned"),
        Some(Notice::Expired) => scene.say("notice.expired"),
    };
    widget::column(ui, |ui| {
        widget::error(ui, &sentence);
        if scene.app.page != Page::Login && widget::link(ui, &scene.say("notice.dismiss")).clicked() {
            wishes.push(Wish::Dismiss);
        }
    });
    ui.add_space(look::GAP);
}

/// Whether the page is that of a number which cannot be used any more.
fn shows_closed(app: &App) -> bool {
    let closed = |id| app.numbers.iter().any(|number| number.reception_id == id && !number.is_open());
    matches!(app.page, Page::Number(id) if closed(id))
}

/// A small coloured word on its own ground: a state. The word says it, the colour repeats it.
pub fn badge(ui: &mut Ui, text: &str, ground: Color32) {
    Frame::new()
        .fill(ground)
        .corner_radius(CornerRadius::same(look::CORNER))
        .inner_margin(Margin::symmetric(10, 3))
        .show(ui, |ui| ui.label(RichText::new(text).size(15.0).color(colour::TEXT_INVERSE)));
}

/// A button on a line of its own, as wide as its kind and with its words in the middle.
pub fn lone(ui: &mut Ui, button: fn(&mut Ui, &str) -> Response, text: &str) -> Response {
    ui.horizontal(|ui| button(ui, text)).inner
}

/// Word and ground for a number's state.
pub fn state(scene: &Scene<'_>, state: ReceptionState) -> (String, Color32) {
    let (id, ground) = match state {
        ReceptionState::Issued => ("state.issued", colour::PRIMARY),
        ReceptionState::Entered => ("state.entered", colour::CONTROLLING),
        ReceptionState::Proved => ("state.proved", colour::GOOD),
        ReceptionState::Expired => ("state.expired", colour::PAUSED),
        ReceptionState::Cancelled => ("state.cancelled", colour::PAUSED),
        ReceptionState::Burned => ("state.burned", colour::DANGER),
    };
    (scene.say(id), ground)
}
