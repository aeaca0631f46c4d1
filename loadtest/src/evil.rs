//! A relay gone bad: it holds a proper certificate, admits everybody, and tampers with what it forwards.
//!
//! [`Deed`] says what it does. With [`Deed::Forward`] it behaves, which shows that the harness itself loses nothing.
//! With [`Deed::Impersonate`] it plays each tool the other one in the key exchange, with a guess of the secret: what
//! a bad manager and a bad relay together can do.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use ops::tls;
use proto::{
    close::CloseReason,
    frame::{Frame, FrameHeader, FrameType, Lane},
    hello::RelayWord,
    id::SessionId,
    limits,
    role::Role,
    seal::handshake::{Handshake, Step},
    version,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf},
    net::{TcpListener, TcpStream},
    sync::{Mutex, watch},
    task::JoinSet,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// What the relay does to the third frame of input that the first side sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// Nothing: forwards.
    Forward,
    /// Turns one bit of the ciphertext.
    Alter,
    /// Turns one bit of the sequence number.
    AlterSequence,
    /// Sends a frame on another lane.
    MoveLane,
    /// Sends a frame twice.
    Repeat,
    /// Sends two frames in the other order.
    Reorder,
    /// Leaves one frame out.
    Drop,
    /// Cuts a frame short.
    Shorten,
    /// Sends a side's own frame back to it.
    Reflect,
    /// Sends frames of the session on the next connection pair.
    CrossWire,
    /// Plays each side the other one, with this guess of the secret.
    Impersonate {
        /// The four digits it guesses.
        guess: Vec<u8>,
        /// The session of both introductions.
        session_id: SessionId,
        /// What each side was told, customer's first.
        introductions: [String; 2],
    },
}

/// A running evil relay.
#[derive(Debug)]
pub struct EvilRelay {
    /// Where it listens.
    pub address: String,
    /// The hash tools pin.
    pub spki: String,
    fooled: Arc<AtomicBool>,
    forwarded: Arc<AtomicU64>,
    sides: watch::Receiver<u64>,
    tasks: JoinSet<()>,
}

type Reader = ReadHalf<TlsStream<TcpStream>>;
type Writer = WriteHalf<TlsStream<TcpStream>>;

impl EvilRelay {
    /// Listens on a free port and serves connections in pairs, in the order in which they come.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start(deed: Deed) -> Result<Self> {
        let files = tls::self_signed(&["localhost"])?;
        let config = tls::server_config(files.cert_pem.as_bytes(), files.key_pem.as_bytes(), &[version::ALPN])?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let (fooled, forwarded) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (welcomed, sides) = watch::channel(0);
        let mut tasks = JoinSet::new();
        let place = Place { deed, fooled: Arc::clone(&fooled), forwarded: Arc::clone(&forwarded) };
        tasks.spawn(async move {
            let mut pairs = JoinSet::new();
            while let Ok(pair) =
                accept_pair(&listener, &TlsAcceptor::from(Arc::clone(&config)), &place.deed, &welcomed).await
            {
                let place = place.clone();
                pairs.spawn(async move { place.serve(pair).await });
            }
        });
        Ok(Self { address, spki: files.spki_hash, fooled, forwarded, sides, tasks })
    }

    /// Whether an impersonation succeeded.
    pub fn fooled_somebody(&self) -> bool {
        self.fooled.load(Ordering::SeqCst)
    }

    /// Waits until this many connections were welcomed since the start.
    pub async fn wait_for_sides(&self, count: u64) {
        let mut sides = self.sides.clone();
        // The sender lives as long as the relay, so waiting ends only when the count is reached.
        drop(sides.wait_for(|welcomed| count <= *welcomed).await);
    }

    /// Sealed frames of input that went through its hands, or all that were crossed.
    pub fn forwarded(&self) -> u64 {
        self.forwarded.load(Ordering::SeqCst)
    }

    /// Ends it.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

#[derive(Clone)]
struct Place {
    deed: Deed,
    fooled: Arc<AtomicBool>,
    forwarded: Arc<AtomicU64>,
}

/// Two connections that believe to be one session; four for cross-wiring.
struct Pair {
    sides: Vec<(Reader, Writer)>,
}

