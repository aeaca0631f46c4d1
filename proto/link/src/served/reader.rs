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

use bytes::Bytes;
use proto::{
    frame::FrameError,
    limits::{FRAME_HEADER_LEN, FRAME_PAYLOAD_MAX},
};
use socket2::SockRef;
use tokio::{io::Interest, net::TcpStream};

use super::{SCRATCH_LEN, ended, given};
use crate::{
    framed::{self, ReadError, WireFrame, WireRun},
    record::{self, Opened, Opener, RecordError, Room},
};

thread_local! {
    /// Where this thread reads to. Never held across an await.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// Where this thread opens records to next; see [`Lent`].
    static ROOMS: RefCell<Vec<Room>> = const { RefCell::new(Vec::new()) };
    /// Where this thread puts the beginning of a frame aside while it changes rooms.
    static ASIDE: RefCell<Room> = RefCell::new(Room::default());
}

/// Room for everything that one read can bring, behind the rest of a frame.
const ROOM_LEN: usize = SCRATCH_LEN + FRAME_HEADER_LEN + FRAME_PAYLOAD_MAX;
/// Rooms that a thread keeps for later: as many as wait in sockets' queues at a time when all is well.
const ROOMS_MAX: usize = 8;
/// Data up to this length gets memory of its own, so that a key press does not hold on to a whole room.
const OWN_MAX: usize = 4 * 1024;

/// A room that frames were cut from. When the last of them is gone, the room goes to that thread for its next read.
struct Lent(Room);

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        give_back(mem::take(&mut self.0));
    }
}

/// A room that begins with `plain`. That is put aside first: it holds on to a room by itself, and if nobody else does,
/// that one is used again at once, while the processor's cache still has it.
fn room_behind(plain: Bytes) -> Room {
    ASIDE.with_borrow_mut(|aside| {
        aside.clear();
        aside.extend_from_slice(&plain);
        drop(plain);
        let mut room = ROOMS.with_borrow_mut(Vec::pop).unwrap_or_else(|| Room::with_room(ROOM_LEN));
        room.clear();
        room.extend_from_slice(aside);
        room
    })
}

/// Keeps a room for later, unless this thread has enough, or ends.
fn give_back(room: Room) {
    let mut room = Some(room);
    let given = ROOMS.try_with(|rooms| {
        let mut rooms = rooms.borrow_mut();
        if rooms.len() < ROOMS_MAX {
            rooms.extend(room.take().filter(|room| room.room() <= 2 * ROOM_LEN));
        }
    });
    if given.is_err() {
        tracing::trace!("A thread ends, and its rooms with it");
    }
}

/// Frames from a tool.
pub struct RecordReader {
    pub(super) socket: Arc<TcpStream>,
    pub(super) opener: Opener,
    /// The beginning of a record.
    pub(super) part: Vec<u8>,
    /// Data that is not cut into frames yet.
    pub(super) plain: Bytes,
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
        let run = framed::cut_run(&mut self.plain, self.payload_max, 1, usize::MAX)?;
        Ok(run.map(|WireRun { header, frames: _, wire }| WireFrame { header, wire }))
    }

    /// Cuts the next frame with those behind it that may go the same way, see [`framed::cut_run`].
    ///
    /// # Errors
    /// See [`FrameError`]; nothing sensible follows on this connection.
    pub fn parse_run(&mut self, frames_max: usize, len_max: usize) -> Result<Option<WireRun>, FrameError> {
        framed::cut_run(&mut self.plain, self.payload_max, frames_max, len_max)
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
            self.plain = Bytes::new();
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
            let (mut part, socket) = (mem::take(&mut self.part), Arc::clone(&self.socket));
            let read = poll_scratch(&socket, &mut part, cx, |read| self.take_records(read));
            self.part = part;
            if read.is_pending() {
                self.rest();
            }
            ready!(read)?;
        }
    }

    /// Opens every whole record of `bytes`; says how many bytes are left at their end.
    pub(super) fn take_records(&mut self, bytes: &[u8]) -> usize {
        let mut room = room_behind(mem::take(&mut self.plain));
        let mut left = bytes;
        while self.end.is_none() {
            let record = record::record_len(left).map(|len| len.and_then(|len| left.split_at_checked(len)));
            let opened = match record {
                Ok(None) => break,
                Ok(Some((record, rest))) => {
                    left = rest;
                    self.opener.open(record, &mut room)
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
        self.plain = if room.len() <= OWN_MAX {
            let own = Bytes::copy_from_slice(&room);
            give_back(room);
            own
        } else {
            Bytes::from_owner(Lent(room))
        };
        left.len()
    }

    /// Nothing to read now: gives back the room and what was kept for a record, but for the rest of a frame.
    fn rest(&mut self) {
        self.plain = Bytes::copy_from_slice(&self.plain);
        if self.part.is_empty() {
            self.part = Vec::new();
        }
    }
}

/// Reads what the socket has into the thread's buffer, behind `part`, and gives both to `take`. What that says it leaves
/// at their end is the new `part`.
pub(super) fn poll_scratch(
    socket: &TcpStream,
    part: &mut Vec<u8>,
    cx: &mut Context<'_>,
    take: impl FnOnce(&[u8]) -> usize,
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
                SCRATCH.with_borrow(|scratch| {
                    let bytes = scratch.get(..part.len() + count).unwrap_or_default();
                    let left = take(bytes);
                    part.clear();
                    part.extend_from_slice(bytes.get(bytes.len().saturating_sub(left)..).unwrap_or_default());
                });
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
