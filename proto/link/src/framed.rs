//! Frames on a byte stream.
//!
//! The reader takes what a socket has in large reads and cuts frames out of it without copying; a small connection
//! keeps a small buffer. The writer puts many frames into one vectored write. What is too long is refused by its
//! header, before room is made for it.

use std::io::{self, IoSlice};

use bytes::{Buf as _, Bytes, BytesMut};
use proto::{
    frame::{Frame, FrameError, FrameHeader, FrameType},
    limits::{FRAME_HEADER_LEN, FRAME_PAYLOAD_MAX},
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Smallest room for a read: an idle connection holds no more.
const READ_LEN_MIN: usize = 4 * 1024;
/// Largest room for a read: two full frames, four TLS records.
const READ_LEN_MAX: usize = 64 * 1024;
/// Frames in one write at most, so that the slices fit on the stack.
pub const WRITE_FRAMES_MAX: usize = 64;
/// Bytes at which a write is full. One frame of the largest size always goes alone or after small ones, so that what
/// is more urgent waits for one frame and never for a queue.
pub const WRITE_LEN_MAX: usize = FRAME_HEADER_LEN + FRAME_PAYLOAD_MAX;

/// A frame as it stood on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireFrame {
    /// What its first bytes say.
    pub header: FrameHeader,
    /// All its bytes, header and payload, for those who pass it on.
    pub wire: Bytes,
}

/// Frames that stood one behind the other on the wire, of one type and lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireRun {
    /// What the first bytes of the first one say.
    pub header: FrameHeader,
    /// How many there are, at least one.
    pub frames: usize,
    /// All their bytes, headers and payloads.
    pub wire: Bytes,
}

/// Why no frame was read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Bytes that are no frame.
    #[error("not a frame: {0}")]
    Malformed(#[from] FrameError),
    /// The stream broke.
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
}

/// Reads frames.
pub struct FrameReader<R> {
    io: R,
    buffer: BytesMut,
    read_len: usize,
    payload_max: usize,
}

impl WireFrame {
    /// The payload.
    pub fn payload(&self) -> Bytes {
        self.wire.slice(FRAME_HEADER_LEN.min(self.wire.len())..)
    }

    /// The frame in the form of the codecs.
    pub fn to_frame(&self) -> Frame {
        let FrameHeader { kind, lane, flags, len: _ } = self.header;
        Frame { kind, lane, flags, payload: self.payload() }
    }
}

impl From<WireFrame> for WireRun {
    fn from(WireFrame { header, wire }: WireFrame) -> Self {
        Self { header, frames: 1, wire }
    }
}

impl WireRun {
    /// Bytes of all payloads.
    pub fn payload_len(&self) -> usize {
        self.wire.len().saturating_sub(self.frames * FRAME_HEADER_LEN)
    }

    /// The payload, of a run of one frame.
    pub fn payload(&self) -> Bytes {
        self.wire.slice(FRAME_HEADER_LEN.min(self.wire.len())..)
    }
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Reads from `io`.
    pub fn new(io: R) -> Self {
        Self { io, buffer: BytesMut::new(), read_len: READ_LEN_MIN, payload_max: FRAME_PAYLOAD_MAX }
    }

    /// Refuses longer payloads from now on.
    pub const fn set_payload_max(&mut self, payload_max: usize) {
        self.payload_max = payload_max;
    }

    /// Cuts the next frame out of what was read already.
    ///
    /// # Errors
    /// See [`FrameError`]; nothing sensible follows on this stream.
    pub fn parse(&mut self) -> Result<Option<WireFrame>, FrameError> {
        cut(&mut self.buffer, self.payload_max)
    }

