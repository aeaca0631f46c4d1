//! Capture of an X11 display.
//!
//! Pictures by MIT-SHM, or through the socket where shared memory cannot be had; what was drawn by `XDamage` (one
//! report until it is collected, so a busy screen causes no storm of events); the pointer's shape by `XFixes`, its
//! moves by raw `XInput` events (none while it rests); monitors by `RandR`, also when they come and go.

mod memory;

use std::{
    os::fd::{AsFd as _, OwnedFd},
    sync::Arc,
    time::{Duration, Instant},
};

use proto::{
    limits,
    message::Monitor,
    screen::{PictureRef, Rect, cursor::CursorShape},
};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};
use x11rb::{
    connection::{Connection as _, RequestConnection as _},
    errors::{ConnectError, ConnectionError, ReplyError, ReplyOrIdError},
    protocol::{
        Event,
        damage::{self, ConnectionExt as _, ReportLevel},
        randr::{self, ConnectionExt as _},
        xfixes::{self, ConnectionExt as _},
        xinput::{self, ConnectionExt as _, XIEventMask},
        xproto::{ConnectionExt as _, ImageOrder, Window},
    },
    rust_connection::RustConnection,
};

use self::memory::Memory;
use super::{Capture, CaptureError, Changed, Grab, Happened, Waker};

/// Rectangles of one damage report; more are counted as "anything".
const RECTS_MAX: usize = 256;
/// While something is drawn the monitors are read this often: desktops cut screens into monitors without a word.
const MONITORS_EVERY: Duration = Duration::from_secs(1);
/// Every device that the customer's hand moves.
const ALL_MASTER_DEVICES: xinput::DeviceId = 1;

/// The capture of one X11 display.
pub struct X11 {
    connection: Arc<RustConnection>,
    root: Window,
    damage: damage::Damage,
    region: xfixes::Region,
    memory: Memory,
    monitors: Vec<Monitor>,
    monitors_read: Instant,
    /// What was grabbed last; damage is counted from there.
    grabbed: Option<Monitor>,
    news: Happened,
    wake: Arc<OwnedFd>,
}

