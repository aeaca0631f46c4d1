//! The relay: forwards and forgets.
//!
//! Reading order is the life of a connection: listen → admit → pair → forward → report.
//! A tool connects, shows a ticket, is put together with the one other tool of its session, and from then on its frames
//! are copied to the other side as they are; when one side leaves, the other is told and everything is freed.
//!
//! Work of different kinds has threads of its own (`plane.rs`): the door accepts, shakes hands and looks at tickets; the
//! data plane forwards; control is where [`Relay::serve`] was called. None can starve another.
//!
//! Guarantees: exactly two sides in a session; nothing is admitted without a ticket of the manager and the key it names;
//! every buffer, queue and wait is bounded; neither direction ever waits for the other. It writes nothing to disk.
//! It does not know who talks about what: the frames are sealed from tool to tool.
#![forbid(unsafe_code)]

pub mod config;

mod plane;

mod gate;

pub mod listen;

mod quic;

mod transport;

pub mod admit;

pub mod pair;

pub mod forward;

pub mod limit;

pub mod sources;

pub mod verify;

pub mod memory;

mod descriptors;

pub mod drain;

pub mod report;

pub mod metrics;

pub mod cli;

use std::{io, sync::Arc};

use link::{
    api::{ApiError, ManagerApi},
    quic::limits::CERTIFICATES_LEN_MAX,
};
use ops::{
    clock::Clock,
    metrics::{MetricError, Registry},
    private::{self, Readiness},
    proxied::ProxyFrom,
    shutdown::Shutdown,
    tls::{Certificate, TlsError},
};
use proto::{
    close::CloseReason,
    hello::RelayWord,
    id::SessionId,
    limits::{CLOCK_SKEW_MAX, TICKET_LIFE},
    version,
};
use rustls::ServerConfig;
use tokio::{
    net::TcpListener,
    time::{Instant, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use self::{
    admit::Keys,
    config::{Config, Deadlines, Limits},
    forward::{Seat, Urgency},
    gate::Gate,
    listen::{Entrance, Listeners},
    metrics::{Forwarded, RelayMetrics},
    pair::Pairs,
    plane::Threads,
    report::Reports,
};

/// A relay that is ready to serve: keys and certificate are read, nothing listens yet.
pub struct Relay {
    pub(crate) limits: Limits,
    pub(crate) gate: Gate,
    /// Load balancers that must say who connected to them.
    pub(crate) proxy_from: ProxyFrom,
    pub(crate) deadlines: Deadlines,
    pub(crate) clock: Clock,
    pub(crate) keys: Keys,
    pub(crate) pairs: Pairs<Arc<Seat>>,
    pub(crate) reports: Reports,
    pub(crate) metrics: RelayMetrics,
    pub(crate) forwarded: Forwarded,
    pub(crate) tls: Arc<ServerConfig>,
    pub(crate) public_address: String,
    pub(crate) quic_retry_always: bool,
    pub(crate) manager: Option<ManagerApi>,
    /// One task for each connection, and those that outlive a request.
    pub(crate) connections: TaskTracker,
    registry: Registry,
    certificate: Arc<Certificate>,
}

/// Why a relay cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The certificate cannot be read or made.
    #[error(transparent)]
    Certificate(#[from] TlsError),
    /// A file that the configuration names cannot be read.
    #[error("{file}: {cause}")]
    File {
        /// The file.
        file: String,
        /// What the system says.
        cause: io::Error,
    },
    /// A ticket key of the configuration is not one.
    #[error("ticket key {0} has not 64 hexadecimal digits")]
    TicketKey(String),
    /// The manager's address or certificate authority cannot be used.
    #[error("the manager cannot be called: {0}")]
    Manager(#[from] ApiError),
    /// A metric is declared twice.
    #[error(transparent)]
    Metric(#[from] MetricError),
}

/// Runs a relay until `shutdown` says otherwise: prepares it, serves, drains.
///
/// # Errors
/// [`StartError`] as an I/O error of kind `InvalidInput`, and those of the listeners.
pub async fn run(
    config: &Config,
    listeners: Listeners,
    private_listener: Option<TcpListener>,
    shutdown: Shutdown,
) -> io::Result<()> {
    let relay =
        Relay::prepare(config, Clock::system()).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    relay.serve(listeners, private_listener, shutdown).await
}

impl Relay {
    /// Reads or makes everything that serving needs.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn prepare(config: &Config, clock: Clock) -> Result<Arc<Self>, StartError> {
        // A ticket names a key until it ends.
        let certificate = Arc::new(config.certificate()?.keep_earlier(TICKET_LIFE + CLOCK_SKEW_MAX));
        let resolver: Arc<Certificate> = Arc::clone(&certificate);
        let tls = ops::tls::relay_config(resolver, &[version::ALPN])?;
        if config.quic && CERTIFICATES_LEN_MAX < certificate.chain_len() {
            warn!(
                event = "tls.long",
                size_bytes = certificate.chain_len(),
                "The certificate chain is longer than {CERTIFICATES_LEN_MAX} bytes: QUIC takes a round trip more; tools need only its first certificate"
            );
        }
        let registry = Registry::new("relay");
        registry.build_info(env!("CARGO_PKG_VERSION"))?;
        if let Ok(hash) = ops::config::fingerprint(config) {
            registry.config_info(&hash)?;
        }
        let manager = config.manager_api()?;
        let metrics = RelayMetrics::declare(&registry)?;
        let descriptors = descriptors::room(descriptors::limit(), config.limits.threads);
        Ok(Arc::new(Self {
            limits: config.limits,
            gate: Gate::new(&config.limits, descriptors, Instant::now()),
            proxy_from: config.proxy_from.clone(),
            deadlines: config.deadlines,
            clock,
            keys: Keys::new(config.static_keys()?),
            pairs: Pairs::new(config.limits.sessions),
            reports: Reports::new(manager.is_some()),
            forwarded: Forwarded::of(&metrics),
            metrics,
            tls,
            public_address: config.public_address.clone(),
            quic_retry_always: config.quic_retry_always,
            manager,
            connections: TaskTracker::new(),
            registry,
            certificate,
        }))
    }

    /// SHA-256 of the public key that tools pin, 64 hexadecimal digits.
    pub fn spki(&self) -> String {
        self.certificate.spki_hash()
    }

    /// Looks at the certificate's files now instead of within a minute; says whether there is another one. On a mistake
    /// the old one stays.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn renew_certificate(&self) -> Result<bool, TlsError> {
        self.certificate.reload(Instant::now())
    }

    /// Everything that is counted, in the text format that Prometheus reads.
    pub fn metrics_text(&self) -> String {
        self.registry.text()
    }

    /// Sessions at this relay now.
    pub fn sessions(&self) -> usize {
        self.pairs.len()
    }

    /// Bytes that wait in all queues now.
    pub fn queued_bytes(&self) -> usize {
        self.pairs.everybody(false).iter().map(|seat| seat.waiting()).sum()
    }

    /// Serves until draining is over or forced. Control work runs here, everything else on threads of its own, which
    /// have ended when this returns.
    ///
    /// # Errors
    /// A listener breaks, or the system gives no threads.
    pub async fn serve(
        self: Arc<Self>,
        listeners: Listeners,
        private_listener: Option<TcpListener>,
        shutdown: Shutdown,
    ) -> io::Result<()> {
        let mut readiness = Readiness::new();
        let told = report::Told { has_key: readiness.condition("ticket key"), clock: readiness.condition("clock") };
        told.has_key.set(self.keys.has_any());
        told.clock.set(true);
        self.say_started(&listeners, private_listener.as_ref())?;
        let private = async {
            match private_listener {
                Some(private) => private::serve(private, self.registry.clone(), readiness, shutdown.clone()).await,
                None => std::future::pending().await,
            }
        };
        let threads = Threads::start(self.limits.threads)?;
        let closed = self.open_listeners(&threads, listeners, &shutdown)?;
        let work = async {
            tokio::join!(
                async {
                    drain::drained(&self, &shutdown).await;
                    closed.cancel();
                },
                report::heartbeats(&self, &told, &shutdown),
                report::deliver(&self, &shutdown),
                self.watch_certificate(&shutdown),
            );
        };
        let forced = async {
            shutdown.forced().cancelled().await;
            sleep(drain::FORCED_TIMEOUT).await;
        };
        tokio::select! {
            biased;
            () = work => {}
            () = forced => {}
            served = private => {
                served?;
            }
        }
        // Whoever is still half way in or out has a moment to go, and is cut then.
        shutdown.force();
        closed.cancel();
        self.connections.close();
        let _in_time = timeout(drain::FORCED_TIMEOUT, self.connections.wait()).await;
        threads.stop().await;
        info!(event = "relay.stopped", "Relay stopped");
        Ok(())
    }

    /// Where it listens, and what it can hold.
    fn say_started(&self, listeners: &Listeners, private_listener: Option<&TcpListener>) -> io::Result<()> {
        let address = listeners.tcp.local_addr()?;
        let private_address = private_listener.map(TcpListener::local_addr).transpose()?;
        info!(
            event = "relay.started", address = %address, private_address = private_address.map(tracing::field::display),
            quic = listeners.quic.is_some(), spki = self.spki(), "Relay listens on {address}"
        );
        let limit = descriptors::limit();
        descriptors::say(limit, descriptors::room(limit, self.limits.threads), &self.limits);
        let ceiling = self.gate.memory_ceiling();
        if ceiling < u64::MAX {
            info!(
                event = "relay.memory",
                size_bytes = ceiling,
                "Nothing new begins above {} MiB of memory",
                ceiling >> 20
            );
        }
        Ok(())
    }

    /// Begins to accept, at the door. Nothing is accepted any more once the token is cancelled.
    fn open_listeners(
        self: &Arc<Self>,
        threads: &Threads,
        listeners: Listeners,
        shutdown: &Shutdown,
    ) -> io::Result<CancellationToken> {
        let (closed, door) = (CancellationToken::new(), threads.door());
        let entrance =
            Arc::new(Entrance { relay: Arc::clone(self), planes: threads.planes(), shutdown: shutdown.clone() });
        let tcp = listeners.tcp.into_std()?;
        drop(self.connections.spawn_on(listen::accept_tcp(Arc::clone(&entrance), tcp, closed.clone()), door));
        if let Some(socket) = listeners.quic {
            let accepting = quic::accept_quic(entrance, socket, self.quic_retry_always, closed.clone());
            drop(self.connections.spawn_on(accepting, door));
        }
        Ok(closed)
    }

    /// Whether this is the hash of a key of this relay, of now or of shortly before.
    pub(crate) fn has_key(&self, spki: &str) -> bool {
        self.certificate.holds(spki)
    }

    /// Ends when the relay has another key, which the manager must know at once.
    pub(crate) async fn key_renewed(&self) {
        self.certificate.renewed().await;
    }

    /// Ends every connection of a session.
    pub(crate) fn end_session(&self, session_id: SessionId, reason: CloseReason) {
        for seat in self.pairs.seats(session_id) {
            seat.close(RelayWord::Refused(reason), Urgency::Now);
        }
    }

    async fn watch_certificate(&self, shutdown: &Shutdown) {
        Arc::clone(&self.certificate).watch(CERTIFICATE_WATCH, shutdown.draining()).await;
    }
}

/// How often a certificate file is looked at again; renewals come weeks before the end.
const CERTIFICATE_WATCH: std::time::Duration = std::time::Duration::from_mins(1);
