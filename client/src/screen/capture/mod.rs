//! Where pictures come from: one trait, one file for each platform.
//!
//! Guarantees: a grab copies no more than the platform asks for, and tells what can have changed since the grab before;
//! waiting costs nothing while nothing happens and ends when somebody uses the [`Waker`].
//! The pointer is never part of a picture. A capture lives on one thread (`screen/mod.rs`).

pub mod synthetic;
#[cfg(target_os = "linux")]
pub mod x11;

use std::{fmt, sync::Arc, time::Duration};

use proto::{
    message::Monitor,
    screen::{PictureRef, Rect, cursor::CursorShape},
};

/// A source of pictures.
pub trait Capture {
    /// The monitors there are now, at least one, ids small and unique.
    ///
    /// # Errors
    /// See [`CaptureError`].
    fn monitors(&mut self) -> Result<Vec<Monitor>, CaptureError>;

    /// The picture of a monitor as it is now. What changed is counted from the grab before; a grab of another monitor
    /// or size knows nothing ([`Changed::Unknown`]).
    ///
    /// # Errors
    /// [`CaptureError::NoSuchMonitor`] after the monitors changed, and what else the platform reports.
    fn grab(&mut self, monitor: u8) -> Result<Grab<'_>, CaptureError>;

    /// Waits until something happens, somebody wakes it, or `timeout` is over; for ever when there is none.
    ///
    /// # Errors
    /// See [`CaptureError`].
    fn wait(&mut self, timeout: Option<Duration>) -> Result<Happened, CaptureError>;

    /// The shape of the pointer now; `None` when it is unknown or too large to send.
    ///
    /// # Errors
    /// See [`CaptureError`].
    fn cursor_shape(&mut self) -> Result<Option<CursorShape>, CaptureError>;

    /// Where the pointer is, in pixels of the desktop.
    ///
    /// # Errors
    /// See [`CaptureError`].
    fn cursor_position(&mut self) -> Result<(i32, i32), CaptureError>;

    /// Ends a [`Capture::wait`] from another thread.
    fn waker(&self) -> Waker;
}

/// Makes a capture on the thread it will live on.
pub type MakeCapture = Box<dyn FnOnce() -> Result<Box<dyn Capture>, CaptureError> + Send>;

/// One picture, borrowed from the capture's memory.
#[derive(Debug)]
pub struct Grab<'a> {
    /// The pixels.
    pub picture: PictureRef<'a>,
    /// What can have changed since the grab before.
    pub changed: Changed,
}

/// What can have changed between two grabs of the same monitor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// Anything.
    Unknown,
    /// Only this; nothing when empty.
    Rects(Vec<Rect>),
}

/// What happened while waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent news, not a state")]
pub struct Happened {
    /// Something was drawn.
    pub drawn: bool,
    /// The pointer has another shape.
    pub cursor_shape: bool,
    /// The customer moved the pointer.
    pub cursor_moved: bool,
    /// Monitors came, went or changed.
    pub monitors: bool,
}

/// Why there is no picture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CaptureError {
    /// No connection to the display.
    #[error("the display cannot be opened: {0}")]
    Open(String),
    /// The connection to the display is gone, or it refused a request.
    #[error("the display failed: {0}")]
    Lost(String),
    /// A display with pixels this tool does not know.
    #[error("the display has pixels of {0} bits")]
    PixelFormat(u8),
    /// No monitor with this id.
    #[error("there is no monitor {0}")]
    NoSuchMonitor(u8),
}

/// Wakes a waiting capture.
#[derive(Clone)]
pub struct Waker(Arc<dyn Fn() + Send + Sync>);

impl Waker {
    /// A waker that calls `wake`.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(wake))
    }

    /// Wakes.
    pub fn wake(&self) {
        (self.0)();
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waker(…)")
    }
}