impl X11 {
    /// Opens a display such as `:7`; without a name the one of the environment.
    ///
    /// # Errors
    /// [`CaptureError::Open`], and [`CaptureError::PixelFormat`] for displays that have no 32-bit BGRX pixels.
    pub fn open(display: Option<&str>) -> Result<Self, CaptureError> {
        let (connection, screen) = x11rb::connect(display)?;
        let setup = connection.setup();
        let root = setup.roots.get(screen).ok_or_else(|| CaptureError::Open("it has no screen".to_owned()))?;
        let (window, depth) = (root.root, root.root_depth);
        let bits = setup.pixmap_formats.iter().find(|format| format.depth == depth).map_or(0, |f| f.bits_per_pixel);
        if bits != 32 || setup.image_byte_order != ImageOrder::LSB_FIRST {
            return Err(CaptureError::PixelFormat(bits));
        }
        let connection = Arc::new(connection);
        let damage = connection.generate_id()?;
        let region = connection.generate_id()?;
        listen(&connection, window, damage, region)?;
        let wake = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|error| CaptureError::Open(error.to_string()))?;
        let memory = Memory::new(Arc::clone(&connection), window);
        let mut capture = Self {
            connection,
            root: window,
            damage,
            region,
            memory,
            monitors: Vec::new(),
            monitors_read: tokio::time::Instant::now().into_std(),
            grabbed: None,
            news: Happened::default(),
            wake: Arc::new(wake),
        };
        capture.monitors = capture.read_monitors()?;
        Ok(capture)
    }

    fn read_monitors(&self) -> Result<Vec<Monitor>, CaptureError> {
        let whole = self.connection.get_geometry(self.root)?.reply()?;
        let found = self.connection.randr_get_monitors(self.root, true)?.reply()?.monitors;
        let mut monitors = Vec::new();
        for info in found.iter().take(limits::MONITORS_MAX) {
            let (x, y) = (i32::from(info.x), i32::from(info.y));
            let inside = 0 <= x
                && 0 <= y
                && x + i32::from(info.width) <= i32::from(whole.width)
                && y + i32::from(info.height) <= i32::from(whole.height);
            if !inside || info.width == 0 || info.height == 0 {
                continue;
            }
            let name = self.connection.get_atom_name(info.name)?.reply()?.name;
            monitors.push(Monitor {
                id: u8::try_from(monitors.len()).unwrap_or(u8::MAX),
                x,
                y,
                width: info.width,
                height: info.height,
                name: String::from_utf8_lossy(&name).chars().take(16).collect(),
                primary: info.primary,
            });
        }
        if monitors.is_empty() {
            monitors.push(Monitor {
                id: 0,
                x: 0,
                y: 0,
                width: whole.width,
                height: whole.height,
                name: "screen".to_owned(),
                primary: true,
            });
        }
        if let (false, Some(first)) = (monitors.iter().any(|monitor| monitor.primary), monitors.first_mut()) {
            first.primary = true;
        }
        Ok(monitors)
    }

    /// Collects the damage since the last time, in pixels of `monitor`.
    fn collect_damage(&self, monitor: &Monitor) -> Result<Changed, CaptureError> {
        self.connection.damage_subtract(self.damage, x11rb::NONE, self.region)?;
        let region = self.connection.xfixes_fetch_region(self.region)?.reply()?;
        if RECTS_MAX < region.rectangles.len() {
            return Ok(Changed::Unknown);
        }
        let inside = |rect: &x11rb::protocol::xproto::Rectangle| {
            let left = (i32::from(rect.x) - monitor.x).max(0);
            let top = (i32::from(rect.y) - monitor.y).max(0);
            let right = (i32::from(rect.x) - monitor.x + i32::from(rect.width)).min(i32::from(monitor.width));
            let bottom = (i32::from(rect.y) - monitor.y + i32::from(rect.height)).min(i32::from(monitor.height));
            let rect = Rect {
                x: u16::try_from(left).ok()?,
                y: u16::try_from(top).ok()?,
                width: u16::try_from(right - left).ok()?,
                height: u16::try_from(bottom - top).ok()?,
            };
            (0 < rect.width && 0 < rect.height).then_some(rect)
        };
        Ok(Changed::Rects(region.rectangles.iter().filter_map(inside).collect()))
    }

    fn look_for_monitors(&mut self) -> Result<(), CaptureError> {
        self.monitors_read = tokio::time::Instant::now().into_std();
        let monitors = self.read_monitors()?;
        if monitors != self.monitors {
            self.monitors = monitors;
            self.news.monitors = true;
        }
        Ok(())
    }

    /// Takes every event that has arrived.
    fn drain(&mut self) -> Result<(), CaptureError> {
        while let Some(event) = self.connection.poll_for_event()? {
            self.note(&event)?;
        }
        Ok(())
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the display may send many other events")]
    fn note(&mut self, event: &Event) -> Result<(), CaptureError> {
        match event {
            Event::DamageNotify(_) => self.news.drawn = true,
            Event::XfixesCursorNotify(_) => self.news.cursor_shape = true,
            Event::XinputRawMotion(_) => self.news.cursor_moved = true,
            Event::RandrNotify(_) | Event::RandrScreenChangeNotify(_) | Event::ConfigureNotify(_) => {
                self.look_for_monitors()?;
            }
            _ => {}
        }
        Ok(())
    }
}

/// Asks the display to report what is drawn, the pointer, and the monitors.
fn listen(
    connection: &RustConnection,
    root: Window,
    damage: damage::Damage,
    region: xfixes::Region,
) -> Result<(), CaptureError> {
    connection.damage_query_version(1, 1)?.reply()?;
    connection.xfixes_query_version(5, 0)?.reply()?;
    connection.randr_query_version(1, 5)?.reply()?;
    connection.xfixes_create_region(region, &[])?.check()?;
    connection.damage_create(damage, root, ReportLevel::NON_EMPTY)?.check()?;
    connection.xfixes_select_cursor_input(root, xfixes::CursorNotifyMask::DISPLAY_CURSOR)?.check()?;
    let monitors = randr::NotifyMask::SCREEN_CHANGE | randr::NotifyMask::CRTC_CHANGE | randr::NotifyMask::OUTPUT_CHANGE;
    connection.randr_select_input(root, monitors)?.check()?;
    if connection.extension_information(xinput::X11_EXTENSION_NAME)?.is_some() {
        connection.xinput_xi_query_version(2, 2)?.reply()?;
        let mask = xinput::EventMask { deviceid: ALL_MASTER_DEVICES, mask: vec![XIEventMask::RAW_MOTION] };
        connection.xinput_xi_select_events(root, &[mask])?.check()?;
    }
    Ok(())
}

