//! Capture and input on a real X server that the test starts for itself.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on says so")]

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use client::{
    consent::{Consent, Permit},
    input::{Hands as _, x11::X11Hands},
    screen::{
        Screen, ScreenNews,
        capture::{Capture, Changed, Happened, x11::X11},
    },
};
use proto::{
    grant::{GrantKind, Grants},
    input::Button,
    screen::{Decoder, PictureRef, Rect},
};
use x11rb::{
    COPY_DEPTH_FROM_PARENT, CURRENT_TIME,
    connection::Connection as _,
    protocol::{
        Event,
        xproto::{
            ChangeGCAux, ChangeWindowAttributesAux, ConnectionExt as _, CreateGCAux, CreateWindowAux, EventMask,
            Gcontext, InputFocus, Rectangle, Window, WindowClass,
        },
    },
    rust_connection::RustConnection,
    wrapper::ConnectionExt as _,
};

/// An X server of the test's own on a free display.
struct Display {
    server: Child,
    name: String,
}

impl Display {
    fn start() -> Self {
        let mut server = Command::new("Xvfb")
            .args(["-displayfd", "1", "-screen", "0", "800x600x24", "-nolisten", "tcp", "-noreset"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Xvfb is installed");
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { server, name: format!(":{}", line.trim()) }
    }

    fn capture(&self) -> X11 {
        X11::open(Some(&self.name)).unwrap()
    }

    fn hands(&self) -> X11Hands {
        X11Hands::open(Some(&self.name)).unwrap()
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }
}

/// A program that draws and takes keys.
struct Painter {
    connection: RustConnection,
    root: Window,
    window: Window,
    context: Gcontext,
}

impl Painter {
    fn start(display: &Display) -> Self {
        let (connection, screen) = x11rb::connect(Some(&display.name)).unwrap();
        let root = connection.setup().roots[screen].root;
        let (window, context) = (connection.generate_id().unwrap(), connection.generate_id().unwrap());
        let look = CreateWindowAux::new()
            .background_pixel(0x0020_4060)
            .override_redirect(1)
            .event_mask(EventMask::KEY_PRESS | EventMask::BUTTON_PRESS | EventMask::EXPOSURE);
        connection
            .create_window(COPY_DEPTH_FROM_PARENT, window, root, 0, 0, 800, 600, 0, WindowClass::INPUT_OUTPUT, 0, &look)
            .unwrap();
        connection.create_gc(context, window, &CreateGCAux::new()).unwrap();
        connection.map_window(window).unwrap();
        let painter = Self { connection, root, window, context };
        painter.next(|event| matches!(event, Event::Expose(_)));
        painter.connection.set_input_focus(InputFocus::PARENT, window, CURRENT_TIME).unwrap();
        painter.connection.sync().unwrap();
        painter
    }

    fn fill(&self, x: i16, y: i16, width: u16, height: u16, rgb: u32) {
        self.connection.change_gc(self.context, &ChangeGCAux::new().foreground(rgb)).unwrap();
        let rect = Rectangle { x, y, width, height };
        self.connection.poly_fill_rectangle(self.window, self.context, &[rect]).unwrap();
        self.connection.sync().unwrap();
    }

    /// The first event that is wanted; the test runner bounds the wait.
    fn next(&self, wanted: impl Fn(&Event) -> bool) -> Event {
        self.connection.flush().unwrap();
        loop {
            let event = self.connection.wait_for_event().unwrap();
            if wanted(&event) {
                return event;
            }
        }
    }

    fn next_keycode(&self) -> u8 {
        let event = self.next(|event| matches!(event, Event::KeyPress(_)));
        if let Event::KeyPress(press) = event { press.detail } else { panic!("{event:?}") }
    }
}

/// The colour of a pixel, as `0x00RRGGBB`.
fn pixel(picture: &PictureRef<'_>, x: usize, y: usize) -> u32 {
    let at = y * picture.stride + x * 4;
    let bytes: [u8; 4] = picture.bgrx[at..at + 4].try_into().unwrap();
    u32::from_le_bytes(bytes) & 0x00FF_FFFF
}

/// Waits until something that is wanted has happened.
fn wait(capture: &mut X11, wanted: impl Fn(&Happened) -> bool) {
    while !wanted(&capture.wait(Some(Duration::from_secs(10))).unwrap()) {}
}

#[test]
fn a_picture_is_what_a_program_has_drawn() {
    let display = Display::start();
    let painter = Painter::start(&display);
    painter.fill(100, 50, 30, 20, 0x00C0_1020);
    let mut capture = display.capture();
    let grab = capture.grab(0).unwrap();
    assert_eq!((grab.picture.width, grab.picture.height), (800, 600));
    for (x, y, colour) in
        [(99, 50, 0x0020_4060), (100, 50, 0x00C0_1020), (129, 69, 0x00C0_1020), (130, 70, 0x0020_4060)]
    {
        assert_eq!(pixel(&grab.picture, x, y), colour, "at {x},{y}");
    }
}

#[test]
fn only_what_is_drawn_is_reported_and_rest_is_silent() {
    let display = Display::start();
    let painter = Painter::start(&display);
    let mut capture = display.capture();
    assert_eq!(capture.grab(0).unwrap().changed, Changed::Unknown);
    capture.wait(Some(Duration::ZERO)).unwrap();
    assert_eq!(capture.wait(Some(Duration::ZERO)).unwrap(), Happened::default());
    assert_eq!(capture.grab(0).unwrap().changed, Changed::Rects(Vec::new()));
    painter.fill(10, 20, 30, 40, 0x00FF_FFFF);
    wait(&mut capture, |happened| happened.drawn);
    let drawn = Rect { x: 10, y: 20, width: 30, height: 40 };
    assert_eq!(capture.grab(0).unwrap().changed, Changed::Rects(vec![drawn]));
}

#[test]
fn another_thread_wakes_a_waiting_capture() {
    let display = Display::start();
    let mut capture = display.capture();
    capture.wait(Some(Duration::ZERO)).unwrap();
    let waker = capture.waker();
    let waking = std::thread::Builder::new().spawn(move || waker.wake()).unwrap();
    capture.wait(None).unwrap();
    waking.join().unwrap();
}

#[test]
fn the_pointer_has_a_shape_that_is_not_in_the_picture() {
    let display = Display::start();
    let painter = Painter::start(&display);
    let mut capture = display.capture();
    let before = capture.cursor_shape().unwrap();
    let font = painter.connection.generate_id().unwrap();
    let cursor = painter.connection.generate_id().unwrap();
    painter.connection.open_font(font, b"cursor").unwrap();
    painter.connection.create_glyph_cursor(cursor, font, font, 34, 35, 0xFFFF, 0, 0, 0, 0, 0).unwrap();
    let look = ChangeWindowAttributesAux::new().cursor(cursor);
    painter.connection.change_window_attributes(painter.window, &look).unwrap();
    painter.connection.sync().unwrap();
    wait(&mut capture, |happened| happened.cursor_shape);
    let shape = capture.cursor_shape().unwrap().expect("a small pointer is sent");
    assert_ne!(Some(&shape), before.as_ref());
    assert!(shape.is_valid() && 0 < shape.width && shape.bgra.iter().any(|byte| *byte != 0));
    let grab = capture.grab(0).unwrap();
    assert!((0..600).all(|y| (0..800).all(|x| pixel(&grab.picture, x, y) == 0x0020_4060)));
}

#[test]
fn the_pointer_moves_are_reported_and_land_where_the_operator_points() {
    let display = Display::start();
    let painter = Painter::start(&display);
    let mut capture = display.capture();
    let mut hands = display.hands();
    hands.point(321, 123).unwrap();
    wait(&mut capture, |happened| happened.cursor_moved);
    assert_eq!(capture.cursor_position().unwrap(), (321, 123));
    hands.button(Button::Right, true).unwrap();
    let press = painter.next(|event| matches!(event, Event::ButtonPress(_)));
    assert!(matches!(press, Event::ButtonPress(press) if press.detail == 3 && press.root_x == 321), "{press:?}");
    hands.button(Button::Right, false).unwrap();
    hands.wheel(0, 1).unwrap();
    let turned = painter.next(|event| matches!(event, Event::ButtonPress(_)));
    assert!(matches!(turned, Event::ButtonPress(press) if press.detail == 5), "down is down: {turned:?}");
}

#[test]
fn two_monitors_are_two_pictures() {
    let display = Display::start();
    let painter = Painter::start(&display);
    painter.fill(500, 100, 10, 10, 0x0000_FF00);
    let mut capture = display.capture();
    capture.wait(Some(Duration::ZERO)).unwrap();
    for (name, output, geometry) in
        [("left", "screen", "400/100x600/150+0+0"), ("right", "none", "400/100x600/150+400+0")]
    {
        let status = Command::new("xrandr")
            .args(["--display", &display.name, "--setmonitor", name, geometry, output])
            .status()
            .expect("xrandr is installed");
        assert!(status.success());
    }
    // The display says nothing of such monitors; they are found while something is drawn.
    while !capture.wait(Some(Duration::from_millis(50))).unwrap().monitors {
        painter.fill(0, 0, 1, 1, 0x0020_4060);
        capture.grab(0).unwrap();
    }
    let monitors = capture.monitors().unwrap();
    let places: Vec<_> = monitors.iter().map(|m| (m.name.as_str(), m.x, m.y, m.width, m.height)).collect();
    assert_eq!(places, [("left", 0, 0, 400, 600), ("right", 400, 0, 400, 600)]);
    let grab = capture.grab(monitors[1].id).unwrap();
    assert_eq!(pixel(&grab.picture, 100, 100), 0x0000_FF00);
    assert_eq!(pixel(&grab.picture, 99, 100), 0x0020_4060);
    painter.fill(10, 10, 5, 5, 0x00FF_0000);
    assert_eq!(capture.grab(monitors[1].id).unwrap().changed, Changed::Rects(Vec::new()), "drawn on the other one");
}

#[test]
fn keys_arrive_as_places_on_the_keyboard() {
    let display = Display::start();
    let painter = Painter::start(&display);
    let mut hands = display.hands();
    for evdev in [30, 28, 103] {
        hands.key(evdev, true).unwrap();
        hands.key(evdev, false).unwrap();
        assert_eq!(u16::from(painter.next_keycode()), evdev + 8);
    }
}

#[test]
fn a_text_with_kana_kanji_and_signs_arrives_in_a_terminal() {
    let display = Display::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("typed");
    let script = format!("printf ready > '{0}.ready'; IFS= read -r line; printf %s \"$line\" > '{0}'", file.display());
    let mut terminal = Command::new("xterm")
        .args(["-display", &display.name, "-u8", "-e", "sh", "-c", &script])
        .env("LC_ALL", "C.UTF-8")
        .spawn()
        .expect("xterm is installed");
    let ready = folder.path().join("typed.ready");
    let (connection, screen) = x11rb::connect(Some(&display.name)).unwrap();
    let root = connection.setup().roots[screen].root;
    // The terminal's window is there when it has drawn; its shell when it says so.
    let mut capture = display.capture();
    while !ready.exists() {
        capture.wait(Some(Duration::from_millis(100))).unwrap();
        capture.grab(0).unwrap();
    }
    let window = *connection.query_tree(root).unwrap().reply().unwrap().children.last().expect("a window");
    connection.set_input_focus(InputFocus::PARENT, window, CURRENT_TIME).unwrap();
    connection.sync().unwrap();
    let text = "Hello, こんにちは 世界 ~!?";
    let mut hands = display.hands();
    hands.text(text).unwrap();
    hands.key(28, true).unwrap();
    hands.key(28, false).unwrap();
    assert!(terminal.wait().unwrap().success());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
}

#[tokio::test]
async fn the_screen_thread_sends_what_the_display_shows_and_then_rests() {
    let display = Display::start();
    let painter = Painter::start(&display);
    let permit = Permit::none();
    let name = display.name.clone();
    let make = Box::new(move || Ok(Box::new(X11::open(Some(&name))?) as Box<dyn Capture>));
    let (screen, monitors, mut news) = Screen::start(make, permit.clone()).await.unwrap();
    assert_eq!(monitors.len(), 1);
    let mut consent = Consent::new(Grants::NONE.with(GrantKind::View), permit);
    let now = tokio::time::Instant::now().into_std();
    consent.ask(GrantKind::View, String::new(), now);
    consent.answer(GrantKind::View, true, now);
    screen.share(true);
    let mut decoder = Decoder::new();
    let mut colours = [0x00AA_0000, 0x0000_AA00].into_iter();
    let settled = loop {
        match news.recv().await.unwrap() {
            ScreenNews::Update(update) => {
                screen.handed_over();
                screen.acked(decoder.apply(&update.bytes).unwrap().update);
            }
            ScreenNews::Check { hash, .. } => {
                assert_eq!(decoder.picture().unwrap().hash(), hash);
                match colours.next() {
                    Some(colour) => painter.fill(40, 40, 100, 100, colour),
                    None => break hash,
                }
            }
            ScreenNews::Failed(error) => panic!("{error}"),
            ScreenNews::Monitors(..) | ScreenNews::CursorShape(_) | ScreenNews::CursorPosition { .. } => {}
        }
    };
    let mut other = display.capture();
    let grab = other.grab(0).unwrap();
    let mut encoder = proto::screen::Encoder::new(proto::screen::EncodeOptions::default());
    encoder.encode(grab.picture, proto::screen::Damage::Unknown).unwrap();
    assert_eq!(encoder.settled_hash(), settled, "another capture sees the same");
    assert_ne!(painter.root, painter.window);
}
