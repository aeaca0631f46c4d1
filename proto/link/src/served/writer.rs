//! Frames to a tool: sealed into full records, and one write.

use std::{
    cell::RefCell,
    io::{self, Write as _},
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::{Buf as _, Bytes};
use socket2::SockRef;
use tokio::{
    io::Interest,
    net::TcpStream,
    time::{Instant, timeout_at},
};

use super::{KEPT_MAX, given};
use crate::record::{RecordError, Room, Sealer};

thread_local! {
    /// Where this thread seals records to.
    static SEALED: RefCell<Room> = RefCell::new(Room::default());
}

/// Frames to a tool.
pub struct RecordWriter {
    pub(super) socket: Arc<TcpStream>,
    pub(super) sealer: Sealer,
    /// Sealed bytes that the socket did not take yet.
    pub(super) rest: Bytes,
    pub(super) blocked_since: Option<Instant>,
    /// The tool asked for a new key of ours.
    pub(super) asked: Arc<AtomicBool>,
}

impl RecordWriter {
    /// Seals `pieces` into records and writes what the socket takes now; the rest is kept, bounded by what is given.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn send(&mut self, pieces: &[Bytes]) -> io::Result<()> {
        self.put(|sealer, out| sealer.seal(pieces, out))
    }

    /// Writes what the socket takes now of what is left; says whether nothing is left.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn flush(&mut self) -> io::Result<bool> {
        if self.rest.is_empty() {
            return Ok(true);
        }
        let mut rest = mem::take(&mut self.rest);
        let written = self.write(&rest)?;
        rest.advance(written);
        self.keep(rest);
        Ok(self.rest.is_empty())
    }

    /// Since when the socket has taken nothing; `None` when nothing is left.
    pub const fn blocked_since(&self) -> Option<Instant> {
        self.blocked_since
    }

    /// The socket, to wait for.
    pub fn socket(&self) -> Arc<TcpStream> {
        Arc::clone(&self.socket)
    }

    /// Sends `pieces`, and waits until all of it is written; each write must make progress within `patience`.
    ///
    /// # Errors
    /// Those of the socket, and [`io::ErrorKind::TimedOut`].
    pub async fn send_all(&mut self, pieces: &[Bytes], patience: Duration) -> io::Result<()> {
        self.send(pieces)?;
        while !self.flush()? {
            let deadline = self.blocked_since.unwrap_or_else(Instant::now) + patience;
            timeout_at(deadline, self.socket.writable()).await??;
        }
        Ok(())
    }

    /// Says that nothing more will come, as far as the socket takes it.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn close(&mut self) -> io::Result<()> {
        self.put(Sealer::close)?;
        SockRef::from(&*self.socket).shutdown(std::net::Shutdown::Write)
    }

    fn put(&mut self, seal: impl FnOnce(&mut Sealer, &mut Room) -> Result<(), RecordError>) -> io::Result<()> {
        SEALED.with_borrow_mut(|out| {
            out.clear();
            out.extend_from_slice(&mem::take(&mut self.rest));
            if self.asked.swap(false, Ordering::AcqRel) {
                self.sealer.rekey(out).map_err(io::Error::other)?;
            }
            seal(&mut self.sealer, out).map_err(io::Error::other)?;
            let written = self.write(out)?;
            self.keep(Bytes::copy_from_slice(out.get(written..).unwrap_or_default()));
            if KEPT_MAX < out.room() {
                *out = Room::default();
            }
            Ok(())
        })
    }

    /// Keeps what was not written. Progress was made if there is less than before; then the wait begins anew.
    fn keep(&mut self, rest: Bytes) {
        if rest.is_empty() {
            self.blocked_since = None;
            self.rest = Bytes::new();
        } else {
            self.rest = rest;
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match write(&self.socket, bytes) {
            Ok(0) if self.blocked_since.is_some() => Ok(0),
            // Nothing is left, so nothing is waited for.
            Ok(written) if written == bytes.len() => Ok(written),
            Ok(written) => {
                self.blocked_since = Some(Instant::now());
                Ok(written)
            }
            Err(error) => Err(error),
        }
    }
}

/// Writes once; 0 when the socket takes nothing now. A write that was cut short has filled the socket.
pub(super) fn write(socket: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    if bytes.is_empty() {
        return Ok(0);
    }
    let mut count = None;
    let tried = socket.try_io(Interest::WRITABLE, || {
        let written = (&*SockRef::from(socket)).write(bytes)?;
        count = Some(written);
        if written < bytes.len() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    });
    given(tried.map(|()| count), count).map(Option::unwrap_or_default)
}
