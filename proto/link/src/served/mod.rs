//! The relay's end of a connection: a tool's TLS 1.3 over TCP, accepted.
//!
//! The handshake is rustls's. After it the traffic secrets are ours (`record.rs`), and data goes the shortest way: one
//! large read into a buffer of the thread, each record opened from there to where its frames are cut; frames sealed
//! into another buffer of the thread, and one write. A connection itself holds only what cannot be gone yet: part of a
//! record, part of a frame, the rest of a write. So an idle one holds its keys and its socket.
//!
//! Guarantees: no wait here is without end but [`RecordReader::fill`], and no buffer without bound. Any number of tasks
//! may call [`RecordWriter::send`] one after the other; nothing here blocks a thread.

use std::{
    cell::RefCell,
    io::{self, Read as _, Write as _},
    mem,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use proto::{frame::FrameError, limits::FRAME_PAYLOAD_MAX, version};
use rustls::{KeyLog, ServerConfig, ServerConnection};
use socket2::SockRef;
use tokio::{
    io::Interest,
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};
use zeroize::Zeroizing;

use crate::{
    framed::{self, ReadError, WireFrame},
    record::{self, Opened, Opener, RecordError, Sealer},
    tcp, tls,
};

/// Bytes asked for in one read: what a busy sender has ready, and little enough to stay in the processor's cache.
const READ_LEN: usize = 128 * 1024;
/// Room of the thread's read buffer: a read behind a record that is not whole.
const SCRATCH_LEN: usize = READ_LEN + record::HEADER_LEN + record::BODY_MAX;
/// A rest of a frame up to this length is moved out of its large buffer when the connection goes quiet.
const MOVED_MAX: usize = 2 * 1024;
/// A thread's buffer that grew beyond this is given back.
const KEPT_MAX: usize = 2 * SCRATCH_LEN;

thread_local! {
    /// Where this thread reads to. Never held across an await.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// Where this thread opens records to, when nobody holds a frame of the last time any more.
    static SPARE: RefCell<BytesMut> = RefCell::new(BytesMut::new());
    /// Where this thread seals records to.
    static SEALED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A tool's connection, before its first frame.
pub struct Served {
    /// Frames from the tool.
    pub reader: RecordReader,
    /// Frames to the tool.
    pub writer: RecordWriter,
    /// What a proof is bound to.
    pub exporter: [u8; 32],
}

/// Frames from a tool.
pub struct RecordReader {
    socket: Arc<TcpStream>,
    opener: Opener,
    /// The beginning of a record.
    part: Vec<u8>,
    /// Data that is not cut into frames yet.
    plain: BytesMut,
    payload_max: usize,
    /// What comes after the data above.
    end: Option<Result<(), RecordError>>,
    asked: Arc<AtomicBool>,
}

/// Frames to a tool.
pub struct RecordWriter {
    socket: Arc<TcpStream>,
    sealer: Sealer,
    /// Sealed bytes that the socket did not take yet.
    rest: Vec<u8>,
    blocked_since: Option<Instant>,
    /// The tool asked for a new key of ours.
    asked: Arc<AtomicBool>,
}

/// Why a stranger did not get a TLS connection.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The handshake was not finished in time.
    #[error("no TLS handshake in time")]
    Timeout,
    /// Not TLS 1.3, or broken off.
    #[error("no TLS handshake: {0}")]
    Failed(#[from] io::Error),
    /// TLS, but without our ALPN name.
    #[error("TLS without the name of this protocol")]
    Alpn,
}

/// Does the TLS handshake with a tool, within `patience`.
///
/// # Errors
/// See [`AcceptError`].
pub async fn accept(socket: TcpStream, config: &ServerConfig, patience: Duration) -> Result<Box<Served>, AcceptError> {
    tcp::set_options(&socket);
    let secrets = Arc::new(TrafficSecrets::default());
    let mut config = config.clone();
    config.key_log = Arc::<TrafficSecrets>::clone(&secrets);
    // Nobody resumes: a tool connects once in a session. And the first record that is ours to seal has number 0.
    config.send_tls13_tickets = 0;
    let mut tls = ServerConnection::new(Arc::new(config)).map_err(io::Error::other)?;
    let handshake = timeout(patience, shake_hands(&socket, &mut tls));
    let part = handshake.await.map_err(|_late| AcceptError::Timeout)??;
    if tls.alpn_protocol() != Some(version::ALPN) {
        // The stranger speaks TLS, so it can hear that this is not what it looks for.
        tls.send_close_notify();
        drop(timeout(patience, send(&socket, &mut tls)).await);
        return Err(AcceptError::Alpn);
    }
    let exporter = tls::exporter(&tls).map_err(io::Error::other)?;
    let suite = tls.negotiated_cipher_suite().ok_or_else(|| io::Error::other(RecordError::Key))?.suite();
    let opener = Opener::new(suite, &secrets.theirs()).map_err(io::Error::other)?;
    let sealer = Sealer::new(suite, &secrets.ours()).map_err(io::Error::other)?;
    let (socket, asked) = (Arc::new(socket), Arc::new(AtomicBool::new(false)));
    let mut reader = RecordReader {
        socket: Arc::clone(&socket),
        opener,
        part: Vec::new(),
        plain: BytesMut::new(),
        payload_max: FRAME_PAYLOAD_MAX,
        end: None,
        asked: Arc::clone(&asked),
    };
    reader.take_records(&part);
    let writer = RecordWriter { socket, sealer, rest: Vec::new(), blocked_since: None, asked };
    Ok(Box::new(Served { reader, writer, exporter }))
}

/// Lets rustls do the handshake, record by record, so that none that is ours to open ends up inside of it.
/// Gives what was read beyond the handshake.
async fn shake_hands(socket: &TcpStream, tls: &mut ServerConnection) -> io::Result<Vec<u8>> {
    let mut part = Vec::new();
    loop {
        send(socket, tls).await?;
        if !tls.is_handshaking() {
            return Ok(part);
        }
        let Some(len) = handshake_len(&part) else {
            std::future::poll_fn(|cx| poll_scratch(socket, &[], cx, |read| part.extend_from_slice(read))).await?;
            continue;
        };
        let rest = part.split_off(len);
        let mut record = part.as_slice();
        while !record.is_empty() {
            tls.read_tls(&mut record)?;
            if let Err(error) = tls.process_new_packets() {
                // Its alert; whether it is heard does not matter.
                drop(send(socket, tls).await);
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
        }
        part = rest;
    }
}

/// Length of the record at the front, once it is whole. What cannot be one is for rustls to refuse, at once.
fn handshake_len(bytes: &[u8]) -> Option<usize> {
    const CONTENT_TYPES: std::ops::RangeInclusive<u8> = 20..=23;
    let is_tls = bytes.first().is_none_or(|kind| CONTENT_TYPES.contains(kind)) && bytes.get(1).is_none_or(|v| *v == 3);
    if !is_tls {
        return Some(bytes.len());
    }
    let [_, _, _, high, low] = bytes.first_chunk()?;
    let body = usize::from(u16::from_be_bytes([*high, *low]));
    if record::BODY_MAX < body {
        return Some(bytes.len());
    }
    Some(record::HEADER_LEN + body).filter(|len| *len <= bytes.len())
}

/// Sends what rustls wants to say.
async fn send(socket: &TcpStream, tls: &mut ServerConnection) -> io::Result<()> {
    let mut out = Vec::new();
    while tls.wants_write() {
        tls.write_tls(&mut out)?;
    }
    let mut rest = out.as_slice();
    while !rest.is_empty() {
        socket.writable().await?;
        rest = rest.get(write(socket, rest)?..).unwrap_or_default();
    }
    Ok(())
}

/// Takes the two traffic secrets out of one handshake, which rustls offers to those who write key logs.
#[derive(Default)]
struct TrafficSecrets {
    theirs: Mutex<Zeroizing<Vec<u8>>>,
    ours: Mutex<Zeroizing<Vec<u8>>>,
}

impl TrafficSecrets {
    fn theirs(&self) -> Zeroizing<Vec<u8>> {
        self.theirs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn ours(&self) -> Zeroizing<Vec<u8>> {
        self.ours.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn place(&self, label: &str) -> Option<&Mutex<Zeroizing<Vec<u8>>>> {
        match label {
            "CLIENT_TRAFFIC_SECRET_0" => Some(&self.theirs),
            "SERVER_TRAFFIC_SECRET_0" => Some(&self.ours),
            _ => None,
        }
    }
}

impl KeyLog for TrafficSecrets {
    fn log(&self, label: &str, _client_random: &[u8], secret: &[u8]) {
        if let Some(place) = self.place(label) {
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Zeroizing::new(secret.to_vec());
        }
    }

    fn will_log(&self, label: &str) -> bool {
        self.place(label).is_some()
    }
}

impl std::fmt::Debug for TrafficSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TrafficSecrets(…)")
    }
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
    fn take_records(&mut self, bytes: &[u8]) {
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
        rest.drain(..written);
        self.keep(&rest);
        Ok(rest.is_empty())
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

    fn put(&mut self, seal: impl FnOnce(&mut Sealer, &mut Vec<u8>) -> Result<(), RecordError>) -> io::Result<()> {
        SEALED.with_borrow_mut(|out| {
            out.clear();
            out.append(&mut self.rest);
            if self.asked.swap(false, Ordering::AcqRel) {
                self.sealer.rekey(out).map_err(io::Error::other)?;
            }
            seal(&mut self.sealer, out).map_err(io::Error::other)?;
            let written = self.write(out)?;
            self.keep(out.get(written..).unwrap_or_default());
            if KEPT_MAX < out.capacity() {
                *out = Vec::new();
            }
            Ok(())
        })
    }

    /// Keeps what was not written. Progress was made if there is less than before; then the wait begins anew.
    fn keep(&mut self, rest: &[u8]) {
        self.rest = rest.to_vec();
        if rest.is_empty() {
            self.blocked_since = None;
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match write(&self.socket, bytes) {
            Ok(0) if self.blocked_since.is_some() => Ok(0),
            Ok(written) => {
                self.blocked_since = Some(Instant::now());
                Ok(written)
            }
            Err(error) => Err(error),
        }
    }
}

impl Served {
    /// Closes so that what was written last arrives: says the end, then reads until the other end has said it too.
    /// A close with unread bytes would make the kernel cut off our last words. The caller sets the deadline.
    pub async fn farewell(&mut self) {
        if self.writer.close().is_ok() {
            self.reader.drain().await;
        }
    }
}

/// Reads what the socket has into the thread's buffer, behind `part`, and gives both to `take`.
fn poll_scratch(
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

/// Writes once; 0 when the socket takes nothing now. A write that was cut short has filled the socket.
fn write(socket: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
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

/// Not having to wait is no error, and neither is having moved something before.
fn given(tried: io::Result<Option<usize>>, count: Option<usize>) -> io::Result<Option<usize>> {
    match tried {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(count),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(count),
        tried => tried,
    }
}

fn ended() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the stream ended without a word")
}

#[cfg(test)]
mod tests;
