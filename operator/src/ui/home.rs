//! The first page: a new number, the open numbers, recent sessions.

use desk::look::{self, colour, widget};
use egui::{Align, Grid, Layout, Margin, RichText, TextEdit, Ui};
use proto::{
    api::{
        reception::ReceptionState,
        session::{SessionBody, SessionState},
    },
    id::ReceptionId,
    limits,
    number::ReceptionNumber,
};

use super::{Scene, badge, left, lone, state};
use crate::{
    app::{Number, event::Wish},
    text::{duration, local_time, minutes},
};

/// Width of the page.
const WIDTH: f32 = 1080.0;
/// Recent sessions shown.
const SESSIONS_SHOWN: usize = 8;

/// Characters of a typed number: ten digits, and what people put between them.
const NUMBER_LEN_MAX: usize = 24;

/// What is typed.
#[derive(Default)]
pub(super) struct Form {
    reason: String,
    /// The number that a device management started, once somebody wants to take one.
    given: Option<String>,
    /// Once there is a newer number than this, the reason is used up.
    asked: Option<Asked>,
}

/// A number was asked for.
struct Asked {
    /// The newest number at that time.
    newest: Option<ReceptionId>,
}

impl Form {
    pub(super) fn show(&mut self, ui: &mut Ui, scene: &Scene<'_>, wishes: &mut Vec<Wish>) {
        ui.vertical_centered(|ui| {
            ui.set_max_width(WIDTH.min(ui.available_width()));
            ui.with_layout(Layout::top_down(Align::Min), |ui| {
                ui.spacing_mut().item_spacing.x = look::GAP_LARGE;
                left::show(ui, scene, wishes);
                ui.columns(2, |columns| {
                    for column in columns.iter_mut() {
                        column.spacing_mut().item_spacing.x = look::GAP;
                    }
                    if let [left, right] = columns {
                        widget::card(left, |ui| self.issue(ui, scene, wishes));
                        widget::card(right, |ui| numbers(ui, scene, wishes));
                    }
                });
                ui.add_space(look::GAP_LARGE);
                widget::card(ui, |ui| history(ui, scene, wishes));
            });
        });
    }

    fn issue(&mut self, ui: &mut Ui, scene: &Scene<'_>, wishes: &mut Vec<Wish>) {
        if self.asked.take_if(|asked| asked.newest != newest(scene)).is_some() {
            self.reason.clear();
            self.given = None;
        }
        ui.set_min_height(236.0);
        ui.set_width(ui.available_width());
        widget::heading(ui, &scene.say("home.issue_title"));
        widget::explain(ui, &scene.say("home.issue_hint"));
        ui.add_space(look::GAP);
        let label = ui.label(scene.say("home.reason"));
        ui.add(
            TextEdit::singleline(&mut self.reason)
                .hint_text(RichText::new(scene.say("home.reason_example")).color(colour::TEXT_QUIET))
                .char_limit(limits::REASON_LEN_MAX / 4)
                .margin(Margin::symmetric(12, 10))
                .desired_width(f32::INFINITY),
        )
        .labelled_by(label.id);
        ui.add_space(look::GAP);
        let busy = scene.app.issuing;
        let caption = if busy { scene.say("home.issuing") } else { scene.say("home.issue") };
        if ui.add_enabled_ui(!busy, |ui| lone(ui, widget::primary, &caption).clicked()).inner {
            // Kept until there is a number: what was typed is not lost when the manager cannot be reached.
            self.asked = Some(Asked { newest: newest(scene) });
            wishes.push(Wish::Issue { reason: self.reason.trim().to_owned(), life_secs: None, given: None });
        }
        ui.add_space(look::GAP);
        self.take(ui, scene, wishes);
    }

    /// A number that a device management started: its ten digits are typed here, and no new number is issued.
    fn take(&mut self, ui: &mut Ui, scene: &Scene<'_>, wishes: &mut Vec<Wish>) {
        let Some(typed) = &mut self.given else {
            if widget::link(ui, &scene.say("home.take_open")).clicked() {
                self.given = Some(String::new());
            }
            return;
        };
        let label = ui.label(scene.say("home.take_number"));
        ui.add(
            TextEdit::singleline(typed)
                .hint_text(RichText::new("412-905-3381").color(colour::TEXT_QUIET))
                .char_limit(NUMBER_LEN_MAX)
                .margin(Margin::symmetric(12, 10))
                .desired_width(f32::INFINITY),
        )
        .labelled_by(label.id);
        widget::explain(ui, &scene.say("home.take_hint"));
        ui.add_space(look::GAP);
        let number = ReceptionNumber::parse(typed).ok();
        let ready = number.is_some() && !scene.app.issuing;
        if ui.add_enabled_ui(ready, |ui| lone(ui, widget::primary, &scene.say("home.take")).clicked()).inner {
            self.asked = Some(Asked { newest: newest(scene) });
            wishes.push(Wish::Issue { reason: String::new(), life_secs: None, given: number });
        }
    }
}

