//! The few widgets that both tools share: three kinds of buttons, cards, notices, the number in large digits.

use egui::{
    Align, Button, Color32, Context, CornerRadius, FontFamily, FontId, Frame, Id, InnerResponse, Layout, Margin, Modal,
    Response, RichText, Stroke, StrokeKind, TextStyle, TextWrapMode, Ui, Vec2, WidgetText, accesskit,
};

use super::{COLUMN_WIDTH, CORNER, colour};

/// Height of buttons that people shall find at once.
pub const BUTTON_HEIGHT: f32 = 52.0;
/// Smallest width of such a button.
pub const BUTTON_WIDTH: f32 = 176.0;

/// The fills of one kind of button: at rest, under the pointer, its text.
struct Fills {
    rest: Color32,
    hover: Color32,
    edge: Color32,
    text: Color32,
}

/// The button that goes on.
pub fn primary(ui: &mut Ui, text: &str) -> Response {
    let fills = Fills {
        rest: colour::PRIMARY,
        hover: colour::PRIMARY_HOVER,
        edge: colour::PRIMARY,
        text: colour::TEXT_INVERSE,
    };
    large(ui, text, &fills)
}

/// The button that ends something.
pub fn danger(ui: &mut Ui, text: &str) -> Response {
    let fills =
        Fills { rest: colour::DANGER, hover: colour::DANGER_HOVER, edge: colour::DANGER, text: colour::TEXT_INVERSE };
    large(ui, text, &fills)
}

/// The button beside them: back, copy, refuse.
pub fn quiet(ui: &mut Ui, text: &str) -> Response {
    let fills = Fills { rest: colour::CARD, hover: colour::HOVER, edge: colour::EDGE_STRONG, text: colour::TEXT };
    large(ui, text, &fills)
}

fn large(ui: &mut Ui, text: &str, fills: &Fills) -> Response {
    let response = ui
        .scope(|ui| {
            let widgets = &mut ui.visuals_mut().widgets;
            for (visuals, fill) in [
                (&mut widgets.inactive, fills.rest),
                (&mut widgets.hovered, fills.hover),
                (&mut widgets.active, fills.hover),
                (&mut widgets.noninteractive, fills.rest),
            ] {
                visuals.weak_bg_fill = fill;
                visuals.bg_stroke = Stroke::new(1.0, fills.edge);
                visuals.fg_stroke = Stroke::new(1.5, fills.text);
            }
            let caption = RichText::new(text).size(19.0);
            let padding = ui.spacing().button_padding.x * 2.0;
            let text_width = WidgetText::from(caption.clone())
                .into_galley(ui, Some(TextWrapMode::Extend), f32::INFINITY, TextStyle::Button)
                .size()
                .x;
            // Sized by hand, because only then is the caption in the middle in every layout.
            ui.add_sized(Vec2::new(BUTTON_WIDTH.max(text_width + padding), BUTTON_HEIGHT), Button::new(caption))
        })
        .inner;
    focus_ring(ui, &response);
    response
}

/// Draws a ring around the control that has the keyboard.
pub fn focus_ring(ui: &Ui, response: &Response) {
    if response.has_focus() {
        let ring = Stroke::new(3.0, colour::PRIMARY);
        ui.painter().rect_stroke(response.rect.expand(4.0), CornerRadius::same(CORNER + 3), ring, StrokeKind::Middle);
    }
}

/// A text as a link-like button, for the language switch and the like.
pub fn link(ui: &mut Ui, text: &str) -> Response {
    let response = ui.add(Button::new(RichText::new(text).color(colour::PRIMARY).underline()).frame(false));
    focus_ring(ui, &response);
    response
}

/// A white card with its own margin.
pub fn card<R>(ui: &mut Ui, add: impl FnOnce(&mut Ui) -> R) -> InnerResponse<R> {
    Frame::new()
        .fill(colour::CARD)
        .stroke(Stroke::new(1.0, colour::EDGE))
        .corner_radius(CornerRadius::same(CORNER + 4))
        .inner_margin(Margin::same(28))
        .show(ui, add)
}

/// A question over the page, with the margin of a card. Answers what `add` answers, and whether it was dismissed.
pub fn dialog<R>(ctx: &Context, id: Id, width: f32, add: impl FnOnce(&mut Ui) -> R) -> (R, bool) {
    let frame = Frame::new()
        .fill(colour::CARD)
        .stroke(Stroke::new(1.0, colour::EDGE))
        .corner_radius(CornerRadius::same(CORNER + 4))
        .inner_margin(Margin::same(28));
    let modal = Modal::new(id).frame(frame).show(ctx, |ui| {
        ui.set_width(width);
        add(ui)
    });
    let dismissed = modal.should_close();
    (modal.inner, dismissed)
}

/// A sentence that must be noticed, on warm ground; announced by screen readers when it appears.
pub fn warning(ui: &mut Ui, text: &str) -> Response {
    notice(ui, text, colour::WARNING_GROUND, colour::WARNING_EDGE, colour::WARNING_TEXT)
}

/// An error with what to do about it; announced by screen readers when it appears.
pub fn error(ui: &mut Ui, text: &str) -> Response {
    notice(ui, text, colour::ERROR_GROUND, colour::DANGER, colour::DANGER)
}

fn notice(ui: &mut Ui, text: &str, ground: Color32, edge: Color32, ink: Color32) -> Response {
    let label = Frame::new()
        .fill(ground)
        .stroke(Stroke::new(1.0, edge))
        .corner_radius(CornerRadius::same(CORNER))
        .inner_margin(Margin::symmetric(18, 14))
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            ui.label(RichText::new(text).color(ink))
        })
        .inner;
    ui.ctx().accesskit_node_builder(label.id, |node| node.set_live(accesskit::Live::Assertive));
    label
}

/// A reception number in large digits.
pub fn big_number(ui: &mut Ui, number: &str) -> Response {
    ui.label(RichText::new(number).font(FontId::new(68.0, FontFamily::Monospace)).color(colour::TEXT).strong())
}

/// A heading; screen readers meet it as one.
pub fn heading(ui: &mut Ui, text: &str) -> Response {
    let label = ui.label(RichText::new(text).heading().strong());
    ui.ctx().accesskit_node_builder(label.id, |node| node.set_role(accesskit::Role::Heading));
    label
}

/// Quiet text: explanations.
pub fn explain(ui: &mut Ui, text: &str) -> Response {
    ui.label(RichText::new(text).color(colour::TEXT_QUIET))
}

/// A readable column in the middle of the window.
pub fn column<R>(ui: &mut Ui, add: impl FnOnce(&mut Ui) -> R) -> R {
    let width = COLUMN_WIDTH.min(ui.available_width() - 48.0).max(240.0);
    ui.vertical_centered(|ui| {
        ui.set_max_width(width);
        ui.with_layout(Layout::top_down(Align::Min), add).inner
    })
    .inner
}
