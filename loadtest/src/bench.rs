//! First readings of the relay's cost: one relay process, sealed-looking frames through it, CPU from `/proc`.
//!
//! The generator runs beside the relay on the same machine; only the relay's own CPU seconds and memory are read.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use link::{
    framed::write_all,
    join::{Admission, join, wait_for_peer},
    tcp::{Connection, DialedStream, dial},
};
use ops::{clock::Clock, tls};
use proto::{
    frame::{Frame, FrameType, Lane},
    id::{RelayId, SessionId},
    limits,
    role::Role,
    ticket::{ProofKey, SigningKey, Ticket, TicketRelay, proof_key_hash},
};
use rand_core::{OsRng, RngCore as _};
use serde::Serialize;
use tokio::{process::Command, time::timeout};

use crate::{
    figures::percentile,
    process::{Process, our_binary, usage},
    world::{free_address, wait_ready},
};

/// What `uketsuke-loadtest bench` prints.
#[derive(Debug, Serialize)]
pub struct Reading {
    /// Gigabytes (10⁹ bytes of payload) forwarded in each round.
    pub gigabytes: f64,
    /// Payload of one frame, bytes.
    pub frame_bytes: usize,
    /// Relay CPU seconds for one gigabyte, one value a round.
    pub cpu_secs_per_gb: Vec<f64>,
    /// The median of these.
    pub cpu_secs_per_gb_median: f64,
    /// Idle sessions held, two TLS connections each.
    pub idle_sessions: u32,
    /// Growth of the relay's resident memory for each of them, KiB.
    pub kib_per_idle_session: f64,
}

/// Takes the readings.
///
/// # Errors
/// When the relay does not start, refuses, or loses a byte.
pub async fn relay(gigabytes: f64, sessions: u32) -> Result<Reading> {
    ensure!((0.01..=100.0).contains(&gigabytes), "--gigabytes is from 0.01 to 100");
    ensure!((1..=2000).contains(&sessions), "--sessions is from 1 to 2000");
    let folder = tempfile::Builder::new().prefix("uketsuke-bench-").tempdir()?;
    let bench = Bench::start(folder.path()).await?;

    let before = usage(bench.relay.id())?;
    let mut idle = Vec::new();
    for _ in 0..sessions {
        idle.push(bench.pair().await?);
    }
    let after = usage(bench.relay.id())?;
    let grown = after.resident_kib.saturating_sub(before.resident_kib);
    drop(idle);

    let mut cpu_secs_per_gb = Vec::new();
    for _ in 0..ROUNDS {
        cpu_secs_per_gb.push(bench.forward(gigabytes).await?);
    }
    let cpu_secs_per_gb_median = percentile(&cpu_secs_per_gb, 0.5);
    bench.relay.stop(Duration::from_secs(5)).await?;
    #[expect(clippy::cast_precision_loss, reason = "KiB of one process")]
    let kib_per_idle_session = grown as f64 / f64::from(sessions);
    Ok(Reading {
        gigabytes,
        frame_bytes: FRAME_BYTES,
        cpu_secs_per_gb,
        cpu_secs_per_gb_median,
        idle_sessions: sessions,
        kib_per_idle_session,
    })
}

struct Bench {
    relay: Process,
    address: String,
    spki: String,
    key: SigningKey,
}

impl Bench {
    async fn start(folder: &Path) -> Result<Self> {
        let mut seed = [0; 32];
        OsRng.fill_bytes(&mut seed);
        let key = SigningKey::from_seed("bench", seed)?;
        let files = tls::self_signed(&["localhost"])?;
        std::fs::write(folder.join("relay.pem"), &files.cert_pem)?;
        std::fs::write(folder.join("relay.key"), &files.key_pem)?;
        let (listen, private) = (free_address()?, free_address()?);
        let text = format!(
            r#"
listen = "{listen}"
public_address = "{listen}"
private_listen = "{private}"
certificate_file = "{}"
key_file = "{}"

[[ticket_keys]]
key_id = "bench"
public_key = "{}"
"#,
            folder.join("relay.pem").display(),
            folder.join("relay.key").display(),
            key.verifying_key().to_hex(),
        );
        std::fs::write(folder.join("relay.toml"), text)?;
        let mut command = Command::new(our_binary("uketsuke-relay")?);
        command.args(["serve", "--config", "relay.toml"]).current_dir(folder);
        let relay = Process::start("relay", command, folder)?;
        wait_ready("relay", private).await?;
        Ok(Self { relay, address: listen.to_string(), spki: files.spki_hash, key })
    }

    /// Joins both sides of a new session.
    async fn pair(&self) -> Result<(Connection<DialedStream>, Connection<DialedStream>)> {
        let mut id = [0; 16];
        OsRng.fill_bytes(&mut id);
        let mut customer = self.side(SessionId::from_bytes(id), Role::Customer).await?;
        let operator = self.side(SessionId::from_bytes(id), Role::Operator).await?;
        wait_for_peer(&mut customer).await?;
        Ok((customer, operator))
    }

    async fn side(&self, session_id: SessionId, role: Role) -> Result<Connection<DialedStream>> {
        let proof_key = Arc::new(ProofKey::random(&mut OsRng));
        let now = Clock::system().now_ms();
        let hour = i64::try_from(limits::TICKET_LIFE.as_millis())?;
        let ticket = Ticket {
            session_id,
            role,
            proof_key_hash: proof_key_hash(&proof_key.public()),
            relays: vec![TicketRelay { relay_id: RelayId::from_bytes([1; 16]), spki: self.spki.clone() }],
            rate_max: u64::from(u32::MAX),
            issued_at_ms: now,
            expires_at_ms: now + hour,
            hard_end_at_ms: now + hour,
        }
        .sign(&self.key)?;
        let mut connection = dial(&self.address, &self.spki).await?;
        join(&mut connection, &Admission { ticket: &ticket, proof_key: &proof_key, generation: 0 }).await?;
        Ok(connection)
    }

    /// Sends `gigabytes` of frames from the customer to the operator; relay CPU seconds per gigabyte.
    async fn forward(&self, gigabytes: f64) -> Result<f64> {
        let (mut customer, mut operator) = self.pair().await?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most a hundred gigabytes")]
        let frames = (gigabytes * 1e9) as usize / FRAME_BYTES;
        let frame = Frame::sealed(Lane::Screen, 0, Bytes::from(vec![0xA5; FRAME_BYTES]))?;
        let mut wire = frame.header()?.to_bytes().to_vec();
        wire.extend_from_slice(&frame.payload);
        let burst = [Bytes::from(wire.repeat(BURST))];
        let before = usage(self.relay.id())?;
        let sending = tokio::spawn(async move {
            for _ in 0..frames.div_ceil(BURST) {
                write_all(&mut customer.writer, &burst).await?;
            }
            anyhow::Ok(customer)
        });
        let mut received = 0;
        while received < frames {
            let frame = timeout(Duration::from_secs(30), operator.reader.next())
                .await
                .context("the relay forwards nothing any more")??
                .context("the relay closed the session")?;
            received += usize::from(frame.header.kind == FrameType::Sealed);
        }
        let used = usage(self.relay.id())?.cpu_secs - before.cpu_secs;
        drop(sending.await??);
        #[expect(clippy::cast_precision_loss, reason = "frames of one round")]
        let forwarded = (received * FRAME_BYTES) as f64 / 1e9;
        Ok(used / forwarded)
    }
}

const FRAME_BYTES: usize = 16 * 1024;
const BURST: usize = 2;
const ROUNDS: usize = 5;
