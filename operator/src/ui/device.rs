//! What the customer's machine is, once the customer agreed to tell.

use desk::look::{self, colour, widget};
use egui::{Grid, RichText, Ui};
use proto::grant::GrantKind;

use super::{Scene, lone};
use crate::app::{Session, event::Wish};

/// Draws the facts, or how to get them.
pub(super) fn show(ui: &mut Ui, scene: &Scene<'_>, session: &Session, wishes: &mut Vec<Wish>) {
    ui.label(RichText::new(scene.say("grant.device")).small().color(colour::TEXT_QUIET));
    if session.grants.has(GrantKind::Device) {
        return facts(ui, scene);
    }
    if let Some(secs) = session.answer_secs_left(GrantKind::Device, scene.now_ms) {
        ui.label(scene.fill("session.device_asked", &[("secs", &secs.to_string())]));
        return;
    }
    if session.refused.is_some_and(|(kind, _)| kind == GrantKind::Device) {
        ui.label(RichText::new(scene.say("session.device_refused")).color(colour::DANGER));
    }
    if lone(ui, widget::quiet, &scene.say("session.device_ask")).clicked() {
        wishes.push(Wish::Ask { kind: GrantKind::Device, reason: String::new() });
    }
}

fn facts(ui: &mut Ui, scene: &Scene<'_>) {
    let facts = scene.app.device();
    if facts.is_empty() {
        ui.label(scene.say("session.device_coming"));
        return;
    }
    ui.add_space(look::GAP / 2.0);
    Grid::new("device").num_columns(2).spacing([24.0, 4.0]).show(ui, |ui| {
        for fact in facts {
            ui.label(RichText::new(scene.say(&format!("device.{}", fact.kind.as_str()))).small());
            ui.label(RichText::new(&fact.value).size(16.0));
            ui.end_row();
        }
    });
}
