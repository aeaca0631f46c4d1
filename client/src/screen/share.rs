//! The loop of the screen thread.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use proto::{
    message::Monitor,
    screen::{Damage, EncodeOptions, EncodedUpdate, Encoder, cursor::CursorShape},
};
use tokio::sync::mpsc;

use super::{
    Orders, ScreenNews,
    capture::{Capture, CaptureError, Changed, Happened, Waker},
    lock,
    send::{Gate, Open},
};
use crate::consent::Permit;

/// Quiet time before photographs are refined and the picture is checked.
const SETTLE: Duration = Duration::from_millis(500);
/// While the screen never rests, a check this often.
const CHECK_EVERY: Duration = Duration::from_secs(5);
/// Shortest pause between two positions of the pointer: 60 a second.
const POSITION_EVERY: Duration = Duration::from_millis(16);
/// Shortest pause between two shapes of the pointer: a busy one turns without end, and a slow line has better to carry.
const SHAPE_EVERY: Duration = Duration::from_millis(100);

/// Everything the thread owns.
pub(super) struct Share {
    capture: Box<dyn Capture>,
    permit: Permit,
    orders: Arc<Mutex<Orders>>,
    news: mpsc::Sender<ScreenNews>,
    monitors: Vec<Monitor>,
    monitor: u8,
    sharing: bool,
    encoder: Encoder,
    gate: Gate,
    /// Something may look different from the last grab.
    drawn: bool,
    drawn_at: Instant,
    lossy: bool,
    update: u64,
    checked: u64,
    checked_at: Instant,
    pointer: Pointer,
}

/// What is still to be said about the pointer.
#[derive(Default)]
struct Pointer {
    shape_due: bool,
    position_due: bool,
    position_at: Option<Instant>,
    shape_at: Option<Instant>,
    shape: Option<CursorShape>,
    position: Option<(i32, i32, bool)>,
}

/// Why the loop ends.
enum Stop {
    /// Nobody listens any more.
    Gone,
    Failed(CaptureError),
}

