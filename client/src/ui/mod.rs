//! The window: draws the state of `app.rs` and carries its effects out.
//!
//! Drawing is a function from state to what the customer did ([`draw`], [`bar::draw`]), so pages are tested without a
//! display. The network has a thread of its own; the window talks with it by bounded queues and the permit's brake, so
//! that "pause" and "end" work whatever the network does.

mod ask;
pub mod bar;
mod ended;
mod left;
mod number;
mod who;
mod window;

use std::time::Instant;

use desk::{lang::Lang, look::widget, text::Catalogue};
use egui::{CentralPanel, Frame, Layout, Margin, Panel, Ui};
use proto::introduction::Introduction;

pub use self::window::run;
use crate::app::{App, Event, Page};

/// What the customer did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Did {
    /// Something for the flow.
    App(Event),
    /// Chose a language.
    Lang(Lang),
    /// Closed the window.
    Close,
}

/// The text catalogue of this tool.
///
/// # Errors
/// When a text file is broken, which a test finds first.
pub fn catalogue(lang: Lang) -> Result<Catalogue, desk::text::TextError> {
    Catalogue::new(lang, include_str!("../../text/ja.toml"), include_str!("../../text/en.toml"))
}

/// Draws the page of `app` and says what the customer did.
pub fn draw(ui: &mut Ui, app: &App, text: &Catalogue, now: Instant) -> Vec<Did> {
    let mut did = Vec::new();
    let frame = Frame::central_panel(ui.style()).inner_margin(Margin::symmetric(24, 16));
    if let (Page::Who | Page::Sharing, Some(asked)) = (app.page(), app.question()) {
        let below = frame.outer_margin(Margin::ZERO);
        Panel::bottom("answers").frame(below).show_separator_line(false).resizable(false).show(ui, |ui| {
            widget::column(ui, |ui| ask::answers(ui, asked, text, now, &mut did));
        });
    }
    CentralPanel::default().frame(frame).show(ui, |ui| {
        language_switch(ui, app, text, &mut did);
        egui::ScrollArea::vertical().auto_shrink([false, true]).show(ui, |ui| {
            widget::column(ui, |ui| match (app.page(), app.question()) {
                (Page::Left, _) => left::draw(ui, app, text, &mut did),
                (Page::Number(trouble), _) => number::draw(ui, app, trouble, text, &mut did),
                (Page::Connecting, _) => who::connecting(ui, app, text, &mut did),
                (Page::Who | Page::Sharing, Some(asked)) => ask::draw(ui, app, asked, text),
                (Page::Who | Page::Sharing, None) if app.is_ending() => who::connecting(ui, app, text, &mut did),
                (Page::Who, None) => who::waiting(ui, app, text, &mut did),
                (Page::Sharing, None) => who::sharing(ui, app, text, &mut did),
                (Page::Ended(reason), _) => ended::draw(ui, reason, text, &mut did),
            });
        });
    });
    did
}

/// Only where nothing is under way: a word in another language must not surprise in the middle of a question.
fn language_switch(ui: &mut Ui, app: &App, text: &Catalogue, did: &mut Vec<Did>) {
    ui.with_layout(Layout::right_to_left(egui::Align::Min), |ui| {
        if let Page::Left | Page::Number(_) = app.page() {
            if widget::link(ui, &text.say("window.switch", &[])).clicked() {
                let other = match text.lang() {
                    Lang::Ja => Lang::En,
                    Lang::En => Lang::Ja,
                };
                did.push(Did::Lang(other));
            }
        } else {
            ui.label("");
        }
    });
}

/// Names for sentences; empty before they are known.
fn names(app: &App) -> (&str, &str) {
    let name = |of: fn(&Introduction) -> &String| app.introduction().map_or("", |who| of(who).as_str());
    (name(|who| &who.company_name), name(|who| &who.operator_name))
}
