//! The customer's screen with its tool bar.

use desk::look::{self, colour, widget};
use egui::{
    Align, Align2, Button, CentralPanel, Color32, ComboBox, Context, CornerRadius, CursorIcon, Event, FontId, Frame,
    IMEPurpose, Id, Key, Layout, Margin, MouseWheelUnit, Panel, PointerButton, Pos2, Rect, Response, RichText,
    ScrollArea, Sense, Stroke, TextEdit, Ui, Vec2, ViewportCommand, output::IMEOutput, vec2,
};
use link::transport::Transport;
use proto::{grant::GrantKind, input::Button as PointerKind, limits, message::Monitor};

use super::{Scene, badge, device};
use crate::{
    app::{Session, event::Wish},
    input::{capture::Capture, collect::Act, queue::Queue},
    screen::{
        Exactness,
        paint::{Painter, Placement, Scale},
    },
    session::Handle,
    text::duration,
};

/// The customer's pointer is drawn when it is this far from the operator's own, in pixels of the picture.
const OTHER_POINTER: u16 = 24;
/// Around the picture, and over it while the customer shows nothing.
const COVER: Color32 = Color32::from_rgb(0x20, 0x26, 0x2E);

/// What a dialog has besides its scrolled part, with room around it, points.
const DIALOG_REST: f32 = 260.0;

/// What the page remembers between two frames.
#[derive(Default)]
pub(super) struct Bar {
    scale: Scale,
    full: bool,
    scroll: Vec2,
    painter: Painter,
    of: Option<proto::id::SessionId>,
    asking: Option<String>,
    ending: bool,
    details: bool,
    pointer: Option<(u16, u16)>,
}

/// Where pointer and wheel go.
struct Hands<'a> {
    capture: &'a Capture,
    queue: &'a Queue,
    monitor: u8,
}

impl Bar {
    pub(super) fn show(
        &mut self,
        ui: &mut Ui,
        scene: &Scene<'_>,
        handle: Option<&Handle>,
        capture: &Capture,
        wishes: &mut Vec<Wish>,
    ) {
        let (Some(session), Some(handle)) = (&scene.app.session, handle) else { return };
        if self.of != Some(session.id) {
            let scale = self.scale;
            *self = Self { scale, of: Some(session.id), ..Self::default() };
        }
        if capture.is_on() && !session.has_control() {
            capture.stop();
        }
        if !self.full || !capture.is_on() {
            Panel::top("tools").frame(bar_frame()).show(ui, |ui| self.tools(ui, scene, session, handle, wishes));
            Panel::bottom("hint").frame(bar_frame()).show(ui, |ui| hint(ui, scene, session, capture));
        }
        CentralPanel::default()
            .frame(Frame::new().fill(COVER))
            .show(ui, |ui| self.screen(ui, scene, session, handle, capture));
        self.ask_dialog(ui.ctx(), scene, wishes);
        self.end_dialog(ui.ctx(), scene, wishes);
        if self.details {
            self.details_dialog(ui.ctx(), scene, session, wishes);
        }
    }

    /// Leaves full screen and forgets the picture when another page is shown.
    pub(super) fn leave(&mut self, ctx: &Context) {
        if self.full {
            ctx.send_viewport_cmd(ViewportCommand::Fullscreen(false));
        }
        if self.of.is_some() {
            *self = Self { scale: self.scale, ..Self::default() };
        }
    }

