//! Why the session ended, and how long it was.

use desk::look::{self, widget};
use egui::{RichText, Ui};

use super::{Scene, lone};
use crate::{app::event::Wish, text::duration};

pub(super) fn show(ui: &mut Ui, scene: &Scene<'_>, wishes: &mut Vec<Wish>) {
    widget::column(ui, |ui| {
        widget::card(ui, |ui| {
            ui.set_width(ui.available_width());
            widget::heading(ui, &scene.say("ended.title"));
            ui.add_space(look::GAP);
            if let Some(ended) = scene.app.ended {
                ui.label(RichText::new(scene.say(&format!("ended.{}", ended.reason.as_str()))).size(20.0));
                let time = ended.duration_ms.map_or_else(|| "—".to_owned(), duration);
                widget::explain(ui, &scene.fill("ended.duration", &[("time", &time)]));
            }
            ui.add_space(look::GAP_LARGE);
            let home = lone(ui, widget::primary, &scene.say("ended.home"));
            if home.clicked() {
                wishes.push(Wish::ShowHome);
            }
        });
    });
}
