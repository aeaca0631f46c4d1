//! The customer's screen on its way out: a thread that waits, grabs, encodes and hands over.
//!
//! Walk "a picture", hops 1 to 3: capture → changed pixels → encoded update; before it the display, after it
//! `session.rs`, which puts updates on the link. Acks come back the same way and open the gate (`send.rs`).
//! Guarantees: no grab and no encode while the permit does not allow seeing, while nothing was drawn, or while the
//! operator has not kept up; the newest picture is always the one that is encoded; a still screen costs nothing.

pub mod capture;
pub mod send;
mod share;

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

use proto::{
    message::Monitor,
    screen::{EncodedUpdate, cursor::CursorShape},
};
use tokio::sync::{mpsc, oneshot};

use self::{
    capture::{CaptureError, MakeCapture, Waker},
    share::Share,
};
use crate::consent::Permit;

/// News that wait for the session at most.
const NEWS_MAX: usize = 8;

/// The thread, seen from the session.
#[derive(Debug)]
pub struct Screen {
    orders: Arc<Mutex<Orders>>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

/// What the screen tells the session.
#[derive(Debug)]
pub enum ScreenNews {
    /// The monitors there are, and the one that is shared.
    Monitors(Vec<Monitor>, u8),
    /// An update to send; [`Screen::handed_over`] answers it.
    Update(EncodedUpdate),
    /// The settled picture after `update` has this hash.
    Check {
        /// Update after which the hash holds.
        update: u64,
        /// xxh3-64 of the picture.
        hash: u64,
    },
    /// The pointer has a new shape.
    CursorShape(CursorShape),
    /// The pointer moved, pixels of the shared monitor.
    CursorPosition {
        /// Pixels from the left edge.
        x: i32,
        /// Pixels from the top edge.
        y: i32,
        /// Whether it is on the shared monitor.
        visible: bool,
    },
    /// The display failed; nothing follows.
    Failed(CaptureError),
}

/// What the session wants, newest value wins.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent orders, not a state")]
struct Orders {
    share: bool,
    monitor: Option<u8>,
    reset: bool,
    acked: u64,
    handed_over: bool,
    quit: bool,
    figures: Figures,
}

/// Measured by the thread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Updates encoded.
    pub updates: u64,
    /// Pictures grabbed.
    pub grabs: u64,
    /// Microseconds of all grabs.
    pub capture_us: u64,
    /// Microseconds of all encodes.
    pub encode_us: u64,
}

impl Screen {
    /// Starts the thread. It shares nothing until [`Screen::share`]. Answers with the monitors.
    ///
    /// # Errors
    /// When the display cannot be opened.
    pub async fn start(
        make: MakeCapture,
        permit: Permit,
    ) -> Result<(Self, Vec<Monitor>, mpsc::Receiver<ScreenNews>), CaptureError> {
        let orders = Arc::new(Mutex::new(Orders::default()));
        let (news, received) = mpsc::channel(NEWS_MAX);
        let (ready, started) = oneshot::channel();
        let spawned = thread::Builder::new().name("screen".to_owned()).spawn({
            let orders = Arc::clone(&orders);
            move || {
                let opened = make().and_then(|mut capture| Ok((capture.monitors()?, capture)));
                let (monitors, capture) = match opened {
                    Ok(opened) => opened,
                    Err(error) => {
                        drop(ready.send(Err(error)));
                        return;
                    }
                };
                let share = Share::new(capture, permit, orders, news, monitors.clone());
                // A session that is gone already ends the thread with the first news.
                drop(ready.send(Ok((monitors, share.waker()))));
                share.run();
            }
        });
        let failed = |error: io::Error| CaptureError::Open(error.to_string());
        let thread = Some(spawned.map_err(failed)?);
        let (monitors, waker) =
            started.await.unwrap_or_else(|_gone| Err(CaptureError::Open("the thread is gone".to_owned())))?;
        Ok((Self { orders, waker, thread }, monitors, received))
    }

    /// Starts or stops sharing. Each start begins with a full picture.
    pub fn share(&self, share: bool) {
        self.order(|orders| orders.share = share);
    }

    /// Shares another monitor.
    pub fn choose(&self, monitor: u8) {
        self.order(|orders| orders.monitor = Some(monitor));
    }

    /// The next update is a full picture.
    pub fn reset(&self) {
        self.order(|orders| orders.reset = true);
    }

    /// The operator applied every update up to `update`.
    pub fn acked(&self, update: u64) {
        self.order(|orders| orders.acked = orders.acked.max(update));
    }

    /// The link has taken the newest update over.
    pub fn handed_over(&self) {
        self.order(|orders| orders.handed_over = true);
    }

    /// What was measured so far.
    pub fn figures(&self) -> Figures {
        lock(&self.orders).figures
    }

    fn order(&self, change: impl FnOnce(&mut Orders)) {
        change(&mut lock(&self.orders));
        self.waker.wake();
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.order(|orders| orders.quit = true);
        // Not joined here: the thread may be inside a grab, and the customer's "end" must not wait for it.
        drop(self.thread.take());
    }
}

fn lock(orders: &Mutex<Orders>) -> MutexGuard<'_, Orders> {
    orders.lock().unwrap_or_else(PoisonError::into_inner)
}
