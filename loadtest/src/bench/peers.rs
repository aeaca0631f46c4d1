//! What is compared: each starts as one process, takes sessions, and is ended by its id.
//!
//! All of them do TLS 1.3 on both sides with the same certificate, cipher suite (AES-128-GCM) and key exchange (X25519),
//! except the plain copy loop.

use std::{net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context as _, Result, bail};
use proto::ticket::SigningKey;
use rand_core::{OsRng, RngCore as _};
use tokio::{net::TcpStream, process::Command};

use crate::{
    desktop::pause,
    load::{
        road::{Road, SinkAddress},
        tls::{Identity, KeyExchange},
    },
    meter::Meter,
    private::wait_ready,
    process::{Process, installed, our_binary},
    world::free_address,
};

/// How long a server may take to listen.
const START_TICKS: u32 = 200;
const TICK: Duration = Duration::from_millis(50);
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// Who is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Our relay.
    Relay,
    /// HAProxy of Debian, one thread, as a TLS-to-TLS proxy.
    Haproxy,
    /// The floor with TLS.
    TlsCopy,
    /// The floor without.
    PlainCopy,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Relay, Self::Haproxy, Self::TlsCopy, Self::PlainCopy];

    /// The name in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::Haproxy => "HAProxy",
            Self::TlsCopy => "TLS copy",
            Self::PlainCopy => "plain copy",
        }
    }
}

/// One of them at work.
pub struct Peer {
    process: Process,
    /// How sessions go through it.
    pub road: Road,
    /// What is dialed for a handshake and nothing else; none without TLS.
    pub handshakes: Option<SocketAddr>,
    /// Its use of the machine.
    pub meter: Meter,
}

/// What all of them share.
pub struct Ground {
    folder: tempfile::TempDir,
    /// Certificate and authority.
    pub identity: Identity,
    tls_sink: SinkAddress,
    plain_sink: SinkAddress,
}