    fn tools(&mut self, ui: &mut Ui, scene: &Scene<'_>, session: &Session, handle: &Handle, wishes: &mut Vec<Wish>) {
        ui.horizontal(|ui| {
            for (scale, id) in [(Scale::Fit, "session.fit"), (Scale::Whole, "session.whole")] {
                if tool(ui, &scene.say(id), self.scale == scale).clicked() {
                    (self.scale, self.scroll) = (scale, Vec2::ZERO);
                }
            }
            if tool(ui, &scene.say("session.full"), self.full).clicked() {
                self.full = !self.full;
                ui.ctx().send_viewport_cmd(ViewportCommand::Fullscreen(self.full));
            }
            if 1 < session.monitors.len() {
                monitors(ui, scene, session, wishes);
            }
            ui.separator();
            self.control(ui, scene, session);
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                if end_button(ui, &scene.say("session.end")).clicked() {
                    self.ending = true;
                }
                if tool(ui, &scene.say("session.details"), self.details).clicked() {
                    self.details = !self.details;
                }
                meters(ui, scene, handle);
            });
        });
    }

    fn control(&mut self, ui: &mut Ui, scene: &Scene<'_>, session: &Session) {
        if session.peer_restarted {
            badge(ui, &scene.say("session.peer_restarted"), colour::DANGER);
        }
        if session.switching {
            badge(ui, &scene.say("session.switching"), colour::DANGER);
        }
        if session.paused {
            badge(ui, &scene.say("session.paused"), colour::PAUSED);
        }
        if session.grants.has(GrantKind::Control) {
            badge(ui, &scene.say("session.controlling"), colour::CONTROLLING);
        } else if let Some(secs) = session.answer_secs_left(GrantKind::Control, scene.now_ms) {
            badge(ui, &scene.fill("session.asking_control", &[("secs", &secs.to_string())]), colour::PAUSED);
        } else {
            badge(ui, &scene.say("session.viewing"), colour::VIEWING);
            if tool(ui, &scene.say("session.ask_control"), false).clicked() {
                self.asking = Some(String::new());
            }
        }
    }

    fn screen(&mut self, ui: &mut Ui, scene: &Scene<'_>, session: &Session, handle: &Handle, capture: &Capture) {
        let area = ui.max_rect();
        let response = ui.interact(area, Id::unique("remote"), Sense::click_and_drag());
        response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, scene.say("session.screen")));
        let Some(size) = Painter::size(&handle.screen) else {
            centred(ui, area, &scene.say("session.no_picture"));
            return;
        };
        let placement = Placement::new(area, size, self.scale, ui.ctx().pixels_per_point(), self.scroll);
        let controls = session.has_control();
        if controls {
            let hands = Hands { capture, queue: &handle.queue, monitor: session.shared };
            // By keyboard or screen reader; with the pointer it is captured by then.
            if response.clicked() && !capture.is_on() {
                capture.start(&handle.queue);
            }
            self.collect(ui, &response, &placement, &hands);
        }
        if !capture.is_on() {
            self.scroll_by_wheel(ui, &response);
        }
        let elsewhere = self.pointer.is_none_or(|(x, y)| is_elsewhere(handle, x, y));
        let painter = ui.painter_at(area);
        self.painter.paint(&painter, &handle.screen, &placement, !controls || elsewhere);
        if session.paused {
            // The customer was told that nobody sees the screen now; that goes for the last picture, too.
            painter.rect_filled(area, 0.0, COVER);
            centred(ui, area, &scene.say("session.paused_long"));
        } else if !session.grants.has(GrantKind::View) {
            painter.rect_filled(area, 0.0, COVER);
            centred(ui, area, &scene.say("session.view_taken"));
        }
        if capture.is_on() {
            let edge = Stroke::new(3.0, colour::CONTROLLING);
            painter.rect_stroke(placement.rect.intersect(area), 0.0, edge, egui::StrokeKind::Inside);
            own_ime(ui, capture, area);
        }
    }

    /// Hands pointer and wheel over while the keyboard is captured; a click into the picture captures it.
    fn collect(&mut self, ui: &Ui, response: &Response, placement: &Placement, hands: &Hands<'_>) {
        let capture = hands.capture;
        let over = |place: Pos2| response.rect.contains(place) && response.contains_pointer();
        for event in ui.input(|input| input.events.clone()) {
            if let Event::PointerMoved(place) = event {
                self.point(place, placement, hands);
            } else if let Event::PointerButton { pos, button, pressed, .. } = event {
                if pressed && !capture.is_on() && over(pos) && placement.pixel_at(pos).is_some() {
                    capture.start(hands.queue);
                    response.request_focus();
                } else if pressed && capture.is_on() && !over(pos) {
                    capture.stop();
                }
                self.point(pos, placement, hands);
                if let Some(button) = pointer_kind(button) {
                    capture.act(Act::Button { button, pressed });
                }
            } else if let Event::MouseWheel { unit, delta, .. } = event
                && response.contains_pointer()
            {
                let points = unit == MouseWheelUnit::Point;
                let pages = if unit == MouseWheelUnit::Page { 10.0 } else { 1.0 };
                capture.act(Act::Wheel { by: (delta.x * pages, delta.y * pages), points });
            }
        }
        if capture.is_on() && response.hovered() {
            ui.ctx().set_cursor_icon(CursorIcon::Default);
        }
    }

    fn point(&mut self, place: Pos2, placement: &Placement, hands: &Hands<'_>) {
        if let Some((x, y)) = placement.pixel_at(place).filter(|_| hands.capture.is_on()) {
            self.pointer = Some((x, y));
            hands.capture.act(Act::Pointer { monitor: hands.monitor, x, y });
        }
    }

    fn scroll_by_wheel(&mut self, ui: &Ui, response: &Response) {
        self.pointer = None;
        if response.hovered() && self.scale == Scale::Whole {
            self.scroll -= ui.input(egui::InputState::smooth_scroll_delta);
            self.scroll -= response.drag_delta();
            self.scroll = self.scroll.max(Vec2::ZERO);
        }
    }

    fn ask_dialog(&mut self, ctx: &Context, scene: &Scene<'_>, wishes: &mut Vec<Wish>) {
        let Some(reason) = &mut self.asking else { return };
        let mut done = false;
        let (go, dismissed) = widget::dialog(ctx, Id::unique("ask"), 520.0, |ui| {
            widget::heading(ui, &scene.say("session.ask_title"));
            widget::explain(ui, &scene.say("session.ask_hint"));
            ui.add_space(look::GAP);
            let label = ui.label(scene.say("session.ask_reason"));
            let field = ui
                .add(
                    TextEdit::singleline(reason)
                        .char_limit(limits::REASON_LEN_MAX / 4)
                        .margin(Margin::symmetric(12, 10))
                        .desired_width(f32::INFINITY),
                )
                .labelled_by(label.id);
            let entered = field.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter));
            if ui.memory(|memory| memory.focused().is_none()) {
                field.request_focus();
            }
            ui.add_space(look::GAP_LARGE);
            ui.horizontal(|ui| {
                let go = widget::primary(ui, &scene.say("session.ask_go")).clicked() || entered;
                done |= widget::quiet(ui, &scene.say("session.cancel")).clicked();
                go
            })
            .inner
        });
        if go {
            wishes.push(Wish::Ask { kind: GrantKind::Control, reason: reason.trim().to_owned() });
        }
        if go || done || dismissed {
            self.asking = None;
        }
    }

    fn end_dialog(&mut self, ctx: &Context, scene: &Scene<'_>, wishes: &mut Vec<Wish>) {
        if !self.ending {
            return;
        }
        let mut done = false;
        let ((), dismissed) = widget::dialog(ctx, Id::unique("end"), 460.0, |ui| {
            widget::heading(ui, &scene.say("session.end_title"));
            widget::explain(ui, &scene.say("session.end_hint"));
            ui.add_space(look::GAP_LARGE);
            ui.horizontal(|ui| {
                if widget::danger(ui, &scene.say("session.end_go")).clicked() {
                    wishes.push(Wish::End);
                    done = true;
                }
                done |= widget::quiet(ui, &scene.say("session.cancel")).clicked();
            });
        });
        if done || dismissed {
            self.ending = false;
        }
    }

    fn details_dialog(&mut self, ctx: &Context, scene: &Scene<'_>, session: &Session, wishes: &mut Vec<Wish>) {
        let height_max = (ctx.content_rect().height() - DIALOG_REST).max(DIALOG_REST);
        let (closed, dismissed) = widget::dialog(ctx, Id::unique("details"), 520.0, |ui| {
            widget::heading(ui, &scene.say("session.details"));
            ui.add_space(look::GAP);
            ScrollArea::vertical().max_height(height_max).show(ui, |ui| {
                details(ui, scene, session);
                ui.add_space(look::GAP);
                device::show(ui, scene, session, wishes);
            });
            ui.add_space(look::GAP_LARGE);
            super::lone(ui, widget::quiet, &scene.say("session.close")).clicked()
        });
        if closed || dismissed {
            self.details = false;
        }
    }
}

