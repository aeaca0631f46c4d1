//! Frames on a byte stream.
//!
//! The reader takes what a socket has in large reads and cuts frames out of it without copying; a small connection
//! keeps a small buffer. The writer puts many frames into one vectored write. What is too long is refused by its
//! header, before room is made for it.

use std::io::{self, IoSlice};

use bytes::{Buf as _, Bytes, BytesMut};
use proto::{
    frame::{Frame, FrameError, FrameHeader},
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
    let Some(head) = buffer.first_chunk::<FRAME_HEADER_LEN>() else { return Ok(None) };
    let header = FrameHeader::parse(*head)?;
    let len = usize::from(header.len);
    if payload_max < len {
        return Err(FrameError::Length(len));
    }
    let whole = FRAME_HEADER_LEN + len;
    if buffer.len() < whole {
        return Ok(None);
    }
    Ok(Some(WireFrame { header, wire: buffer.split_to(whole).freeze() }))
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