fn newest(scene: &Scene<'_>) -> Option<ReceptionId> {
    scene.app.numbers.iter().find(|number| number.own.is_some()).map(|number| number.reception_id)
}

fn numbers(ui: &mut Ui, scene: &Scene<'_>, wishes: &mut Vec<Wish>) {
    ui.set_min_height(236.0);
    ui.set_width(ui.available_width());
    widget::heading(ui, &scene.say("home.numbers_title"));
    let open: Vec<_> = scene.app.numbers.iter().filter(|number| number.is_open()).collect();
    if open.is_empty() {
        widget::explain(ui, &scene.say("home.no_numbers"));
    }
    for number in open {
        ui.add_space(look::GAP);
        one_number(ui, scene, number, wishes);
    }
}

fn one_number(ui: &mut Ui, scene: &Scene<'_>, number: &Number, wishes: &mut Vec<Wish>) {
    let digits = number.own.as_ref().map_or_else(
        || {
            format!(
                "{}-····",
                number.locator.as_str().split_at_checked(3).map_or_else(String::new, |(a, b)| format!("{a}-{b}"))
            )
        },
        |own| own.number.reveal(),
    );
    ui.horizontal(|ui| {
        ui.label(RichText::new(&digits).monospace().size(20.0).strong());
        let (word, ground) = state(scene, number.state);
        badge(ui, &word, ground);
        if number.state == ReceptionState::Issued {
            let left = minutes(number.secs_left(scene.now_ms));
            ui.label(RichText::new(scene.fill("home.left", &[("time", &left)])).color(colour::TEXT_QUIET));
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if number.own.is_some() {
                let open = scene.say("home.open_number");
                if widget::link(ui, &open).clicked() {
                    wishes.push(Wish::ShowNumber(number.reception_id));
                }
            } else if widget::link(ui, &scene.say("number.cancel")).clicked() {
                wishes.push(Wish::Cancel(number.reception_id));
            }
        });
    });
    if number.own.is_none() {
        ui.label(RichText::new(scene.say("home.not_here")).small().color(colour::TEXT_QUIET));
    } else if !number.reason.is_empty() {
        ui.label(RichText::new(&number.reason).small().color(colour::TEXT_QUIET));
    }
}

fn history(ui: &mut Ui, scene: &Scene<'_>, wishes: &mut Vec<Wish>) {
    ui.set_width(ui.available_width());
    ui.horizontal(|ui| {
        widget::heading(ui, &scene.say("home.history_title"));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if widget::link(ui, &scene.say("home.refresh")).clicked() {
                wishes.push(Wish::Refresh);
            }
        });
    });
    let Some(sessions) = &scene.app.history else {
        widget::explain(ui, &scene.say("home.history_loading"));
        return;
    };
    if sessions.is_empty() {
        widget::explain(ui, &scene.say("home.no_history"));
        return;
    }
    ui.add_space(look::GAP);
    Grid::new("history").num_columns(4).spacing([36.0, 10.0]).striped(true).min_col_width(140.0).show(ui, |ui| {
        for id in ["home.when", "home.duration", "home.how", "home.reason_short"] {
            ui.label(RichText::new(scene.say(id)).small().color(colour::TEXT_QUIET));
        }
        ui.end_row();
        for session in sessions.iter().take(SESSIONS_SHOWN) {
            row(ui, scene, session);
            ui.end_row();
        }
    });
}

fn row(ui: &mut Ui, scene: &Scene<'_>, session: &SessionBody) {
    ui.label(local_time(session.entered_at_ms, scene.zone));
    ui.label(session.duration_ms.map_or_else(|| "—".to_owned(), duration));
    let how = match (session.state, session.end_reason) {
        (SessionState::Ended, Some(reason)) => scene.say(&format!("ended.{}", reason.as_str())),
        (SessionState::Ended, None) => "—".to_owned(),
        (SessionState::Joining | SessionState::Proving | SessionState::Consenting | SessionState::Connected, _) => {
            scene.say("home.running")
        }
    };
    ui.label(how);
    let reason = if session.reason.is_empty() { "—" } else { &session.reason };
    ui.add(egui::Label::new(reason).truncate());
}