fn details(ui: &mut Ui, scene: &Scene<'_>, session: &Session) {
    let time = session.connected_at_ms.map(|since| scene.now_ms.saturating_sub(since)).map(duration);
    let grants: Vec<_> = session.grants.iter().map(|kind| scene.grant(kind)).collect();
    let between = scene.say("session.and");
    let transport = session.transport.map(|transport| match transport {
        Transport::Quic => scene.say("session.transport_quic"),
        Transport::Tcp => scene.say("session.transport_tcp"),
    });
    for (id, value) in [
        ("session.safety_code", session.safety_code.clone()),
        ("session.grants", grants.join(&between)),
        ("session.since", time.unwrap_or_else(|| "—".to_owned())),
        ("session.transport", transport.unwrap_or_else(|| "—".to_owned())),
        ("session.reason", if session.reason.is_empty() { "—".to_owned() } else { session.reason.clone() }),
    ] {
        ui.label(RichText::new(scene.say(id)).small().color(colour::TEXT_QUIET));
        ui.label(RichText::new(value).size(20.0));
        ui.add_space(look::GAP);
    }
    widget::explain(ui, &scene.say("session.safety_hint"));
}

fn bar_frame() -> Frame {
    Frame::new().fill(colour::CARD).stroke(Stroke::new(1.0, colour::EDGE)).inner_margin(Margin::symmetric(12, 6))
}

