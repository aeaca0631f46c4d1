//! A tool's first words at a relay: `Hello` → `Welcome` → `PeerPresent`. Mirror of `relay/src/admit.rs`.

use std::time::Duration;

use proto::{
    close::CloseReason,
    frame::{FrameType, Lane},
    hello::{Hello, RelayWord, proof_text},
    limits::{HELLO_TIMEOUT, PEER_TIMEOUT, SILENCE_TIMEOUT},
    ticket::ProofKey,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};

use crate::{
    framed::{ReadError, WireFrame, write_frame},
    keepalive,
    tcp::Connection,
};

/// Added to what the relay allows, so that the relay's own word about it arrives first.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

/// Frames that overtake the end of the key exchange at most: it is one packet late, and a picture is not sent before
/// people have answered questions.
const EARLY_MAX: usize = 64;

/// Why a tool and its peer did not come together at this relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// The relay does not admit, or no longer.
    #[error("the relay refused: {}", .0.as_str())]
    Refused(CloseReason),
    /// The other side left.
    #[error("the other side is gone: {}", .0.as_str())]
    PeerGone(CloseReason),
    /// Something did not happen in time.
    #[error("not in time: {}", .0.as_str())]
    Timeout(CloseReason),
    /// The connection broke.
    #[error("the connection broke")]
    Broken,
    /// The relay does not speak this protocol.
    #[error("the relay said something that is not the protocol")]
    Malformed,
}

/// Who asks for admission.
pub struct Admission<'a> {
    /// The ticket of the pairing.
    pub ticket: &'a str,
    /// The key whose hash is in the ticket.
    pub proof_key: &'a ProofKey,
    /// Grows with each reconnect.
    pub generation: u32,
}

/// Asks for admission; `true` when the other side is there already.
///
/// # Errors
/// See [`JoinError`].
pub async fn join<S>(connection: &mut Connection<S>, admission: &Admission<'_>) -> Result<bool, JoinError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Admission { ticket, proof_key, generation } = admission;
    let text = proof_text(&connection.exporter, ticket, *generation);
    let hello = Hello {
        proof_key: proof_key.public(),
        generation: *generation,
        signature: proof_key.sign(&text),
        ticket: (*ticket).to_owned(),
    };
    let frame = hello.to_frame().map_err(|_ticket_too_long| JoinError::Malformed)?;
    // A relay that refuses before it reads may close while we write; its word is still to be read then.
    let written = write_frame(&mut connection.writer, frame).await;
    let answer = timeout(HELLO_TIMEOUT + GRACE, next(connection));
    match answer.await.map_err(|_late| JoinError::Timeout(CloseReason::HelloTimeout))?.map(|frame| word(&frame)) {
        Ok(Some(RelayWord::Welcome { peer_present })) if written.is_ok() => Ok(peer_present),
        Ok(Some(RelayWord::Refused(reason))) => Err(JoinError::Refused(reason)),
        Ok(
            Some(RelayWord::Welcome { .. } | RelayWord::PeerPresent | RelayWord::PeerGone(_) | RelayWord::Goaway)
            | None,
        ) => Err(JoinError::Malformed),
        Err(error) => Err(error),
    }
}

/// Waits for the other side, at most as long as the relay does.
///
/// # Errors
/// See [`JoinError`].
pub async fn wait_for_peer<S>(connection: &mut Connection<S>) -> Result<(), JoinError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let present = timeout(PEER_TIMEOUT + GRACE, hear(connection));
    match present.await.map_err(|_late| JoinError::Timeout(CloseReason::PeerTimeout))?? {
        Heard::PeerPresent => Ok(()),
        Heard::PeerGone(reason) => Err(JoinError::PeerGone(reason)),
        Heard::Goaway => Err(JoinError::Refused(CloseReason::Draining)),
        Heard::Step(_) => Err(JoinError::Malformed),
    }
}

/// What is heard before the key exchange is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// The other side has come, or come back.
    PeerPresent,
    /// The other side left.
    PeerGone(CloseReason),
    /// The relay is being stopped. It still forwards.
    Goaway,
    /// A payload of the key exchange.
    Step(bytes::Bytes),
}

/// The next thing that happens before the key exchange is done. Sealed frames that come on other lanes are kept: on QUIC
/// they may overtake its last payload.
///
/// # Errors
/// See [`JoinError`].
pub async fn hear<S>(connection: &mut Connection<S>) -> Result<Heard, JoinError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        let frame = next(connection).await?;
        if frame.header.kind == FrameType::Prove {
            return Ok(Heard::Step(frame.payload()));
        }
        if frame.header.kind == FrameType::Sealed
            && frame.header.lane != Lane::Control
            && connection.early.len() < EARLY_MAX
        {
            connection.early.push(frame);
            continue;
        }
        return match word(&frame) {
            Some(RelayWord::PeerPresent) => Ok(Heard::PeerPresent),
            Some(RelayWord::PeerGone(reason)) => Ok(Heard::PeerGone(reason)),
            Some(RelayWord::Goaway) => Ok(Heard::Goaway),
            Some(RelayWord::Refused(CloseReason::PeerTimeout)) => Err(JoinError::Timeout(CloseReason::PeerTimeout)),
            Some(RelayWord::Refused(reason)) => Err(JoinError::Refused(reason)),
            Some(RelayWord::Welcome { .. }) | None => Err(JoinError::Malformed),
        };
    }
}

/// The next frame that is not about keep-alive; pings are answered on the way.
async fn next<S>(connection: &mut Connection<S>) -> Result<WireFrame, JoinError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        let read = timeout(SILENCE_TIMEOUT, connection.reader.next());
        let frame = match read.await.map_err(|_silent| JoinError::Timeout(CloseReason::Silent))? {
            Ok(Some(frame)) => frame,
            Ok(None) | Err(ReadError::Broken(_)) => return Err(JoinError::Broken),
            Err(ReadError::Malformed(_)) => return Err(JoinError::Malformed),
        };
        match frame.header.kind {
            FrameType::Ping => {
                let pong = keepalive::pong(frame.payload());
                write_frame(&mut connection.writer, pong).await.map_err(|_broken| JoinError::Broken)?;
            }
            FrameType::Pong => {}
            FrameType::Hello
            | FrameType::Welcome
            | FrameType::Refused
            | FrameType::PeerPresent
            | FrameType::PeerGone
            | FrameType::Goaway
            | FrameType::Prove
            | FrameType::Sealed
            | FrameType::Resume
            | FrameType::Rejoin => return Ok(frame),
        }
    }
}

fn word(frame: &WireFrame) -> Option<RelayWord> {
    RelayWord::parse(&frame.to_frame())
}
