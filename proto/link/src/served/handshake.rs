//! The handshake of a tool, by rustls; the traffic secrets come out of it.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool},
    time::Duration,
};

use bytes::Bytes;
use proto::{limits::FRAME_PAYLOAD_MAX, version};
use rustls::{KeyLog, ServerConfig, ServerConnection};
use tokio::{net::TcpStream, time::timeout};
use zeroize::Zeroizing;

use super::{
    Served,
    reader::{RecordReader, poll_scratch},
    writer::{RecordWriter, write},
};
use crate::{
    record::{self, Opener, RecordError, Sealer},
    tcp, tls,
};

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
    let mut part = handshake.await.map_err(|_late| AcceptError::Timeout)??;
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
        plain: Bytes::new(),
        payload_max: FRAME_PAYLOAD_MAX,
        end: None,
        asked: Arc::clone(&asked),
    };
    let left = reader.take_records(&part);
    reader.part = part.split_off(part.len().saturating_sub(left));
    let writer = RecordWriter { socket, sealer, rest: Bytes::new(), blocked_since: None, asked };
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
            std::future::poll_fn(|cx| poll_scratch(socket, &mut part, cx, <[u8]>::len)).await?;
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
