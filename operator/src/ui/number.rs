//! One number in large digits, with what the operator says on the phone.

use desk::look::{self, colour, widget};
use egui::{Align, Layout, ProgressBar, RichText, Ui};
use proto::{api::reception::ReceptionState, id::ReceptionId};

use super::{Scene, badge, lone, state};
use crate::{
    app::{Number, event::Wish},
    text::minutes,
};

/// How long "copied" is shown.
const COPIED_MS: i64 = 2500;

/// When the number was copied.
#[derive(Default)]
pub(super) struct Copied(Option<i64>);

impl Copied {
    pub(super) fn show(&mut self, ui: &mut Ui, scene: &Scene<'_>, id: ReceptionId, wishes: &mut Vec<Wish>) {
        let number = scene.app.numbers.iter().find(|number| number.reception_id == id);
        widget::column(ui, |ui| {
            widget::card(ui, |ui| {
                ui.set_width(ui.available_width());
                match number {
                    Some(number) => self.card(ui, scene, number, wishes),
                    None => closed(ui, scene, ReceptionState::Expired),
                }
            });
            ui.add_space(look::GAP);
            if lone(ui, widget::quiet, &scene.say("number.back")).clicked() {
                wishes.push(Wish::ShowHome);
            }
        });
    }

    fn card(&mut self, ui: &mut Ui, scene: &Scene<'_>, number: &Number, wishes: &mut Vec<Wish>) {
        ui.horizontal(|ui| {
            widget::heading(ui, &scene.say("number.title"));
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                let (word, ground) = state(scene, number.state);
                badge(ui, &word, ground);
            });
        });
        let Some(own) = number.own.as_ref().filter(|_| number.is_open()) else {
            closed(ui, scene, number.state);
            return;
        };
        let digits = own.number.reveal();
        ui.add_space(look::GAP);
        ui.vertical_centered(|ui| widget::big_number(ui, &digits));
        ui.add_space(look::GAP);
        if !number.reason.is_empty() {
            widget::explain(ui, &scene.fill("number.reason", &[("reason", &number.reason)]));
        }
        read_aloud(ui, scene, &digits);
        ui.add_space(look::GAP_LARGE);
        left(ui, scene, number);
        ui.add_space(look::GAP_LARGE);
        ui.horizontal_wrapped(|ui| {
            let copied = self.0.is_some_and(|at_ms| scene.now_ms < at_ms.saturating_add(COPIED_MS));
            let caption = if copied { scene.say("number.copied") } else { scene.say("number.copy") };
            if widget::primary(ui, &caption).clicked() {
                ui.copy_text(digits.clone());
                self.0 = Some(scene.now_ms);
            }
            if widget::quiet(ui, &scene.say("number.extend")).clicked() {
                wishes.push(Wish::Extend(number.reception_id));
            }
            if widget::quiet(ui, &scene.say("number.cancel")).clicked() {
                wishes.push(Wish::Cancel(number.reception_id));
            }
        });
        ui.add_space(look::GAP);
        widget::explain(ui, &scene.say("number.waiting"));
        if 0 < number.unproved_count {
            let count = number.unproved_count.to_string();
            let left = proto::limits::UNPROVED_MAX.saturating_sub(number.unproved_count).to_string();
            ui.add_space(look::GAP);
            widget::warning(ui, &scene.fill("number.unproved", &[("count", &count), ("left", &left)]));
        }
    }
}

/// The digits group by group, as they are read to the customer.
fn read_aloud(ui: &mut Ui, scene: &Scene<'_>, digits: &str) {
    let mut groups = digits.split('-').map(|group| spoken(scene, group));
    let (Some(a), Some(b), Some(c)) = (groups.next(), groups.next(), groups.next()) else { return };
    let sentence = scene.fill("number.read_aloud", &[("a", &a), ("b", &b), ("c", &c)]);
    ui.label(RichText::new(sentence).size(20.0));
}

fn spoken(scene: &Scene<'_>, group: &str) -> String {
    let words: Vec<_> = group.chars().map(|digit| scene.say(&format!("digit.{digit}"))).collect();
    words.join(&scene.say("digit.between"))
}

fn left(ui: &mut Ui, scene: &Scene<'_>, number: &Number) {
    let secs = number.secs_left(scene.now_ms);
    if secs == 0 {
        widget::warning(ui, &scene.say("number.over"));
        return;
    }
    let whole = number.expires_at_ms.saturating_sub(number.since_ms).max(1);
    #[expect(clippy::cast_precision_loss, reason = "a part of a bar of a few hundred pixels")]
    let part = secs.saturating_mul(1000) as f32 / whole as f32;
    let time = minutes(secs);
    let short = secs <= 60;
    ui.label(scene.fill("number.left", &[("time", &time)]));
    ui.add(ProgressBar::new(part.clamp(0.0, 1.0)).desired_height(12.0).fill(if short {
        colour::CONTROLLING
    } else {
        colour::PRIMARY
    }));
}

fn closed(ui: &mut Ui, scene: &Scene<'_>, state: ReceptionState) {
    let sentence = match state {
        ReceptionState::Burned => scene.say("number.burned"),
        ReceptionState::Cancelled => scene.say("number.cancelled"),
        ReceptionState::Proved => scene.say("number.used"),
        ReceptionState::Issued | ReceptionState::Entered => scene.say("home.not_here"),
        ReceptionState::Expired => scene.say("number.over"),
    };
    ui.add_space(look::GAP);
    widget::explain(ui, &sentence);
}