async fn accept_pair(
    listener: &TcpListener,
    acceptor: &TlsAcceptor,
    deed: &Deed,
    welcomed: &watch::Sender<u64>,
) -> Result<Pair> {
    let wanted = if *deed == Deed::CrossWire { 4 } else { 2 };
    let mut sides = Vec::new();
    while sides.len() < wanted {
        let (socket, _) = listener.accept().await?;
        let stream = acceptor.accept(socket).await?;
        let (mut reader, mut writer) = tokio::io::split(stream);
        let hello = read_frame(&mut reader).await?;
        anyhow::ensure!(hello.kind == FrameType::Hello, "no hello");
        let peer_present = sides.len() % 2 == 1;
        write_frame(&mut writer, &RelayWord::Welcome { peer_present }.to_frame()).await?;
        if peer_present && let Some((_, first)) = sides.last_mut() {
            write_frame(first, &RelayWord::PeerPresent.to_frame()).await?;
        }
        sides.push((reader, writer));
        welcomed.send_modify(|count| *count += 1);
    }
    Ok(Pair { sides })
}

impl Place {
    async fn serve(self, pair: Pair) {
        let mut sides = pair.sides.into_iter();
        let mut tasks = JoinSet::new();
        if let Deed::Impersonate { guess, session_id, introductions: [to_customer, to_operator] } = &self.deed {
            for (side, role, introduction) in
                [(sides.next(), Role::Operator, to_customer), (sides.next(), Role::Customer, to_operator)]
            {
                let Some((reader, writer)) = side else { return };
                let (guess, session_id, introduction) = (guess.clone(), *session_id, introduction.clone());
                let fooled = Arc::clone(&self.fooled);
                tasks.spawn(async move {
                    if impersonate(reader, writer, role, &guess, session_id, &introduction).await.unwrap_or(false) {
                        fooled.store(true, Ordering::SeqCst);
                    }
                });
            }
            // Both sides are to hear the end of their own exchange.
            while tasks.join_next().await.is_some() {}
            return;
        } else if self.deed == Deed::CrossWire {
            let (Some(a), Some(b), Some(c), Some(d)) = (sides.next(), sides.next(), sides.next(), sides.next()) else {
                return;
            };
            self.cross_wire([a, b, c, d], &mut tasks);
        } else {
            let (Some((first_in, first_out)), Some((second_in, second_out))) = (sides.next(), sides.next()) else {
                return;
            };
            let (first_out, second_out) = (Arc::new(Mutex::new(first_out)), Arc::new(Mutex::new(second_out)));
            let bad = self.clone();
            let (back, forth) = (Arc::clone(&first_out), Arc::clone(&second_out));
            tasks.spawn(async move { bad.forward_badly(first_in, &forth, &back).await });
            tasks.spawn(async move { forward(second_in, &first_out).await });
        }
        // One direction that ends takes the other with it, as a relay does.
        let _first_to_end = tasks.join_next().await;
        tasks.shutdown().await;
    }

    async fn forward_badly(&self, mut from: Reader, to: &Mutex<Writer>, back: &Mutex<Writer>) {
        let mut held: Option<Frame> = None;
        while let Ok(frame) = read_frame(&mut from).await {
            let mut out = vec![frame];
            if out[0].kind == FrameType::Sealed {
                let count = self.forwarded.fetch_add(u64::from(out[0].lane == Lane::Input), Ordering::SeqCst) + 1;
                if out[0].lane == Lane::Input && (count == 3 || held.is_some()) {
                    out = self.tamper(out.remove(0), &mut held, back).await;
                }
            } else if out[0].kind == FrameType::Ping {
                let pong = Frame { kind: FrameType::Pong, ..out.remove(0) };
                if write_frame(&mut *back.lock().await, &pong).await.is_err() {
                    return;
                }
            }
            for frame in out {
                if write_frame(&mut *to.lock().await, &frame).await.is_err() {
                    return;
                }
            }
        }
    }