    /// Reads once; 0 at the end of the stream. Cancel-safe: what was read is in the buffer.
    ///
    /// # Errors
    /// Those of the stream.
    pub async fn fill(&mut self) -> io::Result<usize> {
        if self.buffer.is_empty() && self.read_len < self.buffer.capacity() / 2 {
            self.buffer = BytesMut::new();
        }
        if self.buffer.capacity() - self.buffer.len() < READ_LEN_MIN / 4 {
            self.buffer.reserve(self.read_len);
        }
        let room = self.buffer.capacity() - self.buffer.len();
        let count = self.io.read_buf(&mut self.buffer).await?;
        if room <= count {
            self.read_len = (self.read_len * 2).min(READ_LEN_MAX);
        } else if count < self.read_len / 4 {
            self.read_len = (self.read_len / 2).max(READ_LEN_MIN);
        }
        Ok(count)
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
                return if self.buffer.is_empty() { Ok(None) } else { Err(ReadError::Broken(truncated())) };
            }
        }
    }

    /// Whether nothing of a frame is waiting: an end of the stream would cut nothing off.
    pub fn is_between_frames(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Throws away whatever still comes, until the stream ends or breaks. The caller sets the deadline.
    pub async fn drain(&mut self) {
        self.buffer = BytesMut::new();
        loop {
            self.buffer.clear();
            match self.fill().await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }
}

/// Cuts the first frame off, once it is whole.
///
/// # Errors
/// See [`FrameError`]; nothing sensible follows in this buffer.
pub fn cut(buffer: &mut BytesMut, payload_max: usize) -> Result<Option<WireFrame>, FrameError> {
    let first = first_whole(buffer, payload_max)?;
    Ok(first.map(|(header, len)| WireFrame { header, wire: buffer.split_to(len).freeze() }))
}

/// Cuts the first frame off with those behind it that are whole and of its type and lane: `frames_max` of them at most,
/// and `len_max` bytes but for the first. Only sealed frames stand in runs of more than one.
///
/// # Errors
/// See [`FrameError`], of the first frame; nothing sensible follows in this buffer.
pub fn cut_run(
    buffer: &mut Bytes,
    payload_max: usize,
    frames_max: usize,
    len_max: usize,
) -> Result<Option<WireRun>, FrameError> {
    let Some((header, mut len)) = first_whole(buffer, payload_max)? else { return Ok(None) };
    let mut frames = 1;
    while header.kind == FrameType::Sealed && frames < frames_max {
        // What is wrong with a later frame is said when it is the first.
        match first_whole(buffer.get(len..).unwrap_or_default(), payload_max) {
            Ok(Some((next, next_len)))
                if (next.kind, next.lane) == (header.kind, header.lane) && len + next_len <= len_max =>
            {
                frames += 1;
                len += next_len;
            }
            Ok(_) | Err(_) => break,
        }
    }
    Ok(Some(WireRun { header, frames, wire: buffer.split_to(len) }))
}

/// Length and number of the whole frames at the front of a run that fit into `len_max` bytes; of the first one if none
/// does.
pub fn fitting(run: &[u8], len_max: usize) -> (usize, usize) {
    let (mut len, mut frames) = (0, 0);
    while let Some([_, _, _, low, high]) = run.get(len..).and_then(<[u8]>::first_chunk::<FRAME_HEADER_LEN>) {
        let end = len + FRAME_HEADER_LEN + usize::from(u16::from_le_bytes([*low, *high]));
        if 0 < frames && len_max < end {
            break;
        }
        (len, frames) = (end.min(run.len()), frames + 1);
    }
    (len, frames)
}

/// Header and length of the first frame, once it is whole.
fn first_whole(bytes: &[u8], payload_max: usize) -> Result<Option<(FrameHeader, usize)>, FrameError> {
    let Some(head) = bytes.first_chunk::<FRAME_HEADER_LEN>() else { return Ok(None) };
    let header = FrameHeader::parse(*head)?;
    let len = usize::from(header.len);
    if payload_max < len {
        return Err(FrameError::Length(len));
    }
    let whole = FRAME_HEADER_LEN + len;
    Ok((whole <= bytes.len()).then_some((header, whole)))
}

/// Writes every byte of `pieces`, in order, with as few writes as the stream allows, and flushes.
///
/// # Errors
/// Those of the stream.
pub async fn write_all<W: AsyncWrite + Unpin>(io: &mut W, pieces: &[Bytes]) -> io::Result<()> {
    for pieces in pieces.chunks(2 * WRITE_FRAMES_MAX) {
        let mut places = [IoSlice::new(&[]); 2 * WRITE_FRAMES_MAX];
        let mut count = 0;
        for (place, piece) in places.iter_mut().zip(pieces) {
            *place = IoSlice::new(piece.chunk());
            count += 1;
        }
        let mut slices = &mut places[..count];
        // Skips empty pieces at the front, which would look like a stream that takes nothing.
        IoSlice::advance_slices(&mut slices, 0);
        while !slices.is_empty() {
            let written = io.write_vectored(slices).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            IoSlice::advance_slices(&mut slices, written);
        }
    }
    io.flush().await
}

/// Writes one frame and flushes.
///
/// # Errors
/// Those of the stream, and [`io::ErrorKind::InvalidInput`] for a payload that is too long.
pub async fn write_frame<W: AsyncWrite + Unpin>(io: &mut W, frame: Frame) -> io::Result<()> {
    let header = head(&frame)?;
    write_all(io, &[header, frame.payload]).await
}

/// The header of a frame, ready for [`write_all`].
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] for a payload that is too long.
pub fn head(frame: &Frame) -> io::Result<Bytes> {
    let header = frame.header().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    Ok(Bytes::copy_from_slice(&header.to_bytes()))
}

/// A frame in one piece, for queues of wire bytes.
pub fn to_wire(frame: &Frame) -> Bytes {
    let mut wire = BytesMut::with_capacity(FRAME_HEADER_LEN + frame.payload.len());
    if let Ok(header) = frame.header() {
        wire.extend_from_slice(&header.to_bytes());
        wire.extend_from_slice(&frame.payload);
    }
    wire.freeze()
}

fn truncated() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the stream ended inside a frame")
}
