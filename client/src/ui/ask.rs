//! The question page: view, control, device information. "Refuse" has the keyboard, and both answers look alike.

use std::time::Instant;

use desk::{
    look::{GAP, GAP_LARGE, widget},
    text::Catalogue,
};
use egui::{Grid, Id, RichText, Ui, accesskit};
use proto::{device::DeviceFact, grant::GrantKind};

use super::{Did, names, who};
use crate::app::{App, Asked, Event};

pub(super) fn draw(ui: &mut Ui, app: &App, asked: &Asked, text: &Catalogue) {
    let question = &asked.question;
    let id = question.kind.as_str();
    let (company, operator) = names(app);
    ui.add_space(GAP_LARGE);
    widget::heading(ui, &text.say(&format!("ask.{id}_heading"), &[]));
    let sentence = ui.label(text.say(&format!("ask.{id}"), &[("company", company), ("operator", operator)]));
    ui.ctx().accesskit_node_builder(sentence.id, |node| node.set_live(accesskit::Live::Assertive));
    if !question.reason.is_empty() {
        ui.label(text.say("ask.reason", &[("reason", &question.reason)]));
    }
    ui.add_space(GAP);
    match question.kind {
        GrantKind::View => {
            widget::card(ui, |ui| {
                ui.set_width(ui.available_width());
                who::card(ui, app, text);
            });
            ui.add_space(GAP);
            widget::warning(ui, &text.say("number.scam", &[]));
        }
        GrantKind::Control => {}
        GrantKind::Device => facts(ui, &asked.facts, text),
    }
}

/// The two answers and the time left, always in sight below the page.
pub(super) fn answers(ui: &mut Ui, asked: &Asked, text: &Catalogue, now: Instant, did: &mut Vec<Did>) {
    let question = &asked.question;
    ui.horizontal(|ui| {
        let refuse = widget::quiet(ui, &text.say("ask.refuse", &[]));
        ui.add_space(GAP);
        let allow = widget::quiet(ui, &text.say("ask.allow", &[]));
        focus_once(ui, question.deadline, &refuse);
        if refuse.clicked() {
            did.push(Did::App(Event::Answer(question.kind, false)));
        } else if allow.clicked() && !allow.double_clicked() && !allow.triple_clicked() {
            // The second click of a double click may meet the next question, which nobody has read yet.
            did.push(Did::App(Event::Answer(question.kind, true)));
        }
    });
    ui.add_space(GAP);
    let seconds = question.deadline.saturating_duration_since(now).as_secs();
    widget::explain(ui, &text.say("ask.remaining", &[("seconds", &seconds.to_string())]));
}

/// A new question puts the keyboard on "refuse", once; the customer may then move it.
fn focus_once(ui: &Ui, question: Instant, refuse: &egui::Response) {
    let seen = Id::unique("question that took the keyboard");
    let before = ui.data_mut(|data| data.get_temp::<Instant>(seen));
    if before != Some(question) {
        ui.data_mut(|data| data.insert_temp(seen, question));
        refuse.request_focus();
    }
}

fn facts(ui: &mut Ui, facts: &[DeviceFact], text: &Catalogue) {
    widget::card(ui, |ui| {
        ui.set_width(ui.available_width());
        Grid::new("facts").num_columns(2).spacing([32.0, 8.0]).show(ui, |ui| {
            for fact in facts {
                widget::explain(ui, &text.say(&format!("device.{}", fact.kind.as_str()), &[]));
                ui.label(RichText::new(&fact.value).size(17.0));
                ui.end_row();
            }
        });
    });
}
