//! The first page after a death: a session can be gone on with. Nothing is, without the customer's word.

use desk::{
    look::{GAP, GAP_LARGE, widget},
    text::Catalogue,
};
use egui::Ui;

use super::{Did, who};
use crate::app::{App, Event, Shown};

pub(super) fn draw(ui: &mut Ui, app: &App, text: &Catalogue, did: &mut Vec<Did>) {
    ui.add_space(GAP_LARGE);
    widget::heading(ui, &text.say("left.heading", &[]));
    ui.label(text.say("left.explain", &[]));
    let what = match app.returning() {
        Some(Shown::Screen) => "left.screen",
        Some(Shown::Paused) => "left.paused",
        Some(Shown::Nothing) | None => "left.nothing",
    };
    ui.add_space(GAP);
    widget::card(ui, |ui| {
        ui.set_width(ui.available_width());
        who::card(ui, app, text);
        ui.add_space(GAP);
        ui.label(text.say(what, &[]));
    });
    ui.add_space(GAP_LARGE);
    ui.horizontal_wrapped(|ui| {
        if widget::primary(ui, &text.say("left.resume", &[])).clicked() {
            did.push(Did::App(Event::Resume));
        }
        if widget::quiet(ui, &text.say("left.end", &[])).clicked() {
            did.push(Did::App(Event::EndLeft));
        }
    });
    ui.add_space(GAP_LARGE);
    widget::warning(ui, &text.say("number.scam", &[]));
}
