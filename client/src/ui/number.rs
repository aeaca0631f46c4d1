//! The number page.

use desk::{
    look::{GAP, GAP_LARGE, colour, widget},
    text::Catalogue,
};
use egui::{
    FontFamily, FontId, Key, Margin, RichText, TextEdit, Ui,
    text::{CCursor, CCursorRange},
};

use super::Did;
use crate::app::{App, Event, Trouble, digits, grouped};

pub(super) fn draw(ui: &mut Ui, app: &App, trouble: Option<Trouble>, text: &Catalogue, did: &mut Vec<Did>) {
    ui.add_space(GAP_LARGE);
    let heading = widget::heading(ui, &text.say("number.heading", &[]));
    widget::explain(ui, &text.say("number.explain", &[]));
    ui.add_space(GAP_LARGE);
    let typed = field(ui, app, text, heading.id, did);
    ui.add_space(GAP);
    if let Some(trouble) = trouble {
        let id = match trouble {
            Trouble::TooShort => "too_short",
            Trouble::Failed(code) => code,
        };
        widget::error(ui, &text.say(&format!("trouble.{id}"), &[]));
        ui.add_space(GAP);
    }
    let clicked = widget::primary(ui, &text.say("number.connect", &[])).clicked();
    if clicked || typed {
        did.push(Did::App(Event::Connect));
    }
    ui.add_space(GAP_LARGE * 1.5);
    widget::warning(ui, &text.say("number.scam", &[]));
}

/// The number field; true when Return was pressed in it.
fn field(ui: &mut Ui, app: &App, text: &Catalogue, heading: egui::Id, did: &mut Vec<Did>) -> bool {
    let mut typed = app.typed().to_owned();
    let font = FontId::new(48.0, FontFamily::Monospace);
    let edit = TextEdit::singleline(&mut typed)
        .id_salt("number")
        .font(font.clone())
        .hint_text(RichText::new("000-000-0000").font(font).color(colour::EDGE_STRONG))
        .margin(Margin::symmetric(20, 14))
        .desired_width(f32::INFINITY);
    let mut output = edit.show(ui);
    let response = output.response.response.clone();
    let label = text.say("number.field", &[]);
    response.widget_info(|| egui::WidgetInfo::labeled(egui::accesskit::Role::TextInput, true, &label));
    ui.ctx().accesskit_node_builder(response.id, |node| node.push_labelled_by(heading.accesskit_id()));
    if response.changed() {
        let shown = grouped(&typed);
        if let Some(cursor) = output.cursor_range {
            let place = place_after(&shown, digits_before(&typed, cursor.primary.index.into()));
            output.state.cursor.set_char_range(Some(CCursorRange::one(CCursor::new(place))));
            output.state.store(ui.ctx(), response.id);
        }
        did.push(Did::App(Event::Typed(typed)));
    }
    // Asked before the field takes the keyboard back, after which it has not lost it.
    let entered = response.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter));
    if !response.has_focus() && ui.memory(|memory| memory.focused().is_none()) {
        response.request_focus();
    }
    entered
}

/// Digits before a place, counted in characters.
fn digits_before(typed: &str, place: usize) -> usize {
    digits(&typed.chars().take(place).collect::<String>()).count()
}

/// The place behind so many digits, counted in characters; behind a hyphen that follows, so that typing goes on there.
fn place_after(shown: &str, digits: usize) -> usize {
    let mut seen = 0usize;
    for (place, c) in shown.chars().enumerate() {
        if seen == digits && c != '-' {
            return place;
        }
        if c != '-' {
            seen = seen.saturating_add(1);
        }
    }
    shown.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_stays_behind_the_same_digit_when_hyphens_come_and_go() {
        let shown = grouped("4129053381");
        assert_eq!(place_after(&shown, digits_before("4129", 4)), 5);
        assert_eq!(place_after("412-9", digits_before("4129", 4)), 5);
        assert_eq!(place_after(&shown, 3), 4);
        assert_eq!(place_after(&shown, 0), 0);
        assert_eq!(place_after(&shown, 10), 12);
        assert_eq!(place_after("", 0), 0);
    }
}
