//! The private listener: metrics and health for the people who run the servers, never for the public network.
//!
//! `/metrics` is Prometheus' text. `/livez` says that the process answers. `/readyz` says whether new work should be
//! sent here: no while draining or while a condition is not met, and then the body names what is missing. Prometheus
//! reads the same as `<program>_ready`.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use prometheus::IntGauge;
use tokio::net::TcpListener;

use crate::{
    metrics::Registry,
    shutdown::Shutdown,
    web::{self, Limits},
};

/// What must be true before new work is welcome. Clones share the conditions.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    /// Until it is met, nothing is known of the others.
    first: Option<Condition>,
    conditions: Vec<Condition>,
}

/// One thing that must be true, for example a reachable database.
#[derive(Debug, Clone)]
pub struct Condition {
    name: &'static str,
    met: Arc<AtomicBool>,
}

impl Readiness {
    /// Ready as soon as the process listens.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ready after something that takes its time while the process listens already, and the condition that says when it
    /// is done. Until then its name alone is what is missing, because nothing is known of the other conditions.
    pub fn after(name: &'static str) -> (Self, Condition) {
        let first = Condition::new(name);
        (Self { first: Some(first.clone()), conditions: Vec::new() }, first)
    }

    /// Adds a condition that is not met yet. All conditions are added before [`serve`] begins.
    pub fn condition(&mut self, name: &'static str) -> Condition {
        let condition = Condition::new(name);
        self.conditions.push(condition.clone());
        condition
    }

    /// Names of the conditions that are not met.
    pub fn missing(&self) -> Vec<&'static str> {
        if let Some(first) = self.first.as_ref().filter(|first| !first.is_met()) {
            return vec![first.name];
        }
        self.conditions.iter().filter(|condition| !condition.is_met()).map(|condition| condition.name).collect()
    }
}

impl Condition {
    /// Not met yet.
    fn new(name: &'static str) -> Self {
        Self { name, met: Arc::new(AtomicBool::new(false)) }
    }

    /// Says whether the condition is met now.
    pub fn set(&self, met: bool) {
        self.met.store(met, Ordering::Release);
    }

    /// Whether the condition is met now.
    pub fn is_met(&self) -> bool {
        self.met.load(Ordering::Acquire)
    }
}

#[derive(Clone)]
struct Health {
    registry: Registry,
    ready: IntGauge,
    readiness: Readiness,
    shutdown: Shutdown,
}

impl Health {
    /// What new work waits for; nothing when it is welcome.
    fn missing(&self) -> Vec<&'static str> {
        let mut missing = self.readiness.missing();
        if self.shutdown.draining().is_cancelled() {
            missing.push("draining");
        }
        missing
    }
}

/// Answers on the private listener until the server is forced to stop; it goes on answering while the server drains.
/// Dropping the future stops it too.
///
/// # Errors
/// The listener breaks, or another one answers for the same registry.
pub async fn serve(
    listener: TcpListener,
    registry: Registry,
    readiness: Readiness,
    shutdown: Shutdown,
) -> io::Result<()> {
    let forced = shutdown.forced();
    let ready = registry.ready().map_err(io::Error::other)?;
    let app = Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(|| async { "live\n" }))
        .route("/readyz", get(readyz))
        .with_state(Health { registry, ready, readiness, shutdown });
    tokio::select! {
        () = forced.cancelled() => Ok(()),
        served = web::serve_plain(listener, app, Limits::private(), Shutdown::new()) => served,
    }
}

async fn metrics(State(health): State<Health>) -> impl IntoResponse {
    health.ready.set(health.missing().is_empty().into());
    ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], health.registry.text())
}

async fn readyz(State(health): State<Health>) -> (StatusCode, String) {
    let missing = health.missing();
    if missing.is_empty() {
        (StatusCode::OK, "ready\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", missing.join(", ")))
    }
}