    /// The frames to send on in place of `frame`.
    async fn tamper(&self, frame: Frame, held: &mut Option<Frame>, back: &Mutex<Writer>) -> Vec<Frame> {
        if let Some(earlier) = held.take() {
            return vec![frame, earlier];
        }
        match &self.deed {
            Deed::Forward | Deed::CrossWire | Deed::Impersonate { .. } => vec![frame],
            Deed::Alter => vec![with_bit_turned(&frame, frame.payload.len() - 20)],
            Deed::AlterSequence => vec![with_bit_turned(&frame, 0)],
            Deed::MoveLane => {
                let lane = if frame.lane == Lane::Bulk { Lane::Control } else { Lane::Bulk };
                vec![Frame { lane, ..frame }]
            }
            Deed::Repeat => vec![frame.clone(), frame],
            Deed::Reorder => {
                *held = Some(frame);
                vec![]
            }
            Deed::Drop => vec![],
            Deed::Shorten => vec![Frame { payload: frame.payload.slice(..frame.payload.len() - 1), ..frame }],
            Deed::Reflect => {
                if write_frame(&mut *back.lock().await, &frame).await.is_err() {
                    return vec![];
                }
                vec![frame]
            }
        }
    }

    /// Lets two pairs prove honestly, then sends each first side's sealed frames to the other session.
    fn cross_wire(&self, sides: [(Reader, Writer); 4], tasks: &mut JoinSet<()>) {
        let mut readers = Vec::new();
        let mut writers = Vec::new();
        for (reader, writer) in sides {
            readers.push(reader);
            writers.push(Arc::new(Mutex::new(writer)));
        }
        for (index, mut reader) in readers.into_iter().enumerate() {
            let honest = Arc::clone(&writers[index ^ 1]);
            let crossed = Arc::clone(&writers[3 - index]);
            let forwarded = Arc::clone(&self.forwarded);
            tasks.spawn(async move {
                let mut sealed = 0;
                while let Ok(frame) = read_frame(&mut reader).await {
                    sealed += u32::from(frame.kind == FrameType::Sealed);
                    let wrong = frame.kind == FrameType::Sealed && 2 < sealed;
                    forwarded.fetch_add(u64::from(wrong), Ordering::SeqCst);
                    let to = if wrong { &crossed } else { &honest };
                    if write_frame(&mut *to.lock().await, &frame).await.is_err() {
                        return;
                    }
                }
            });
        }
    }
}

async fn forward(mut from: Reader, to: &Mutex<Writer>) {
    while let Ok(frame) = read_frame(&mut from).await {
        if frame.kind == FrameType::Ping {
            continue;
        }
        if write_frame(&mut *to.lock().await, &frame).await.is_err() {
            return;
        }
    }
}

/// Plays the key exchange as `role` with a guess; whether the other side's confirmation held.
async fn impersonate(
    mut reader: Reader,
    mut writer: Writer,
    role: Role,
    guess: &[u8],
    session_id: SessionId,
    introduction: &str,
) -> Result<bool> {
    let (mut handshake, first) = Handshake::start(role, guess, session_id, introduction, &mut rand_core::OsRng)?;
    write_frame(&mut writer, &Frame::plain(FrameType::Prove, Bytes::from(first))?).await?;
    loop {
        let frame = read_frame(&mut reader).await?;
        if frame.kind != FrameType::Prove {
            continue;
        }
        match handshake.on(&frame.payload) {
            Ok(Step::Continue { handshake: next, send }) => {
                write_frame(&mut writer, &Frame::plain(FrameType::Prove, Bytes::from(send))?).await?;
                handshake = next;
            }
            Ok(Step::Done { .. }) => return Ok(true),
            Err(_wrong_secret) => {
                write_frame(&mut writer, &RelayWord::PeerGone(CloseReason::WrongSecret).to_frame()).await?;
                return Ok(false);
            }
        }
    }
}

fn with_bit_turned(frame: &Frame, at: usize) -> Frame {
    let mut payload = frame.payload.to_vec();
    payload[at] ^= 1;
    Frame { payload: Bytes::from(payload), ..frame.clone() }
}

async fn read_frame(reader: &mut Reader) -> Result<Frame> {
    let mut header = [0; limits::FRAME_HEADER_LEN];
    reader.read_exact(&mut header).await?;
    let header = FrameHeader::parse(header)?;
    let mut payload = vec![0; usize::from(header.len)];
    reader.read_exact(&mut payload).await?;
    Ok(Frame { kind: header.kind, lane: header.lane, flags: header.flags, payload: Bytes::from(payload) })
}

async fn write_frame(writer: &mut Writer, frame: &Frame) -> Result<()> {
    let mut bytes = frame.header().context("a frame that is too long")?.to_bytes().to_vec();
    bytes.extend_from_slice(&frame.payload);
    writer.write_all(&bytes).await?;
    writer.flush().await?;
    Ok(())
}
