//! How the tools look: light, calm, large text, one accent, buttons that say what they do.
//!
//! Guarantees: every text colour has a contrast of at least 4.5:1 on every ground it is used on, every button is at
//! least 48 px high, and the focused control has a ring. Fonts are the system's, the Japanese one first, so that one
//! typeface draws both scripts.

pub mod colour;
pub mod widget;

use std::sync::Arc;

use egui::{
    Context, CornerRadius, FontFamily, FontId, Margin, Stroke, Style, TextStyle, Theme, Vec2, Visuals,
    epaint::text::{FallbackRequest, FontPriority, FontProvider as _, InsertFontFamily},
    style::{Selection, WidgetVisuals},
};
use egui_system_font_provider::SystemFontProvider;

/// Space between things that belong together.
pub const GAP: f32 = 8.0;
/// Space between groups.
pub const GAP_LARGE: f32 = 24.0;
/// Corner radius of buttons and cards.
pub const CORNER: u8 = 8;
/// Widest column of text, so that lines stay readable.
pub const COLUMN_WIDTH: f32 = 720.0;

/// Gives a context the fonts, the colours and the spacing of the tools. Called once for each context.
pub fn apply(ctx: &Context) {
    fonts(ctx);
    ctx.set_theme(Theme::Light);
    ctx.style_mut_of(Theme::Light, |style| {
        text_sizes(style);
        spacing(style);
        style.visuals = visuals();
    });
}

/// The Japanese system font serves both scripts; what it lacks comes from the other system fonts.
/// A machine without any fitting font shows boxes instead of letters, and never fails.
fn fonts(ctx: &Context) {
    ctx.set_missing_glyph_policy(egui::epaint::text::MissingGlyphPolicy::Tofu);
    let provider = Arc::new(SystemFontProvider::new().with_locale(Some("ja")));
    let wanted = FallbackRequest { cluster: "受", family: &FontFamily::Proportional };
    if let Some(mut font) = provider.font_for(&wanted) {
        font.families = [FontFamily::Proportional, FontFamily::Monospace]
            .map(|family| InsertFontFamily { family, priority: FontPriority::Highest })
            .into();
        ctx.add_font(font);
    }
    ctx.set_font_providers(vec![provider]);
}

fn text_sizes(style: &mut Style) {
    let proportional = |size| FontId::new(size, FontFamily::Proportional);
    style.text_styles = [
        (TextStyle::Small, proportional(15.0)),
        (TextStyle::Body, proportional(18.0)),
        (TextStyle::Button, proportional(18.0)),
        (TextStyle::Heading, proportional(28.0)),
        (TextStyle::Monospace, FontId::new(17.0, FontFamily::Monospace)),
    ]
    .into();
}

fn spacing(style: &mut Style) {
    style.spacing.item_spacing = Vec2::new(GAP, GAP);
    style.spacing.button_padding = Vec2::new(16.0, 10.0);
    style.spacing.interact_size = Vec2::new(48.0, 36.0);
    style.spacing.window_margin = Margin::same(24);
    style.interaction.selectable_labels = false;
    style.animation_time = 0.08;
}

fn visuals() -> Visuals {
    let mut visuals = Visuals::light();
    visuals.panel_fill = colour::GROUND;
    visuals.window_fill = colour::CARD;
    visuals.extreme_bg_color = colour::CARD;
    visuals.faint_bg_color = colour::GROUND;
    visuals.weak_text_color = Some(colour::TEXT_QUIET);
    visuals.warn_fg_color = colour::WARNING_TEXT;
    visuals.error_fg_color = colour::DANGER;
    visuals.hyperlink_color = colour::PRIMARY;
    visuals.selection = Selection { bg_fill: colour::SELECTION, stroke: Stroke::new(2.0, colour::PRIMARY) };
    visuals.window_corner_radius = CornerRadius::same(CORNER);
    let plain = |fill, edge| WidgetVisuals {
        bg_fill: fill,
        weak_bg_fill: fill,
        bg_stroke: Stroke::new(1.0, edge),
        corner_radius: CornerRadius::same(CORNER),
        fg_stroke: Stroke::new(1.5, colour::TEXT),
        expansion: 0.0,
    };
    visuals.widgets.noninteractive = plain(colour::CARD, colour::EDGE);
    visuals.widgets.inactive = plain(colour::CARD, colour::EDGE_STRONG);
    visuals.widgets.hovered = plain(colour::HOVER, colour::EDGE_STRONG);
    visuals.widgets.active = plain(colour::PRESSED, colour::EDGE_STRONG);
    visuals.widgets.open = plain(colour::HOVER, colour::EDGE_STRONG);
    visuals
}
