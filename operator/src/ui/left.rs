//! Sessions whose tool died: go on with one, or end it. Shown above the login and the first page.

use desk::look::{self, widget};
use egui::{RichText, Ui};

use super::Scene;
use crate::app::event::{Left, Wish};

/// A card for each of them while its customer waits; nothing, when there is none.
pub(super) fn show(ui: &mut Ui, scene: &Scene<'_>, wishes: &mut Vec<Wish>) {
    for left in scene.app.left.iter().filter(|left| scene.now_ms < left.until_ms) {
        ui.push_id(left.session_id, |ui| widget::card(ui, |ui| one(ui, scene, left, wishes)));
        ui.add_space(look::GAP_LARGE);
    }
}

fn one(ui: &mut Ui, scene: &Scene<'_>, left: &Left, wishes: &mut Vec<Wish>) {
    ui.with_layout(egui::Layout::top_down(egui::Align::Min), |ui| {
        ui.set_width(ui.available_width());
        widget::heading(ui, &scene.say("left.title"));
        ui.label(RichText::new(format!("{}  {}", left.company_name, left.operator_name)).strong());
        if !left.reason.is_empty() {
            ui.label(&left.reason);
        }
        widget::explain(ui, &scene.say("left.explain"));
        ui.add_space(look::GAP);
        ui.horizontal_wrapped(|ui| {
            if widget::primary(ui, &scene.say("left.resume")).clicked() {
                wishes.push(Wish::Rejoin(left.session_id));
            }
            if widget::quiet(ui, &scene.say("left.end")).clicked() {
                wishes.push(Wish::EndLeft(left.session_id));
            }
        });
    });
}