/// A small button of the tool bar.
fn tool(ui: &mut Ui, text: &str, on: bool) -> Response {
    let (ground, ink) = if on { (colour::SELECTION, colour::TEXT) } else { (colour::CARD, colour::TEXT) };
    let response =
        ui.add(Button::new(RichText::new(text).size(16.0).color(ink)).fill(ground).min_size(vec2(44.0, 36.0)));
    widget::focus_ring(ui, &response);
    response
}

fn end_button(ui: &mut Ui, text: &str) -> Response {
    let caption = RichText::new(text).size(16.0).color(colour::TEXT_INVERSE);
    let button = Button::new(caption).fill(colour::DANGER).corner_radius(CornerRadius::same(look::CORNER));
    let response = ui.add(button.min_size(vec2(64.0, 36.0)));
    widget::focus_ring(ui, &response);
    response
}

fn monitors(ui: &mut Ui, scene: &Scene<'_>, session: &Session, wishes: &mut Vec<Wish>) {
    let name = |monitor: &Monitor| {
        let number = session.monitors.iter().position(|known| known.id == monitor.id).unwrap_or(0).saturating_add(1);
        let size = format!("{}×{}", monitor.width, monitor.height);
        scene.fill("session.monitor", &[("number", &number.to_string()), ("size", &size)])
    };
    let shared = session.monitors.iter().find(|monitor| monitor.id == session.shared);
    let caption = shared.map_or_else(|| "—".to_owned(), name);
    let label = scene.say("session.monitors");
    let combo = ComboBox::from_id_salt("monitors").selected_text(RichText::new(caption).size(16.0)).show_ui(ui, |ui| {
        for monitor in &session.monitors {
            if ui.selectable_label(monitor.id == session.shared, name(monitor)).clicked() {
                wishes.push(Wish::ChooseMonitor(monitor.id));
            }
        }
    });
    combo.response.on_hover_text(label);
}

