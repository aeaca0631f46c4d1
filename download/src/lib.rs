//! The download server (ダウンロードサーバー): hands out the client and operator tools over HTTPS.
//!
//! Reading order is the life of a request: the list of tools made at start, the visitor who asks, the page or the file
//! that answers, and the address on port 80 that only points to HTTPS. It serves exactly the files that its
//! configuration lists, never a path made of what a stranger sent. It needs neither manager nor relay, and keeps
//! nothing about visitors.

pub mod config;

mod tools;

mod visitor;

mod text;

mod page;

mod file;

mod redirect;

mod router;

mod metrics;

use std::{sync::Arc, time::Duration};

use ops::{
    metrics::{MetricError, Registry},
    private::{self, Readiness},
    shutdown::Shutdown,
    tls::{self, Certificate, TlsError},
    web::{self, Limits},
};
use tokio::net::TcpListener;
use tracing::info;

pub use metrics::Metrics;
pub use tools::{Arch, Os, Role};

use crate::config::Config;

/// How often the certificate's files are looked at for a renewal.
const CERTIFICATE_LOOK: Duration = Duration::from_mins(1);

/// Why the server did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A tool of the list cannot be served.
    #[error(transparent)]
    Tools(#[from] tools::ToolError),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The texts inside the program are broken.
    #[error("texts of the pages: {0}")]
    Texts(#[from] toml::de::Error),
    /// The configuration has no printed form.
    #[error("configuration cannot be printed: {0}")]
    Fingerprint(#[from] toml::ser::Error),
    /// A metric was declared twice.
    #[error(transparent)]
    Metrics(#[from] MetricError),
    /// A listener broke.
    #[error("listener: {0}")]
    Listener(#[from] std::io::Error),
}

/// The sockets of one server, already bound.
#[derive(Debug)]
pub struct Listeners {
    /// For everybody: pages and tools.
    pub https: TcpListener,
    /// For everybody: points to HTTPS.
    pub http: TcpListener,
    /// For operators of the servers: metrics and health.
    pub private: TcpListener,
}

/// Serves until the server is told to stop.
///
/// # Errors
/// See [`RunError`].
pub async fn run(config: Config, listeners: Listeners, shutdown: Shutdown) -> Result<(), RunError> {
    let registry = Registry::new("download");
    registry.build_info(env!("CARGO_PKG_VERSION"))?;
    registry.config_info(&ops::config::fingerprint(&config)?)?;
    let metrics = Metrics::declare(&registry)?;
    metrics.show_all();
    let mut readiness = Readiness::new();
    let listed = readiness.condition("tools");
    let health = private::serve(listeners.private, registry, readiness, shutdown.clone());

    let serving = async {
        let certificate = Arc::new(Certificate::load(&config.certificate_file, &config.key_file)?);
        let tls = tls::web_config(Arc::clone(&certificate))?;
        let tools = tools::list(&config.tools).await?;
        let app = router::router(tools, metrics.clone())?;
        let limits = Limits {
            connections: config.limits.connections,
            drain: config.limits.drain.get(),
            refused: Some(metrics.download_connections_refused_total.clone()),
            ..Limits::public()
        };
        listed.set(true);
        info!(event = "download.started", count = config.tools.len(), "Serving tools at {}", config.address);

        let http = redirect::router(&config.address, metrics);
        let pages = web::serve_tls(listeners.https, tls, app, limits.clone(), shutdown.clone());
        let pointer = web::serve_plain(listeners.http, http, limits, shutdown.clone());
        let both = async { tokio::try_join!(pages, pointer) };
        tokio::select! {
            served = both => { served?; }
            () = certificate.watch(CERTIFICATE_LOOK, shutdown.forced()) => {}
        }
        Ok(())
    };
    tokio::select! {
        served = serving => served,
        broken = health => broken.map_err(RunError::from),
    }
}
