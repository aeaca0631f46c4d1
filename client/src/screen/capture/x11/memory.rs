//! The pixels of a monitor: in memory shared with the display, or through its socket.
//!
//! Shared memory costs 0.7 ms for 1920×1080, the socket 12 ms.
//! Source: measured on Xvfb, research section 1.1.
#![expect(
    unsafe_code,
    reason = "memory shared with the display is mapped by hand; nothing else in this file is unsafe"
)]

use std::{os::fd::OwnedFd, ptr::NonNull, sync::Arc};

use proto::message::Monitor;
use rustix::{
    fs::MemfdFlags,
    mm::{MapFlags, ProtFlags},
};
use x11rb::{
    connection::{Connection as _, RequestConnection as _},
    protocol::{
        shm::{self, ConnectionExt as _},
        xproto::{ConnectionExt as _, ImageFormat, Window},
    },
    rust_connection::RustConnection,
};

use super::CaptureError;

/// Fetches pixels of the root window.
pub(super) struct Memory {
    connection: Arc<RustConnection>,
    root: Window,
    shared: Option<Shared>,
    /// Shared memory was refused once; the socket serves from then on.
    refused: bool,
    fetched: Vec<u8>,
}

/// One segment, mapped here and attached at the display.
struct Shared {
    connection: Arc<RustConnection>,
    segment: shm::Seg,
    address: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping belongs to this value alone, and a mapping may be used and unmapped on any thread.
unsafe impl Send for Shared {}

impl Memory {
    pub(super) const fn new(connection: Arc<RustConnection>, root: Window) -> Self {
        Self { connection, root, shared: None, refused: false, fetched: Vec::new() }
    }

    /// The pixels of `monitor`, packed BGRX rows.
    pub(super) fn grab(&mut self, monitor: &Monitor) -> Result<&[u8], CaptureError> {
        let len = usize::from(monitor.width) * usize::from(monitor.height) * 4;
        if !self.refused && self.shared.as_ref().is_none_or(|shared| shared.len < len) {
            self.shared = None;
            match Shared::attach(&self.connection, len) {
                Ok(shared) => self.shared = Some(shared),
                Err(error) => {
                    tracing::info!(event = "capture.slow", reason = %error, "The display shares no memory: {error}");
                    self.refused = true;
                }
            }
        }
        let (x, y) = (i16::try_from(monitor.x).unwrap_or(0), i16::try_from(monitor.y).unwrap_or(0));
        let (width, height) = (monitor.width, monitor.height);
        if let Some(shared) = &self.shared {
            let format = u8::from(ImageFormat::Z_PIXMAP);
            self.connection.shm_get_image(self.root, x, y, width, height, !0, format, shared.segment, 0)?.reply()?;
            return shared.pixels(len).ok_or_else(|| CaptureError::Lost("short memory".to_owned()));
        }
        let image = self.connection.get_image(ImageFormat::Z_PIXMAP, self.root, x, y, width, height, !0)?.reply()?;
        self.fetched = image.data;
        self.fetched.get(..len).ok_or_else(|| CaptureError::Lost("short picture".to_owned()))
    }
}

impl Shared {
    /// Makes a segment of `len` bytes and hands it to the display.
    fn attach(connection: &Arc<RustConnection>, len: usize) -> Result<Self, CaptureError> {
        if connection.extension_information(shm::X11_EXTENSION_NAME)?.is_none() {
            return Err(CaptureError::Lost("no MIT-SHM".to_owned()));
        }
        let version = connection.shm_query_version()?.reply()?;
        if (version.major_version, version.minor_version) < (1, 2) {
            return Err(CaptureError::Lost("MIT-SHM is older than 1.2".to_owned()));
        }
        let refused = |errno: rustix::io::Errno| CaptureError::Lost(errno.to_string());
        let file: OwnedFd = rustix::fs::memfd_create("uketsuke-screen", MemfdFlags::CLOEXEC).map_err(refused)?;
        rustix::fs::ftruncate(&file, u64::try_from(len).unwrap_or(u64::MAX)).map_err(refused)?;
        // SAFETY: a new mapping of a file of our own, placed by the kernel, of exactly the file's length.
        let address = unsafe {
            rustix::mm::mmap(std::ptr::null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, &file, 0)
        }
        .map_err(refused)?;
        let address = NonNull::new(address.cast()).ok_or_else(|| CaptureError::Lost("no mapping".to_owned()))?;
        let segment = connection.generate_id()?;
        // From here on dropping it unmaps.
        let shared = Self { connection: Arc::clone(connection), segment, address, len };
        connection.shm_attach_fd(segment, file, false)?.check()?;
        Ok(shared)
    }

    /// The first `len` bytes.
    fn pixels(&self, len: usize) -> Option<&[u8]> {
        if self.len < len {
            return None;
        }
        // SAFETY: `len` bytes are mapped for as long as `self` lives; the display writes only while a request of
        // `Memory::grab` is unanswered, and that needs `&mut Memory`, which excludes this borrow.
        Some(unsafe { std::slice::from_raw_parts(self.address.as_ptr(), len) })
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // A display that is gone has let go of the segment already.
        drop(self.connection.shm_detach(self.segment));
        // SAFETY: this mapping was made in `attach`, and nobody borrows it any more.
        if let Err(error) = unsafe { rustix::mm::munmap(self.address.as_ptr().cast(), self.len) } {
            tracing::warn!(event = "capture.unmap", reason = %error, "Shared memory cannot be given back");
        }
    }
}
