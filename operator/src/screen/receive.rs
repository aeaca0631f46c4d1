//! Update in, acknowledgement out: what the session does with everything the customer says about the screen.
//!
//! Guarantees: every update is acknowledged, also one that does not decode, so that the customer's pace is not lost;
//! a picture that is not exact is asked for again, at most [`RESETS_MAX`] times in a row.
//! Picture walk: before `proto/link` (sealed), after `operator/src/screen/canvas.rs`.

use proto::{
    message::{Message, ScreenAck},
    screen::cursor::CursorShape,
};
use tokio::time::Instant;
use tracing::{debug, warn};

use super::{Changed, Screen, Shown, canvas::Check};

/// Pictures asked for again without one that was exact in between; more means that the other side is broken.
pub const RESETS_MAX: u32 = 8;

/// Receives the screen of one session.
pub struct Receiver {
    screen: Screen,
    resets: u32,
}

/// What came of one message.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// What to say to the customer, in order.
    pub replies: Vec<Message>,
    /// The update, if one was applied.
    pub changed: Option<Changed>,
    /// The first picture, width and height.
    pub first_picture: Option<(u16, u16)>,
    /// Too many pictures in a row were not exact.
    pub hopeless: bool,
}

impl Receiver {
    /// A receiver for a new session.
    pub const fn new(screen: Screen) -> Self {
        Self { screen, resets: 0 }
    }

    /// Applies one update that arrived at `started`.
    pub fn on_screen(&mut self, bytes: &[u8], started: Instant, clock: impl Fn() -> Instant) -> Received {
        let screen = self.screen.clone();
        let mut shown = screen.lock();
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        shown.figures.screen_bytes = shown.figures.screen_bytes.saturating_add(len);
        let was_empty = shown.canvas.picture().is_none();
        let applied = match shown.canvas.apply(bytes) {
            Ok(Some(applied)) => applied,
            Ok(None) => {
                return Received { replies: vec![ack(&shown, 0)], ..Received::default() };
            }
            Err(error) => {
                warn!(event = "screen.broken", reason = %error, "A screen update does not decode; asking for a new one");
                let replies = vec![ack(&shown, 0), Message::ResetScreen];
                return Received { replies, hopeless: self.count_reset(), ..Received::default() };
            }
        };
        let at = clock();
        let decode_us = at.saturating_duration_since(started).as_micros();
        let decode_us = u32::try_from(decode_us).unwrap_or(u32::MAX);
        shown.figures.updates = shown.figures.updates.saturating_add(1);
        shown.figures.decode_us_sum = shown.figures.decode_us_sum.saturating_add(u64::from(decode_us));
        shown.last_update = applied.update;
        shown.touch(applied.reset, &applied.changed);
        let first_picture =
            shown.canvas.picture().filter(|_| was_empty).map(|picture| (picture.width(), picture.height()));
        let mut replies = vec![ack(&shown, decode_us)];
        let answer = self.answered(shown.canvas.answer());
        replies.extend(answer.replies);
        let changed = Some(Changed { update: applied.update, bytes: len, rects: applied.changed, at });
        Received { replies, changed, first_picture, hopeless: answer.hopeless }
    }

    /// Compares the canvas with the customer's hash, now or when its update has come.
    pub fn on_check(&mut self, update: u64, hash: u64) -> Received {
        let checked = self.screen.lock().canvas.check(Check { update, hash });
        self.answered(checked)
    }

    /// Takes a pointer shape.
    pub fn on_cursor_shape(&self, shape: CursorShape) {
        let cursor = &mut self.screen.lock().cursor;
        cursor.shape = Some(shape);
        cursor.shape_count = cursor.shape_count.saturating_add(1);
    }

    /// Takes a pointer position.
    pub fn on_cursor_position(&self, x: i32, y: i32, visible: bool) {
        let cursor = &mut self.screen.lock().cursor;
        (cursor.x, cursor.y, cursor.visible) = (x, y, visible);
    }

    fn answered(&mut self, checked: Option<super::canvas::Checked>) -> Received {
        let Some(checked) = checked else { return Received::default() };
        let mut replies = vec![Message::Checked { update: checked.update, exact: checked.exact }];
        let mut hopeless = false;
        if checked.exact {
            self.resets = 0;
            debug!(event = "screen.exact", "The canvas is exact");
        } else {
            warn!(event = "screen.differs", "The canvas is not exact; asking for a new picture");
            replies.push(Message::ResetScreen);
            hopeless = self.count_reset();
        }
        Received { replies, hopeless, ..Received::default() }
    }

    fn count_reset(&mut self) -> bool {
        self.resets = self.resets.saturating_add(1);
        RESETS_MAX < self.resets
    }
}

fn ack(shown: &Shown, decode_us: u32) -> Message {
    Message::ScreenAck(ScreenAck { update: shown.last_update, bytes_total: shown.figures.screen_bytes, decode_us })
}