impl From<CaptureError> for Stop {
    fn from(error: CaptureError) -> Self {
        Self::Failed(error)
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Share {
    pub(super) fn new(
        capture: Box<dyn Capture>,
        permit: Permit,
        orders: Arc<Mutex<Orders>>,
        news: mpsc::Sender<ScreenNews>,
        monitors: Vec<Monitor>,
    ) -> Self {
        let started = now();
        Self {
            capture,
            permit,
            orders,
            news,
            monitor: primary(&monitors),
            monitors,
            sharing: false,
            encoder: Encoder::new(EncodeOptions::default()),
            gate: Gate::new(),
            drawn: false,
            drawn_at: started,
            lossy: false,
            update: 0,
            checked: 0,
            checked_at: started,
            pointer: Pointer::default(),
        }
    }

    pub(super) fn waker(&self) -> Waker {
        self.capture.waker()
    }

    /// Runs until the session lets go or the display fails.
    pub(super) fn run(mut self) {
        if let Err(Stop::Failed(error)) = self.work() {
            // A session that is gone needs no reason.
            drop(self.news.blocking_send(ScreenNews::Failed(error)));
        }
    }

    fn work(&mut self) -> Result<(), Stop> {
        while self.take_orders()? {
            let timeout = self.step()?;
            let happened = self.capture.wait(timeout)?;
            self.note(happened)?;
        }
        Ok(())
    }

    /// Takes what the session wants; false when it wants the thread to end.
    fn take_orders(&mut self) -> Result<bool, Stop> {
        let (share, monitor, reset, acked, handed_over, quit) = {
            let mut orders = lock(&self.orders);
            let once = (orders.monitor.take(), std::mem::take(&mut orders.reset));
            let handed_over = std::mem::take(&mut orders.handed_over);
            (orders.share, once.0, once.1, orders.acked, handed_over, orders.quit)
        };
        if handed_over {
            self.gate.handed_over();
        }
        self.gate.acked(acked, now());
        if let Some(monitor) = monitor.filter(|id| *id != self.monitor && self.monitors.iter().any(|m| m.id == *id)) {
            self.monitor = monitor;
            self.begin()?;
        }
        if share != self.sharing || reset {
            self.sharing = share;
            self.begin()?;
        }
        Ok(!quit)
    }

    /// A new stream begins: everything is said again.
    fn begin(&mut self) -> Result<(), Stop> {
        self.encoder.reset();
        self.gate.forget();
        // What was sent before is void, so nothing of it is left to check.
        self.checked = self.update;
        self.lossy = false;
        self.pointer = Pointer { shape_due: true, position_due: true, ..Pointer::default() };
        self.touch();
        if self.sharing { self.tell(ScreenNews::Monitors(self.monitors.clone(), self.monitor)) } else { Ok(()) }
    }

    fn touch(&mut self) {
        self.drawn = true;
        self.drawn_at = now();
    }

    fn note(&mut self, happened: Happened) -> Result<(), Stop> {
        if happened.drawn {
            self.touch();
        }
        self.pointer.shape_due |= happened.cursor_shape;
        self.pointer.position_due |= happened.cursor_moved;
        if happened.monitors {
            self.monitors = self.capture.monitors()?;
            if !self.monitors.iter().any(|monitor| monitor.id == self.monitor) {
                self.monitor = primary(&self.monitors);
            }
            self.touch();
            if self.sharing {
                self.tell(ScreenNews::Monitors(self.monitors.clone(), self.monitor))?;
            }
        }
        Ok(())
    }

    /// Does what can be done now; answers how long nothing can be done.
    fn step(&mut self) -> Result<Option<Duration>, Stop> {
        if !self.sharing || !self.permit.may_see() {
            return Ok(None);
        }
        let pointer = self.point()?;
        let picture = self.picture()?;
        Ok([pointer, picture].into_iter().flatten().min())
    }

    /// One picture, one refinement or one check, if it is time.
    fn picture(&mut self) -> Result<Option<Duration>, Stop> {
        let at = now();
        let quiet = at.saturating_duration_since(self.drawn_at);
        let settled = self.gate.is_settled() && self.update != self.checked && !self.lossy;
        if settled && CHECK_EVERY <= at.saturating_duration_since(self.checked_at) {
            return self.check(at);
        }
        let wants = self.drawn || (self.lossy && SETTLE <= quiet);
        if wants {
            return match self.gate.open(at) {
                Open::Now => self.encode(at).map(|()| Some(Duration::ZERO)),
                Open::At(later) => Ok(Some(later.saturating_duration_since(at))),
                Open::Later => Ok(None),
            };
        }
        if settled && SETTLE <= quiet {
            return self.check(at);
        }
        // Something is left for the quiet time: a refinement, or a check once the acks are here.
        Ok((self.lossy || settled).then(|| SETTLE.saturating_sub(quiet)))
    }

    /// Grabs and encodes, or refines; hands the update over.
    fn encode(&mut self, at: Instant) -> Result<(), Stop> {
        let (update, captured_us) = if std::mem::take(&mut self.drawn) {
            let grab = match self.capture.grab(self.monitor) {
                Ok(grab) => grab,
                Err(CaptureError::NoSuchMonitor(_)) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let captured_us = micros_since(at);
            let damage = match &grab.changed {
                Changed::Unknown => Damage::Unknown,
                Changed::Rects(rects) => Damage::Rects(rects),
            };
            (self.encoder.encode(grab.picture, damage), Some(captured_us))
        } else {
            (self.encoder.refine(self.gate.budget(at)), None)
        };
        // A picture that cannot be encoded is tried again as a whole when something is drawn.
        let update = update.map_err(|error| Stop::Failed(CaptureError::Lost(error.to_string())))?;
        self.lossy = self.encoder.lossy_pending();
        let end = now();
        let cost = end.saturating_duration_since(at);
        {
            let mut orders = lock(&self.orders);
            let figures = &mut orders.figures;
            figures.updates += u64::from(update.is_some());
            if let Some(captured_us) = captured_us {
                figures.grabs += 1;
                figures.capture_us += captured_us;
            }
            figures.encode_us += micros(cost).saturating_sub(captured_us.unwrap_or(0));
        }
        if let Some(update) = update {
            return self.hand_over(update, cost, end);
        }
        self.gate.worked(cost, end);
        Ok(())
    }

    fn hand_over(&mut self, update: EncodedUpdate, cost: Duration, end: Instant) -> Result<(), Stop> {
        self.update = update.update;
        let bytes = u64::try_from(update.bytes.len()).unwrap_or(u64::MAX);
        self.gate.encoded(update.update, bytes, cost, end);
        self.tell(ScreenNews::Update(update))
    }

    fn check(&mut self, at: Instant) -> Result<Option<Duration>, Stop> {
        self.checked = self.update;
        self.checked_at = at;
        self.tell(ScreenNews::Check { update: self.update, hash: self.encoder.settled_hash() })?;
        // Something may have been drawn meanwhile: it must not wait for what is drawn after it.
        Ok(Some(Duration::ZERO))
    }

    /// Says what is new about the pointer; answers when more can be said.
    fn point(&mut self) -> Result<Option<Duration>, Stop> {
        let shape = self.point_shape()?;
        let position = self.point_position()?;
        Ok([shape, position].into_iter().flatten().min())
    }

    /// Says the newest shape, at most ten times a second.
    fn point_shape(&mut self) -> Result<Option<Duration>, Stop> {
        if !self.pointer.shape_due {
            return Ok(None);
        }
        let at = now();
        if let Some(last) = self.pointer.shape_at.filter(|last| at < *last + SHAPE_EVERY) {
            return Ok(Some((last + SHAPE_EVERY).saturating_duration_since(at)));
        }
        self.pointer.shape_due = false;
        self.pointer.shape_at = Some(at);
        let shape = self.capture.cursor_shape()?;
        if let Some(shape) = shape.filter(|shape| self.pointer.shape.as_ref() != Some(shape)) {
            self.pointer.shape = Some(shape.clone());
            self.tell(ScreenNews::CursorShape(shape))?;
        }
        Ok(None)
    }

    /// Says the newest position, at most 60 times a second.
    fn point_position(&mut self) -> Result<Option<Duration>, Stop> {
        if !self.pointer.position_due {
            return Ok(None);
        }
        let at = now();
        if let Some(last) = self.pointer.position_at.filter(|last| at < *last + POSITION_EVERY) {
            return Ok(Some((last + POSITION_EVERY).saturating_duration_since(at)));
        }
        self.pointer.position_due = false;
        self.pointer.position_at = Some(at);
        let (x, y) = self.capture.cursor_position()?;
        if let Some(monitor) = self.monitors.iter().find(|monitor| monitor.id == self.monitor) {
            let (x, y) = (x - monitor.x, y - monitor.y);
            let visible = (0..i32::from(monitor.width)).contains(&x) && (0..i32::from(monitor.height)).contains(&y);
            if self.pointer.position.replace((x, y, visible)) != Some((x, y, visible)) {
                self.tell(ScreenNews::CursorPosition { x, y, visible })?;
            }
        }
        Ok(None)
    }

    fn tell(&self, news: ScreenNews) -> Result<(), Stop> {
        self.news.blocking_send(news).map_err(|_nobody_listens| Stop::Gone)
    }
}

fn primary(monitors: &[Monitor]) -> u8 {
    monitors.iter().find(|monitor| monitor.primary).or(monitors.first()).map_or(0, |monitor| monitor.id)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn micros_since(start: Instant) -> u64 {
    micros(now().saturating_duration_since(start))
}

#[cfg(test)]
mod tests {
    use proto::{
        grant::{GrantKind, Grants},
        screen::Rect,
    };

    use super::*;
    use crate::{
        consent::Consent,
        screen::capture::synthetic::{Easel, Synthetic},
    };

    /// Once slept on: the check came first, answered "nothing to do", and the operator kept the old picture until
    /// something else was drawn.
    #[test]
    fn a_check_that_is_due_does_not_put_a_fresh_change_to_sleep() {
        let easel = Easel::new(128, 64).unwrap();
        let (mut share, mut news) = sharing(&easel);
        let first = newest_update(&mut news);
        share.gate.handed_over();
        share.gate.acked(first, now());
        easel.fill(Rect { x: 3, y: 3, width: 8, height: 8 }, [1, 2, 3]);
        share.touch();
        share.checked_at = now().checked_sub(CHECK_EVERY).unwrap();

        let Ok(wait) = share.step() else { panic!("the session is there and the display works") };

        assert!(matches!(news.try_recv(), Ok(ScreenNews::Check { update, .. }) if update == first));
        assert_eq!(wait, Some(Duration::ZERO), "the change would wait for what is drawn after it");
        assert!(share.drawn);
    }

    /// A share whose first picture is encoded.
    fn sharing(easel: &Easel) -> (Share, mpsc::Receiver<ScreenNews>) {
        let permit = Permit::none();
        let mut consent = Consent::new(Grants::NONE.with(GrantKind::View), permit.clone());
        consent.ask(GrantKind::View, String::new(), now());
        consent.answer(GrantKind::View, true, now());
        let (sender, news) = mpsc::channel(8);
        let orders = Arc::new(Mutex::new(Orders { share: true, ..Orders::default() }));
        let mut capture = Box::new(Synthetic::new(easel.clone()));
        let monitors = capture.monitors().unwrap();
        let mut share = Share::new(capture, permit, orders, sender, monitors);
        assert!(matches!(share.take_orders(), Ok(true)));
        assert!(matches!(share.step(), Ok(Some(Duration::ZERO))));
        (share, news)
    }

    fn newest_update(news: &mut mpsc::Receiver<ScreenNews>) -> u64 {
        loop {
            if let ScreenNews::Update(update) = news.try_recv().unwrap() {
                return update.update;
            }
        }
    }
}
