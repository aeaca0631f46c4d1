//! Frames from a tool: large reads, and each record opened to where its frames are cut.

use std::{
    cell::RefCell,
    io::{self, Read as _},
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use proto::frame::FrameError;
use socket2::SockRef;
use tokio::{io::Interest, net::TcpStream};

use super::{KEPT_MAX, MOVED_MAX, SCRATCH_LEN, ended, given};
use crate::{
    framed::{self, ReadError, WireFrame},
    record::{self, Opened, Opener, RecordError},
};

thread_local! {
    /// Where this thread reads to. Never held across an await.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// Where this thread opens records to, when nobody holds a frame of the last time any more.
    static SPARE: RefCell<BytesMut> = RefCell::new(BytesMut::new());
}

/// Frames from a tool.
pub struct RecordReader {
    pub(super) socket: Arc<TcpStream>,
    pub(super) opener: Opener,
    /// The beginning of a record.
    pub(super) part: Vec<u8>,
    /// Data that is not cut into frames yet.
    pub(super) plain: BytesMut,
    pub(super) payload_max: usize,
    /// What comes after the data above.
    pub(super) end: Option<Result<(), RecordError>>,
    pub(super) asked: Arc<AtomicBool>,
}

impl RecordReader {
    /// Refuses longer payloads from now on.
    pub const fn set_payload_max(&mut self, payload_max: usize) {
        self.payload_max = payload_max;
    }

    /// Cuts the next frame out of what was read already.
    ///
    /// # Errors
    /// See [`FrameError`]; nothing sensible follows on this connection.
    pub fn parse(&mut self) -> Result<Option<WireFrame>, FrameError> {
        framed::cut(&mut self.plain, self.payload_max)
    }

    /// Whether nothing of a frame is waiting: an end of the stream would cut nothing off.
    pub fn is_between_frames(&self) -> bool {
        self.plain.is_empty()
    }

    /// Reads until there is more data; its length, 0 after the tool said that nothing more comes. Cancel-safe.
    ///
    /// # Errors
    /// Those of the socket; [`io::ErrorKind::InvalidData`] for what is no record; an end that was not said is
    /// [`io::ErrorKind::UnexpectedEof`].
    pub async fn fill(&mut self) -> io::Result<usize> {
        std::future::poll_fn(|cx| self.poll_fill(cx)).await
    }

    /// The next frame; `None` when the stream ended between two frames. Cancel-safe.
    ///
    /// # Errors
    /// See [`ReadError`]; an end inside a frame is [`io::ErrorKind::UnexpectedEof`].
    pub async fn next(&mut self) -> Result<Option<WireFrame>, ReadError> {
        loop {
            if let Some(frame) = self.parse()? {
                return Ok(Some(frame));
            }
            if self.fill().await? == 0 {
                return if self.plain.is_empty() { Ok(None) } else { Err(ReadError::Broken(ended())) };
            }
        }
    }

    /// Throws away whatever still comes, until the stream ends or breaks. The caller sets the deadline.
    pub async fn drain(&mut self) {
        loop {
            self.plain.clear();
            match self.fill().await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let before = self.plain.len();
        loop {
            let got = self.plain.len().saturating_sub(before);
            match self.end {
                _ if 0 < got => return Poll::Ready(Ok(got)),
                Some(Ok(())) => return Poll::Ready(Ok(0)),
                Some(Err(error)) => return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error))),
                None => {}
            }
            let (part, socket) = (mem::take(&mut self.part), Arc::clone(&self.socket));
            let read = poll_scratch(&socket, &part, cx, |read| self.take_records(read));
            if read.is_pending() {
                self.part = part;
                self.rest();
            }
            ready!(read)?;
        }
    }

    /// Opens every whole record of `bytes`, and keeps what is left.
    pub(super) fn take_records(&mut self, bytes: &[u8]) {
        if self.plain.is_empty() {
            self.plain = SPARE.take();
        }
        self.plain.reserve(bytes.len());
        let mut left = bytes;
        while self.end.is_none() {
            let record = record::record_len(left).map(|len| len.and_then(|len| left.split_at_checked(len)));
            let opened = match record {
                Ok(None) => break,
                Ok(Some((record, rest))) => {
                    left = rest;
                    self.opener.open(record, &mut self.plain)
                }
                Err(error) => Err(error),
            };
            match opened {
                Ok(Opened::Data | Opened::Rekeyed { asks: false }) => {}
                Ok(Opened::Rekeyed { asks: true }) => self.asked.store(true, Ordering::Release),
                Ok(Opened::Closed) => self.end = Some(Ok(())),
                Err(error) => self.end = Some(Err(error)),
            }
        }
        self.part = left.to_vec();
    }

    /// Nothing to read now: gives back the large buffer, but for the rest of a frame.
    fn rest(&mut self) {
        if self.plain.is_empty() {
            let plain = mem::take(&mut self.plain);
            if 0 < plain.capacity() && plain.capacity() <= KEPT_MAX {
                SPARE.replace(plain);
            }
        } else if self.plain.len() <= MOVED_MAX && MOVED_MAX < self.plain.capacity() {
            self.plain = BytesMut::from(self.plain.as_ref());
        }
    }
}

/// Reads what the socket has into the thread's buffer, behind `part`, and gives both to `take`.
pub(super) fn poll_scratch(
    socket: &TcpStream,
    part: &[u8],
    cx: &mut Context<'_>,
    take: impl FnOnce(&[u8]),
) -> Poll<io::Result<()>> {
    loop {
        ready!(socket.poll_read_ready(cx))?;
        let read = SCRATCH.with_borrow_mut(|scratch| {
            scratch.resize(SCRATCH_LEN, 0);
            let (front, room) = scratch.split_at_mut_checked(part.len()).ok_or_else(ended)?;
            front.copy_from_slice(part);
            read(socket, room)
        });
        match read {
            Ok(Some(0)) => return Poll::Ready(Err(ended())),
            Ok(Some(count)) => {
                SCRATCH.with_borrow(|scratch| take(scratch.get(..part.len() + count).unwrap_or_default()));
                return Poll::Ready(Ok(()));
            }
            Ok(None) => {}
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
}

/// Reads once; `None` when there is nothing. A read that does not fill its room has emptied the socket, and the runtime
/// is told so: that saves asking once more.
fn read(socket: &TcpStream, room: &mut [u8]) -> io::Result<Option<usize>> {
    let mut count = None;
    let tried = socket.try_io(Interest::READABLE, || {
        let read = (&*SockRef::from(socket)).read(room)?;
        count = Some(read);
        if 0 < read && read < room.len() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    });
    given(tried.map(|()| count), count)
}
