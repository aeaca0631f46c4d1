//! The customer's screen at the operator: received, kept as a canvas, painted.
//!
//! One [`Screen`] is shared by the session (which applies updates) and the window (which paints): the lock is held for
//! one update or one upload, never across a wait.

pub mod canvas;
pub mod paint;
pub mod receive;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use proto::screen::{Rect, cursor::CursorShape};

use tokio::sync::watch;

use self::canvas::Canvas;

/// Rectangles remembered for the window; more mean the whole picture.
const DIRTY_MAX: usize = 256;

/// What is known about the canvas being equal to the customer's screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Exactness {
    /// Nothing is on the canvas.
    #[default]
    Empty,
    /// A newer picture has come since the last check.
    Unchecked,
    /// Photographs are still coarse.
    Refining,
    /// The hash of the whole picture was equal.
    Exact,
}

/// The customer's pointer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cursor {
    /// Its shape; changes are counted by `shape_count`.
    pub shape: Option<CursorShape>,
    /// Shapes received.
    pub shape_count: u64,
    /// Pixels from the left edge of the picture.
    pub x: i32,
    /// Pixels from the top edge of the picture.
    pub y: i32,
    /// Whether it is on this monitor and not hidden.
    pub visible: bool,
}

/// What was measured in this session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Bytes of screen messages.
    pub screen_bytes: u64,
    /// Updates applied.
    pub updates: u64,
    /// Sum of the decode times, microseconds.
    pub decode_us_sum: u64,
    /// Newest round trip from tool to tool.
    pub round_trip: Option<Duration>,
}

/// One update as it was applied, for programs that watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Its number.
    pub update: u64,
    /// Bytes of the message.
    pub bytes: u64,
    /// What changed, in pixels of the picture.
    pub rects: Vec<Rect>,
    /// When it was on the canvas.
    pub at: tokio::time::Instant,
}

/// The part that both threads see.
#[derive(Default)]
pub struct Shown {
    /// The picture.
    pub canvas: Canvas,
    /// The pointer.
    pub cursor: Cursor,
    /// Measurements.
    pub figures: Figures,
    /// Number of the update that was applied last; 0 before the first.
    pub last_update: u64,
    dirty: Dirty,
}

/// What the window must upload again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Dirty {
    /// Nothing.
    #[default]
    Clean,
    /// These rectangles.
    Rects(Vec<Rect>),
    /// All of it, perhaps with another size.
    All,
}

impl Shown {
    /// Takes what changed since the last call.
    pub fn take_dirty(&mut self) -> Dirty {
        std::mem::take(&mut self.dirty)
    }

    /// The customer's tool was started again: its picture and pointer begin anew, and the measurements go on.
    pub fn forget(&mut self) {
        let shape_count = self.cursor.shape_count.saturating_add(1);
        self.canvas = Canvas::default();
        self.cursor = Cursor { shape_count, ..Cursor::default() };
        (self.last_update, self.dirty) = (0, Dirty::All);
    }

    fn touch(&mut self, reset: bool, changed: &[Rect]) {
        if reset {
            self.dirty = Dirty::All;
            return;
        }
        match &mut self.dirty {
            Dirty::All => {}
            Dirty::Clean => self.dirty = Dirty::Rects(changed.to_vec()),
            Dirty::Rects(rects) if rects.len().saturating_add(changed.len()) <= DIRTY_MAX => {
                rects.extend_from_slice(changed);
            }
            Dirty::Rects(_) => self.dirty = Dirty::All,
        }
    }
}

/// The shared screen of one session.
#[derive(Clone, Default)]
pub struct Screen(Arc<Inner>);

#[derive(Default)]
struct Inner {
    shown: Mutex<Shown>,
    changes: watch::Sender<()>,
}

impl Screen {
    /// Locks it for one update or one upload.
    pub fn lock(&self) -> MutexGuard<'_, Shown> {
        self.0.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells those who wait that something was applied or checked.
    pub fn announce(&self) {
        self.0.changes.send_replace(());
    }

    /// Waits until the canvas is exact, for `limit` at most, and says whether it is.
    pub async fn exact_within(&self, limit: Duration) -> bool {
        let mut changes = self.0.changes.subscribe();
        let exact = async {
            while self.lock().canvas.exactness() != Exactness::Exact {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        // Out of time is an answer, too.
        drop(tokio::time::timeout(limit, exact).await);
        self.lock().canvas.exactness() == Exactness::Exact
    }
}