impl Capture for X11 {
    fn monitors(&mut self) -> Result<Vec<Monitor>, CaptureError> {
        self.monitors = self.read_monitors()?;
        Ok(self.monitors.clone())
    }

    fn grab(&mut self, monitor: u8) -> Result<Grab<'_>, CaptureError> {
        let monitor = self
            .monitors
            .iter()
            .find(|known| known.id == monitor)
            .cloned()
            .ok_or(CaptureError::NoSuchMonitor(monitor))?;
        // Damage is collected before the pixels: what is drawn in between is reported again, and never lost.
        let damage = self.collect_damage(&monitor)?;
        let changed = if self.grabbed.as_ref() == Some(&monitor) { damage } else { Changed::Unknown };
        self.grabbed = None;
        let bgrx = self.memory.grab(&monitor)?;
        self.grabbed = Some(monitor.clone());
        let picture =
            PictureRef { width: monitor.width, height: monitor.height, stride: usize::from(monitor.width) * 4, bgrx };
        Ok(Grab { picture, changed })
    }

    fn wait(&mut self, timeout: Option<Duration>) -> Result<Happened, CaptureError> {
        self.connection.flush()?;
        self.drain()?;
        if self.news == Happened::default() {
            let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
            let mut ready = [
                PollFd::from_borrowed_fd(self.connection.stream().as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(self.wake.as_fd(), PollFlags::IN),
            ];
            match rustix::event::poll(&mut ready, timeout.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(CaptureError::Lost(error.to_string())),
            }
            self.drain()?;
        }
        let now = tokio::time::Instant::now().into_std();
        if self.news.drawn && MONITORS_EVERY <= now.saturating_duration_since(self.monitors_read) {
            self.look_for_monitors()?;
        }
        let mut count = [0; 8];
        match rustix::io::read(&*self.wake, &mut count) {
            Ok(_) | Err(rustix::io::Errno::AGAIN) => {}
            Err(error) => return Err(CaptureError::Lost(error.to_string())),
        }
        Ok(std::mem::take(&mut self.news))
    }

    fn cursor_shape(&mut self) -> Result<Option<CursorShape>, CaptureError> {
        let image = self.connection.xfixes_get_cursor_image()?.reply()?;
        let shape = CursorShape {
            width: image.width,
            height: image.height,
            hot_x: image.xhot,
            hot_y: image.yhot,
            bgra: image.cursor_image.iter().flat_map(|argb| argb.to_le_bytes()).collect(),
        };
        Ok(shape.is_valid().then_some(shape))
    }

    fn cursor_position(&mut self) -> Result<(i32, i32), CaptureError> {
        let pointer = self.connection.query_pointer(self.root)?.reply()?;
        Ok((i32::from(pointer.root_x), i32::from(pointer.root_y)))
    }

    fn waker(&self) -> Waker {
        let wake = Arc::clone(&self.wake);
        Waker::new(move || {
            match rustix::io::write(&*wake, &1u64.to_ne_bytes()) {
                // A full counter has woken the thread already.
                Ok(_) | Err(rustix::io::Errno::AGAIN) => {}
                Err(error) => tracing::warn!(event = "capture.wake", reason = %error, "The screen cannot be woken"),
            }
        })
    }
}

impl From<ConnectError> for CaptureError {
    fn from(error: ConnectError) -> Self {
        Self::Open(error.to_string())
    }
}

impl From<ConnectionError> for CaptureError {
    fn from(error: ConnectionError) -> Self {
        Self::Lost(error.to_string())
    }
}

impl From<ReplyError> for CaptureError {
    fn from(error: ReplyError) -> Self {
        Self::Lost(error.to_string())
    }
}

impl From<ReplyOrIdError> for CaptureError {
    fn from(error: ReplyOrIdError) -> Self {
        Self::Lost(error.to_string())
    }
}