impl Ground {
    /// Makes certificates, files and sinks.
    ///
    /// # Errors
    /// When something cannot be made.
    pub fn prepare() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("uketsuke-bench-").tempdir()?;
        let identity = Identity::make()?;
        let files = identity.files();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text);
        write("cert.pem", &files.cert_pem)?;
        write("key.pem", &files.key_pem)?;
        write("both.pem", &format!("{}{}", files.cert_pem, files.key_pem))?;
        write("ca.pem", identity.ca_pem())?;
        let (tls_sink, plain_sink) = (SinkAddress::listen(Some(&identity))?, SinkAddress::listen(None)?);
        Ok(Self { folder, identity, tls_sink, plain_sink })
    }

    /// The way without anything in between.
    ///
    /// # Errors
    /// Never with an identity that was made.
    pub fn direct(&self) -> Result<Road> {
        Road::to_sink(self.tls_sink.address, Some(&self.identity), &self.tls_sink)
    }

    /// Starts one of them and waits until it listens.
    ///
    /// # Errors
    /// When it is not installed or built, or does not listen in time.
    pub async fn start(&self, kind: Kind, sessions_max: u32) -> Result<Peer> {
        match kind {
            Kind::Relay => self.start_relay(sessions_max).await,
            Kind::Haproxy => self.start_haproxy(sessions_max).await,
            Kind::TlsCopy | Kind::PlainCopy => self.start_copy(kind).await,
        }
    }

    /// What dials for handshakes.
    ///
    /// # Errors
    /// Never with an identity that was made.
    pub fn handshake_client(
        &self,
        exchange: KeyExchange,
    ) -> Result<std::sync::Arc<tokio_rustls::rustls::ClientConfig>> {
        self.identity.client(exchange, &[proto::version::ALPN])
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    async fn start_relay(&self, sessions_max: u32) -> Result<Peer> {
        let mut seed = [0; 32];
        OsRng.fill_bytes(&mut seed);
        let key = SigningKey::from_seed("bench", seed)?;
        let (listen, private) = (free_address()?, free_address()?);
        // The last tenth of the places is for tools that come back.
        let connections = sessions_max.saturating_mul(2).saturating_add(1024).saturating_mul(10) / 9;
        let text = format!(
            r#"
listen = "{listen}"
public_address = "{listen}"
private_listen = "{private}"
certificate_file = "cert.pem"
key_file = "key.pem"

[limits]
connections = {connections}
connections_per_address = {connections}
handshakes = {connections}
handshakes_per_address = {connections}
# The whole load comes from one address.
accepts_per_second = 1000000
accepts_per_second_per_address = 1000000
sessions = {}

[[ticket_keys]]
key_id = "bench"
public_key = "{}"
"#,
            sessions_max.saturating_add(512),
            key.verifying_key().to_hex(),
        );
        std::fs::write(self.path().join("relay.toml"), text)?;
        let mut command = Command::new(our_binary("uketsuke-relay")?);
        command.args(["serve", "--config", "relay.toml"]).current_dir(self.path());
        let process = Process::start("relay", command, self.path())?;
        wait_ready("relay", private).await?;
        let road = Road::over_relay(listen, &self.identity, key)?;
        Ok(Peer::new(Kind::Relay, process, road, Some(listen)))
    }

    async fn start_haproxy(&self, sessions_max: u32) -> Result<Peer> {
        let program = haproxy()?;
        let (listen, handshakes) = (free_address()?, free_address()?);
        let text = format!(
            r"
global
    nbthread 1
    maxconn {}
    tune.ssl.cachesize 0
    ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256
    ssl-default-bind-curves X25519
    ssl-default-bind-options ssl-min-ver TLSv1.3 no-tls-tickets
    ssl-default-server-ciphersuites TLS_AES_128_GCM_SHA256
    ssl-default-server-options ssl-min-ver TLSv1.3 no-tls-tickets
defaults
    mode tcp
    timeout connect 10s
    timeout client 10m
    timeout server 10m
listen proxy
    bind {listen} ssl crt both.pem
    server sink {} ssl verify none no-ssl-reuse
frontend handshakes
    bind {handshakes} ssl crt both.pem
    tcp-request session reject
",
            sessions_max.saturating_add(512),
            self.tls_sink.address,
        );
        std::fs::write(self.path().join("haproxy.cfg"), text)?;
        let mut command = Command::new(program);
        // In the foreground, one process, no messages.
        command.args(["-db", "-q", "-f", "haproxy.cfg"]).current_dir(self.path());
        let mut process = Process::start("haproxy", command, self.path())?;
        wait_listening(&mut process, listen).await?;
        let road = Road::to_sink(listen, Some(&self.identity), &self.tls_sink)?;
        Ok(Peer::new(Kind::Haproxy, process, road, Some(handshakes)))
    }

    async fn start_copy(&self, kind: Kind) -> Result<Peer> {
        let (listen, handshakes) = (free_address()?, free_address()?);
        let is_tls = kind == Kind::TlsCopy;
        let sink = if is_tls { &self.tls_sink } else { &self.plain_sink };
        let mut command = Command::new(our_binary("uketsuke-loadtest")?);
        command.args(["copy", "--listen", &listen.to_string(), "--to", &sink.address.to_string()]);
        if is_tls {
            command.args(["--handshakes", &handshakes.to_string(), "--tls"]).arg(self.path());
        }
        let name = if is_tls { "tls-copy" } else { "plain-copy" };
        let mut process = Process::start(name, command, self.path())?;
        wait_listening(&mut process, listen).await?;
        let road = Road::to_sink(listen, Some(&self.identity).filter(|_| is_tls), sink)?;
        Ok(Peer::new(kind, process, road, Some(handshakes).filter(|_| is_tls)))
    }
}

impl Peer {
    fn new(kind: Kind, process: Process, road: Road, handshakes: Option<SocketAddr>) -> Self {
        let meter = Meter { name: kind.as_str().to_owned(), pid: process.id() };
        Self { process, road, handshakes, meter }
    }

    /// Ends it.
    ///
    /// # Errors
    /// When it had ended by itself, with the end of its log.
    pub async fn stop(mut self) -> Result<()> {
        self.process.check_alive()?;
        self.process.stop(STOP_PATIENCE).await
    }
}

/// Where HAProxy is.
///
/// # Errors
/// One sentence that says how to install it.
pub fn haproxy() -> Result<std::path::PathBuf> {
    // Debian puts it where only root's path leads.
    let usual = Path::new("/usr/sbin/haproxy");
    if usual.is_file() {
        return Ok(usual.to_owned());
    }
    if installed("haproxy") {
        return Ok("haproxy".into());
    }
    bail!("HAProxy is not installed: install the Debian package haproxy, or run ops/bench, which does")
}

async fn wait_listening(process: &mut Process, address: SocketAddr) -> Result<()> {
    for _ in 0..START_TICKS {
        process.check_alive()?;
        if TcpStream::connect(address).await.is_ok() {
            return Ok(());
        }
        pause(TICK).await;
    }
    Err(anyhow::anyhow!("nobody listens")).context(address.to_string())
}
