//! A customer has come: the tools meet, then the customer is asked.

use desk::look::{self, colour, widget};
use egui::{RichText, Spinner, Ui};
use proto::grant::GrantKind;

use super::{Scene, lone};
use crate::app::{Phase, Session, event::Wish};

pub(super) fn show(ui: &mut Ui, scene: &Scene<'_>, wishes: &mut Vec<Wish>) {
    let Some(session) = &scene.app.session else { return };
    widget::column(ui, |ui| {
        widget::card(ui, |ui| {
            ui.set_width(ui.available_width());
            match session.phase {
                Phase::Meeting => meeting(ui, scene),
                Phase::Asking | Phase::Running => asking(ui, scene, session, wishes),
            }
            ui.add_space(look::GAP_LARGE);
            let caption = match session.phase {
                Phase::Meeting => scene.say("waiting.stop"),
                Phase::Asking | Phase::Running => scene.say("session.end"),
            };
            if lone(ui, widget::quiet, &caption).clicked() {
                wishes.push(Wish::End);
            }
        });
    });
}

fn meeting(ui: &mut Ui, scene: &Scene<'_>) {
    widget::heading(ui, &scene.say("waiting.meeting_title"));
    ui.add_space(look::GAP);
    ui.horizontal(|ui| {
        ui.add(Spinner::new().size(24.0).color(colour::PRIMARY));
        ui.label(scene.say("waiting.meeting"));
    });
}

fn asking(ui: &mut Ui, scene: &Scene<'_>, session: &Session, wishes: &mut Vec<Wish>) {
    if let Some((kind, timed_out)) = session.refused {
        widget::heading(ui, &scene.say("waiting.refused_title"));
        ui.add_space(look::GAP);
        let sentence = if timed_out { scene.say("waiting.no_answer") } else { scene.say("waiting.refused") };
        widget::warning(ui, &sentence);
        ui.add_space(look::GAP);
        if lone(ui, widget::primary, &scene.say("waiting.ask_again")).clicked() {
            wishes.push(Wish::Ask { kind, reason: session.reason.clone() });
        }
        return;
    }
    widget::heading(ui, &scene.say("waiting.asking_title"));
    ui.add_space(look::GAP);
    ui.horizontal(|ui| {
        ui.add(Spinner::new().size(24.0).color(colour::PRIMARY));
        ui.label(scene.say("waiting.asking"));
    });
    if let Some(secs) = session.answer_secs_left(GrantKind::View, scene.now_ms) {
        ui.add_space(look::GAP);
        ui.label(RichText::new(scene.fill("waiting.secs", &[("secs", &secs.to_string())])).color(colour::TEXT_QUIET));
    }
    ui.add_space(look::GAP);
    widget::explain(ui, &scene.say("waiting.say"));
}
