//! The being-viewed bar: a window of its own, without borders, above all others.
//!
//! It says who sees or works, since how many minutes, and has the three stops. Minutes, not seconds: the bar is part of
//! the shared screen, and a screen at rest shall cost nothing.

use std::time::Instant;

use desk::{
    look::{GAP, colour, widget},
    text::Catalogue,
};
use egui::{
    Align, Button, CentralPanel, Color32, CornerRadius, Frame, Label, Layout, Margin, Response, RichText, Sense,
    Stroke, Ui, Vec2, ViewportCommand,
};

use super::{Did, names};
use crate::app::{App, Event, Sharing};

/// Size of the bar.
pub const SIZE: [f32; 2] = [1040.0, 60.0];

/// How large the three stops are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    /// In the bar.
    Small,
    /// In the window.
    Large,
}

/// The text id of a state.
pub(super) const fn state_id(sharing: Sharing) -> &'static str {
    match sharing {
        Sharing::Viewing => "viewing",
        Sharing::Controlling => "controlling",
        Sharing::Paused => "paused",
    }
}

/// Draws the bar and says what the customer did. Draws nothing while the screen is not shared.
pub fn draw(ui: &mut Ui, app: &App, text: &Catalogue, now: Instant) -> Vec<Did> {
    let mut did = Vec::new();
    let Some(sharing) = app.sharing() else { return did };
    let fill = match sharing {
        Sharing::Viewing => colour::VIEWING,
        Sharing::Controlling => colour::CONTROLLING,
        Sharing::Paused => colour::PAUSED,
    };
    let frame = Frame::new().fill(fill).inner_margin(Margin::symmetric(16, 8));
    CentralPanel::default().frame(frame).show(ui, |ui| {
        let handle = ui.interact(ui.max_rect(), ui.scope_id().with("handle"), Sense::drag());
        if handle.drag_started() {
            ui.ctx().send_viewport_cmd(ViewportCommand::StartDrag);
        }
        // The stops first: a long name is cut, a stop never is.
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            buttons(ui, sharing, text, Size::Small, &mut did);
            ui.add_space(GAP);
            ui.with_layout(Layout::left_to_right(Align::Center), |ui| state(ui, app, sharing, text, now));
        });
    });
    did
}

fn state(ui: &mut Ui, app: &App, sharing: Sharing, text: &Catalogue, now: Instant) {
    let (company, operator) = names(app);
    let minutes = (app.shared_for(now).as_secs() / 60).to_string();
    let ink = colour::TEXT_INVERSE;
    lamp(ui, sharing);
    let id = if app.switching() { "switching" } else { state_id(sharing) };
    ui.label(RichText::new(text.say(&format!("sharing.{id}"), &[])).color(ink).strong());
    ui.add_space(GAP);
    ui.label(RichText::new(text.say("sharing.minutes", &[("minutes", &minutes)])).color(ink));
    ui.add_space(GAP);
    // The window may be behind others: whoever it was that came back, the customer sees it here.
    let id = if app.peer_restarted() { "sharing.restarted" } else { "sharing.who" };
    let who = text.say(id, &[("company", company), ("operator", operator)]);
    ui.add(Label::new(RichText::new(who).color(ink)).truncate());
}

/// A sign beside the words: a dot while seen, a full disc while worked on, two bars while paused.
fn lamp(ui: &mut Ui, sharing: Sharing) {
    let (rect, _) = ui.allocate_exact_size(Vec2::splat(20.0), Sense::hover());
    let painter = ui.painter();
    match sharing {
        Sharing::Viewing => {
            painter.circle_stroke(rect.center(), 8.0, Stroke::new(2.0, colour::TEXT_INVERSE));
            painter.circle_filled(rect.center(), 3.5, colour::TEXT_INVERSE);
        }
        Sharing::Controlling => {
            painter.circle_filled(rect.center(), 8.0, colour::TEXT_INVERSE);
        }
        Sharing::Paused => {
            for x in [-4.0, 4.0] {
                let bar = egui::Rect::from_center_size(rect.center() + Vec2::new(x, 0.0), Vec2::new(4.0, 14.0));
                painter.rect_filled(bar, CornerRadius::same(1), colour::TEXT_INVERSE);
            }
        }
    }
}

/// Pause or resume, take back control, end. In the bar they come from the right, so "end" is always at the edge.
pub(super) fn buttons(ui: &mut Ui, sharing: Sharing, text: &Catalogue, size: Size, did: &mut Vec<Did>) {
    let paused = sharing == Sharing::Paused;
    let pause_id = if paused { "sharing.resume" } else { "sharing.pause" };
    if size == Size::Small {
        if small(ui, &text.say("sharing.end", &[]), colour::DANGER).clicked() {
            did.push(Did::App(Event::End));
        }
        if small(ui, &text.say(pause_id, &[]), Color32::TRANSPARENT).clicked() {
            did.push(Did::App(Event::Pause(!paused)));
        }
        if sharing == Sharing::Controlling
            && small(ui, &text.say("sharing.take_back", &[]), Color32::TRANSPARENT).clicked()
        {
            did.push(Did::App(Event::TakeBackControl));
        }
        return;
    }
    if sharing == Sharing::Controlling && widget::primary(ui, &text.say("sharing.take_back", &[])).clicked() {
        did.push(Did::App(Event::TakeBackControl));
    }
    if widget::quiet(ui, &text.say(pause_id, &[])).clicked() {
        did.push(Did::App(Event::Pause(!paused)));
    }
    if widget::danger(ui, &text.say("sharing.end", &[])).clicked() {
        did.push(Did::App(Event::End));
    }
}

fn small(ui: &mut Ui, caption: &str, fill: Color32) -> Response {
    let button = Button::new(RichText::new(caption).color(colour::TEXT_INVERSE).strong())
        .fill(fill)
        .stroke(Stroke::new(1.5, colour::TEXT_INVERSE))
        .min_size(Vec2::new(96.0, 40.0));
    ui.add(button)
}