/// Exactness and round trip; what was not measured is a dash.
fn meters(ui: &mut Ui, scene: &Scene<'_>, handle: &Handle) {
    let (exactness, round_trip) = {
        let shown = handle.screen.lock();
        (shown.canvas.exactness(), shown.figures.round_trip)
    };
    let time = round_trip.map_or_else(|| "—".to_owned(), |time| format!("{:.0} ms", time.as_secs_f64() * 1000.0));
    let quiet = |text: String| RichText::new(text).size(16.0).color(colour::TEXT_QUIET);
    ui.label(quiet(scene.fill("session.round_trip", &[("time", &time)])))
        .on_hover_text(scene.say("session.round_trip_hint"));
    ui.separator();
    let mark = match exactness {
        Exactness::Empty => return,
        Exactness::Exact => RichText::new(scene.say("session.exact")).size(16.0).color(colour::GOOD),
        Exactness::Refining => quiet(scene.say("session.refining")),
        Exactness::Unchecked => quiet(scene.say("session.unchecked")),
    };
    ui.label(mark).on_hover_text(scene.say("session.exact_hint"));
}

fn hint(ui: &mut Ui, scene: &Scene<'_>, session: &Session, capture: &Capture) {
    ui.horizontal(|ui| {
        let sentence = match (session.has_control(), capture.is_on()) {
            (false, _) if session.paused => scene.say("session.paused_long"),
            (true, true) => scene.say("session.captured"),
            (true, false) => scene.say("session.click_to_work"),
            (false, _) => scene.say("session.view_only"),
        };
        ui.label(RichText::new(sentence).size(15.0).color(colour::TEXT_QUIET));
        let refused = session.refused.filter(|(kind, _)| *kind == GrantKind::Control);
        if let Some((_, timed_out)) = refused {
            let id = if timed_out { "session.control_no_answer" } else { "session.control_refused" };
            ui.label(RichText::new(scene.say(id)).size(15.0).color(colour::DANGER));
        }
        if let Some(waiting) = scene.app.waiting.len().checked_sub(1) {
            let count = waiting.saturating_add(1).to_string();
            ui.label(
                RichText::new(scene.fill("session.others", &[("count", &count)])).size(15.0).color(colour::DANGER),
            );
        }
        if session.has_control() {
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                let mut own = capture.own_ime();
                if ui.checkbox(&mut own, RichText::new(scene.say("session.own_ime")).size(15.0)).changed() {
                    capture.set_own_ime(own);
                }
            });
        }
    });
}

/// Lets this machine's input method open its window beside the pointer.
fn own_ime(ui: &Ui, capture: &Capture, area: Rect) {
    if !capture.own_ime() {
        return;
    }
    let place = ui.input(|input| input.pointer.latest_pos()).unwrap_or_else(|| area.center());
    ui.ctx().output_mut(|output| {
        output.ime = Some(IMEOutput {
            purpose: IMEPurpose::Normal,
            rect: area,
            cursor_rect: Rect::from_min_size(place, vec2(1.0, 20.0)),
            should_interrupt_composition: false,
        });
    });
}

fn centred(ui: &Ui, area: Rect, text: &str) {
    ui.painter().text(area.center(), Align2::CENTER_CENTER, text, FontId::proportional(22.0), Color32::WHITE);
}

const fn pointer_kind(button: PointerButton) -> Option<PointerKind> {
    match button {
        PointerButton::Primary => Some(PointerKind::Left),
        PointerButton::Secondary => Some(PointerKind::Right),
        PointerButton::Middle => Some(PointerKind::Middle),
        PointerButton::Extra1 | PointerButton::Extra2 => None,
    }
}

/// Whether the customer's pointer is not where the operator's is.
fn is_elsewhere(handle: &Handle, x: u16, y: u16) -> bool {
    let shown = handle.screen.lock();
    let far = |own: u16, other: i32| u32::from(OTHER_POINTER) < i32::from(own).abs_diff(other);
    far(x, shown.cursor.x) || far(y, shown.cursor.y)
}
