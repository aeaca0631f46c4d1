//! A capture without a display: a picture that a test or a load generator draws on.
//!
//! Whoever holds the [`Easel`] draws; the capture reports exactly what was drawn.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use proto::{
    message::Monitor,
    screen::{Picture, PictureRef, Rect, SizeError, cursor::CursorShape},
};

use super::{Capture, CaptureError, Changed, Grab, Happened, Waker};

/// The id of the only monitor.
pub const MONITOR: u8 = 0;

/// Draws what a [`Synthetic`] captures.
#[derive(Debug, Clone)]
pub struct Easel(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    scene: Mutex<Scene>,
    happened: Condvar,
}

#[derive(Debug)]
struct Scene {
    picture: Picture,
    drawn: Vec<Rect>,
    news: Happened,
    woken: bool,
    grabs: u64,
}

/// The capture of an easel.
#[derive(Debug)]
pub struct Synthetic {
    easel: Easel,
    copy: Vec<u8>,
    grabbed_before: bool,
}

impl Easel {
    /// A picture with calm bands of colour.
    ///
    /// # Errors
    /// [`SizeError`] when the size is outside the limits.
    pub fn new(width: u16, height: u16) -> Result<Self, SizeError> {
        let mut picture = Picture::new(width, height)?;
        let band = (height / 8).max(1);
        for (index, y) in (0..height).step_by(usize::from(band)).enumerate() {
            let shade = u8::try_from(index * 24 % 200).unwrap_or(0);
            picture.fill(Rect { x: 0, y, width, height: band }, [shade.saturating_add(40), shade, 90]);
        }
        let scene = Scene { picture, drawn: Vec::new(), news: Happened::default(), woken: false, grabs: 0 };
        Ok(Self(Arc::new(Shared { scene: Mutex::new(scene), happened: Condvar::new() })))
    }

    /// Fills a rectangle with one colour (blue, green, red).
    pub fn fill(&self, rect: Rect, bgr: [u8; 3]) {
        let mut scene = self.scene();
        scene.picture.fill(rect, bgr);
        scene.drawn.push(rect);
        scene.news.drawn = true;
        self.0.happened.notify_all();
    }

    /// The picture as it is now.
    pub fn picture(&self) -> Picture {
        self.scene().picture.clone()
    }

    /// How often the capture took a picture.
    pub fn grabs(&self) -> u64 {
        self.scene().grabs
    }

    fn wake(&self) {
        self.scene().woken = true;
        self.0.happened.notify_all();
    }

    fn scene(&self) -> MutexGuard<'_, Scene> {
        self.0.scene.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Synthetic {
    /// Captures what `easel` draws.
    pub const fn new(easel: Easel) -> Self {
        Self { easel, copy: Vec::new(), grabbed_before: false }
    }
}

impl Capture for Synthetic {
    fn monitors(&mut self) -> Result<Vec<Monitor>, CaptureError> {
        let scene = self.easel.scene();
        Ok(vec![Monitor {
            id: MONITOR,
            x: 0,
            y: 0,
            width: scene.picture.width(),
            height: scene.picture.height(),
            name: "synthetic".to_owned(),
            primary: true,
        }])
    }

    fn grab(&mut self, monitor: u8) -> Result<Grab<'_>, CaptureError> {
        if monitor != MONITOR {
            return Err(CaptureError::NoSuchMonitor(monitor));
        }
        let mut scene = self.easel.scene();
        scene.grabs = scene.grabs.saturating_add(1);
        let drawn = std::mem::take(&mut scene.drawn);
        self.copy.clear();
        self.copy.extend_from_slice(scene.picture.bgrx());
        let (width, height) = (scene.picture.width(), scene.picture.height());
        drop(scene);
        let changed = if self.grabbed_before { Changed::Rects(drawn) } else { Changed::Unknown };
        self.grabbed_before = true;
        let picture = PictureRef { width, height, stride: usize::from(width) * 4, bgrx: &self.copy };
        Ok(Grab { picture, changed })
    }

    fn wait(&mut self, timeout: Option<Duration>) -> Result<Happened, CaptureError> {
        let idle = |scene: &mut Scene| scene.news == Happened::default() && !scene.woken;
        let scene = self.easel.scene();
        let happened = &self.easel.0.happened;
        let mut scene = match timeout {
            Some(timeout) => {
                happened.wait_timeout_while(scene, timeout, idle).unwrap_or_else(PoisonError::into_inner).0
            }
            None => happened.wait_while(scene, idle).unwrap_or_else(PoisonError::into_inner),
        };
        scene.woken = false;
        Ok(std::mem::take(&mut scene.news))
    }

    fn cursor_shape(&mut self) -> Result<Option<CursorShape>, CaptureError> {
        Ok(None)
    }

    fn cursor_position(&mut self) -> Result<(i32, i32), CaptureError> {
        Ok((0, 0))
    }

    fn waker(&self) -> Waker {
        let easel = self.easel.clone();
        Waker::new(move || easel.wake())
    }
}
