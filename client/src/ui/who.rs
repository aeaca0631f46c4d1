//! Pages without a question: connecting, who is there, the screen is shared.

use desk::{
    look::{GAP, GAP_LARGE, colour, widget},
    text::Catalogue,
};
use egui::{Grid, RichText, Spinner, Ui};

use super::{Did, bar, names};
use crate::app::{App, Event};

/// The manager is asked and the operator is met, or the visit is closing.
pub(super) fn connecting(ui: &mut Ui, app: &App, text: &Catalogue, did: &mut Vec<Did>) {
    ui.add_space(GAP_LARGE * 4.0);
    let id = if app.is_ending() { "connecting.ending" } else { "connecting.heading" };
    ui.vertical_centered(|ui| {
        ui.add(Spinner::new().size(48.0).color(colour::PRIMARY));
        ui.add_space(GAP_LARGE);
        widget::heading(ui, &text.say(id, &[]));
        let explain = if app.returning().is_some() {
            "connecting.returning"
        } else if app.is_entering_again() {
            "connecting.again"
        } else {
            "connecting.explain"
        };
        widget::explain(ui, &text.say(explain, &[]));
        ui.add_space(GAP_LARGE);
        if !app.is_ending() && widget::quiet(ui, &text.say("connecting.cancel", &[])).clicked() {
            did.push(Did::App(Event::End));
        }
    });
}

/// The operator is there and has not asked yet.
pub(super) fn waiting(ui: &mut Ui, app: &App, text: &Catalogue, did: &mut Vec<Did>) {
    ui.add_space(GAP_LARGE);
    widget::heading(ui, &text.say("who.heading", &[]));
    ui.add_space(GAP);
    widget::card(ui, |ui| {
        ui.set_width(ui.available_width());
        card(ui, app, text);
    });
    ui.add_space(GAP_LARGE);
    ui.horizontal(|ui| {
        ui.add(Spinner::new().size(20.0).color(colour::PRIMARY));
        ui.label(text.say("who.wait", &[]));
    });
    ui.add_space(GAP_LARGE);
    if widget::quiet(ui, &text.say("connecting.cancel", &[])).clicked() {
        did.push(Did::App(Event::End));
    }
}

/// Company, operator, reason and safety code.
pub(super) fn card(ui: &mut Ui, app: &App, text: &Catalogue) {
    let Some(who) = app.introduction() else { return };
    let rows = [
        ("who.company", who.company_name.as_str()),
        ("who.operator", who.operator_name.as_str()),
        ("who.reason", who.reason.as_str()),
        ("who.safety_code", app.safety_code().unwrap_or_default()),
    ];
    Grid::new("who").num_columns(2).spacing([32.0, 12.0]).show(ui, |ui| {
        for (caption, value) in rows.into_iter().filter(|(_, value)| !value.is_empty()) {
            widget::explain(ui, &text.say(caption, &[]));
            ui.label(RichText::new(value).size(20.0));
            ui.end_row();
        }
    });
}

/// The screen is shared; the bar says the same in short.
pub(super) fn sharing(ui: &mut Ui, app: &App, text: &Catalogue, did: &mut Vec<Did>) {
    let Some(sharing) = app.sharing() else { return waiting(ui, app, text, did) };
    let id = bar::state_id(sharing);
    ui.add_space(GAP_LARGE);
    widget::heading(ui, &text.say(&format!("sharing.{id}"), &[]));
    let (_, operator) = names(app);
    ui.label(text.say(&format!("sharing.{id}_explain"), &[("operator", operator)]));
    if app.peer_restarted() {
        ui.add_space(GAP);
        widget::warning(ui, &text.say("sharing.peer_restarted", &[("operator", operator)]));
    }
    ui.add_space(GAP);
    widget::card(ui, |ui| {
        ui.set_width(ui.available_width());
        card(ui, app, text);
        if let Some(monitor) = app.monitor() {
            let (width, height) = (monitor.width.to_string(), monitor.height.to_string());
            ui.add_space(GAP);
            widget::explain(ui, &text.say("sharing.monitor", &[("width", &width), ("height", &height)]));
        }
    });
    ui.add_space(GAP_LARGE);
    ui.horizontal_wrapped(|ui| bar::buttons(ui, sharing, text, bar::Size::Large, did));
}
