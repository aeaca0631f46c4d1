//! The running server: opens everything, answers until it is told to stop, closes everything.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use ops::{
    clock::Clock,
    metrics::MetricError,
    private::{self, Condition, Readiness},
    shutdown::Shutdown,
    tls::{self, Certificate, TlsError},
    web,
};
use proto::api::UnixMillis;
use tokio::{
    net::{TcpListener, TcpSocket},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{
    app::{self, App},
    audit::witness::Witness,
    company::retention,
    config::Config,
    db::{
        self, Db, DbError, UrlFileError,
        migrate::{GENERATION, SchemaError},
    },
    events, fetch_one, live, login,
    mail::{self, MailSetupError, Smtp},
    metrics::Metrics,
    notice,
    outward::OutwardError,
    provider, request, router, session,
    signing_key::{self, SharedKeyError},
    statistics,
    webhook::{self, Caller},
};

/// Pause between two looks at the certificate files.
const CERTIFICATE_EVERY: Duration = Duration::from_mins(1);
/// Pause between two sweeps of what is over.
const SWEEP_EVERY: Duration = Duration::from_mins(1);
/// Pause between two looks for what is older than it is kept.
const PURGE_EVERY_MS: i64 = 60 * 60 * 1000;
/// Pause between two questions to the database whether it is there.
const DATABASE_EVERY: Duration = Duration::from_secs(2);
/// The database is not there when it does not answer in this time.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(2);
/// What `/readyz` says until everything is open and the schema is the one of this manager.
const OPENING: &str = "the database is being opened and its schema brought up to date";
/// Connections of the public listener that wait to be taken in. Source: as many as the standard library asks for.
const BACKLOG: u32 = 128;

/// Why the server does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The database address cannot be read.
    #[error("database.url_file: {0}")]
    UrlFile(#[from] UrlFileError),
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
    /// Its schema.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The signing key.
    #[error("signing_key_file: {0}")]
    SigningKey(#[from] SharedKeyError),
    /// The certificate.
    #[error("certificate_file: {0}")]
    Tls(#[from] TlsError),
    /// Mail cannot be set up.
    #[error(transparent)]
    Mail(#[from] MailSetupError),
    /// There is no way out to the addresses of companies.
    #[error(transparent)]
    Outward(#[from] OutwardError),
    /// A metric was declared twice, which is our own mistake.
    #[error(transparent)]
    Metric(#[from] MetricError),
    /// Somebody else has begun to listen at the public address that was [reserved](reserve).
    #[error("listen {address}")]
    Taken {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// A listener broke.
    #[error("listening: {0}")]
    Listen(#[from] io::Error),
    /// The configuration has no form in TOML, which is our own mistake.
    #[error("the configuration cannot be hashed: {0}")]
    Fingerprint(String),
}

/// Opens database and key, and brings the schema up to date.
///
/// # Errors
/// See [`ServeError`].
pub async fn open(config: Config, clock: Clock) -> Result<App, ServeError> {
    open_with(config, clock, Metrics::new()?).await
}

/// Takes the public address and does not listen on it yet: until [`run`] does, whoever connects is refused at once, so
/// that a load balancer goes to another manager, where a connection that nobody takes in would be waited for.
///
/// An address on which somebody listens is an error here, before anything is opened. One that is taken by somebody who
/// does not listen yet either, such as a second manager that waits for the same migration, is an error of `run`.
///
/// # Errors
/// The address is taken, or not one of this machine.
pub fn reserve(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // As for any listener: connections of a manager that has just ended do not keep the address.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// What is said again and again about the database.
struct Watched {
    /// It answers.
    database: Condition,
    /// Its schema serves this manager.
    schema: Condition,
    /// The oldest managers that it serves, once this one is not among them.
    newer: Arc<OnceLock<i64>>,
}

/// Serves until `shutdown`, or until a later version has shut this one out; then closes the database.
///
/// The private listener is served from the beginning: while the schema is brought up to date, which may take minutes,
/// `/livez` answers, `/readyz` says what is waited for, and `/metrics` gives what there is. At the address that was
/// [reserved](reserve) nobody listens before everything is open.
///
/// # Errors
/// See [`ServeError`].
pub async fn run(
    config: Config,
    public: TcpSocket,
    private_listener: TcpListener,
    shutdown: Shutdown,
) -> Result<(), ServeError> {
    let address = public.local_addr()?;
    let certificate = Arc::new(Certificate::load(&config.certificate_file, &config.key_file)?);
    let tls = tls::web_config(Arc::<Certificate>::clone(&certificate))?;
    let smtp = Smtp::new(&config.mail)?;
    let caller = Caller::new(&config.webhooks)?;
    let metrics = Metrics::new()?;
    let registry = metrics.registry.clone();
    registry.build_info(env!("CARGO_PKG_VERSION"))?;
    let fingerprint = ops::config::fingerprint(&config).map_err(|error| ServeError::Fingerprint(error.to_string()))?;
    registry.config_info(&fingerprint)?;

    let (mut readiness, opened) = Readiness::after(OPENING);
    let newer = Arc::new(OnceLock::new());
    let watched = Watched {
        database: readiness.condition("database"),
        schema: readiness.condition("schema"),
        newer: Arc::<OnceLock<i64>>::clone(&newer),
    };
    let mut health = Box::pin(private::serve(private_listener, registry, readiness, shutdown.clone()));
    let draining = shutdown.draining();
    let app = tokio::select! {
        biased;
        () = draining.cancelled() => return Ok(()),
        app = begin(config, metrics) => app?,
        ended = &mut health => return Ok(ended?),
    };
    let listener = public.listen(BACKLOG).map_err(|source| ServeError::Taken { address, source })?;
    opened.set(true);

    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(certificate.watch(CERTIFICATE_EVERY, stop.clone()));
    tasks.spawn(watch_database(app.clone(), watched, shutdown.clone(), stop.clone()));
    tasks.spawn(sweep(app.clone(), stop.clone()));
    tasks.spawn(session::sweep::run(app.clone(), stop.clone()));
    tasks.spawn(events::run(app.clone(), stop.clone()));
    tasks.spawn(live::run(app.clone(), stop.clone()));
    tasks.spawn(statistics::run(app.clone(), stop.clone()));
    tasks.spawn(login::link::run(app.clone(), stop.clone()));
    tasks.spawn(notice::run(app.clone(), stop.clone()));
    tasks.spawn(mail::run(app.clone(), smtp, stop.clone()));
    tasks.spawn(webhook::run(app.clone(), caller, stop.clone()));

    let limits = web::Limits {
        connections: app.config.http.connections_max,
        drain: app.config.http.drain.get(),
        proxy_from: app.config.proxy_from.clone(),
        ..web::Limits::public()
    };
    tracing::info!(event = "manager.started", database = app.db.engine().as_str(), "The manager is serving");
    let api = web::serve_tls(listener, tls, router::router(app.clone()), limits, shutdown);
    let served = tokio::select! {
        served = api => served,
        failed = &mut health => failed,
    };
    drop(health);
    stop.cancel();
    while tasks.join_next().await.is_some() {}
    app.db.close().await;
    tracing::info!(event = "manager.stopped", "The manager has stopped");
    served?;
    match newer.get() {
        Some(&oldest) => Err(SchemaError::Newer { oldest }.into()),
        None => Ok(()),
    }
}

/// Opens what the server works on. A migration waits for minutes where somebody holds what it changes.
async fn begin(config: Config, metrics: Metrics) -> Result<App, ServeError> {
    let app = open_with(config, Clock::system(), metrics).await?;
    app.providers.check()?;
    provider::settle(&app).await?;
    Ok(app)
}

/// As [`open`], with what is counted already.
async fn open_with(config: Config, clock: Clock, metrics: Metrics) -> Result<App, ServeError> {
    let db = Db::open(&config.database.url()?, config.database.connections_max.get()).await?;
    db::migrate::run(&db).await?;
    let signing_key = signing_key::shared(&config.signing_key_file, &db, &mut app::os_rng()).await?;
    Ok(App::new(db, clock, config, metrics, signing_key))
}

/// Says again and again whether the database answers, and drains once it serves later managers only.
async fn watch_database(app: App, watched: Watched, shutdown: Shutdown, stop: CancellationToken) {
    let mut turn = tokio::time::interval(DATABASE_EVERY);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = turn.tick() => {}
        }
        let answer = tokio::time::timeout(DATABASE_TIMEOUT, ask_database(&app.db)).await;
        let oldest = answer.ok().and_then(Result::ok);
        let answers = oldest.is_some();
        if answers != watched.database.is_met() {
            tracing::warn!(event = "database.reached", answers, "Whether the database answers: {answers}");
        }
        watched.database.set(answers);
        let Some(oldest) = oldest else { continue };
        watched.schema.set(oldest <= GENERATION);
        if GENERATION < oldest && watched.newer.set(oldest).is_ok() {
            let error = SchemaError::Newer { oldest };
            tracing::error!(event = "database.newer", error = %error, "The database serves later managers only; draining");
            shutdown.drain();
            // Whoever is being served may finish; what this manager does by itself ends now.
            stop.cancel();
        }
    }
}

/// The oldest managers that the database serves, when it answers.
async fn ask_database(db: &Db) -> Result<i64, DbError> {
    let mut tx = db.read().await?;
    let (oldest,) = fetch_one!(&mut tx, (i64,), "SELECT oldest_manager FROM service WHERE slot = 1")?;
    Ok(oldest)
}

/// Forgets what is over, again and again. What is under way when it is told to stop is rolled back to its last stretch.
async fn sweep(app: App, stop: CancellationToken) {
    let mut turn = tokio::time::interval(SWEEP_EVERY);
    let mut purged_at: Option<UnixMillis> = None;
    let mut witness = Witness::default();
    let rounds = async {
        loop {
            turn.tick().await;
            sweep_once(&app, &mut purged_at).await;
            if let Err(error) = witness.tell(&app.db).await {
                tracing::warn!(event = "audit.head_failed", error = %error, "The audit record's head could not be read");
            }
        }
    };
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        () = rounds => {}
    }
}

async fn sweep_once(app: &App, purged_at: &mut Option<UnixMillis>) {
    if let Err(error) = login::sweep(app).await {
        tracing::warn!(event = "login.sweep_failed", error = %error, "What is over could not be forgotten");
    }
    if let Err(error) = request::erase::run(app).await {
        tracing::warn!(event = "data.erase_interrupted", error = %error, "An erasure stopped; the next round goes on");
    }
    let now = app.now_ms();
    if purged_at.is_none_or(|at| at.saturating_add(PURGE_EVERY_MS) <= now) {
        *purged_at = Some(now);
        if let Err(error) = retention::sweep(app).await {
            tracing::warn!(event = "retention.failed", error = %error, "What is too old could not go");
        }
        if let Err(error) = app.db.look_at_sizes().await {
            tracing::warn!(event = "database.sizes_failed", error = %error, "The sizes of tables could not be read");
        }
    }
}
