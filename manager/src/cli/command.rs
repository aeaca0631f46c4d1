//! Commands about the server as a whole.

use std::io::Write as _;

use anyhow::{Context as _, anyhow};
use ops::{clock::Clock, shutdown::Shutdown};
use tokio::net::TcpListener;

use super::Failure;
use crate::{
    app,
    audit::{
        Head,
        verify::{self, Verdict},
    },
    config::Config,
    db::{self, Db},
    router, serve, signing_key,
};

/// Writes one answer to standard output.
pub(super) fn say(line: impl std::fmt::Display) -> Result<(), Failure> {
    writeln!(std::io::stdout().lock(), "{line}").context("standard output")?;
    Ok(())
}

pub(super) fn openapi() -> Result<(), Failure> {
    say(router::openapi().to_pretty_json().context("the OpenAPI document has no form in JSON")?)
}

pub(super) fn print_config(config: &Config) -> Result<(), Failure> {
    let text = ops::config::print(config).context("the configuration has no form in TOML")?;
    say(text.trim_end())
}

pub(super) async fn serve(config: Config) -> Result<(), Failure> {
    ops::core_dump::forbid().context("core dumps cannot be forbidden")?;
    let public = serve::reserve(config.listen).with_context(|| format!("listen {}", config.listen))?;
    let private_listener = TcpListener::bind(config.private_listen)
        .await
        .with_context(|| format!("private_listen {}", config.private_listen))?;
    let shutdown = Shutdown::new();
    shutdown.listen().context("signals")?;
    serve::run(config, public, private_listener, shutdown).await.map_err(anyhow::Error::from)?;
    Ok(())
}

pub(super) async fn migrate(config: Config) -> Result<(), Failure> {
    let app = serve::open(config, Clock::system()).await.map_err(anyhow::Error::from)?;
    let engine = app.db.engine().as_str();
    app.db.close().await;
    say(format_args!("migrate: the {engine} database is up to date"))
}

pub(super) async fn adopt_key(config: Config) -> Result<(), Failure> {
    let url = config.database.url().map_err(anyhow::Error::from)?;
    let db = Db::open(&url, config.database.connections_max.get()).await.map_err(anyhow::Error::from)?;
    db::migrate::run(&db).await.context("database")?;
    let now_ms = Clock::system().now_ms();
    let adopted = signing_key::adopt(&config.signing_key_file, &db, now_ms, &mut app::os_rng()).await;
    db.close().await;
    let (key_id, before) = adopted.map_err(anyhow::Error::from)?;
    match before {
        Some(before) => say(format_args!("key: {key_id} takes the place of {before}; restart every manager")),
        None => say(format_args!("key: {key_id}, as before")),
    }
}

/// Reads only: a chain that may have been tampered with is not touched.
pub(super) async fn verify_audit(config: &Config, kept: &[Head]) -> Result<(), Failure> {
    let db = open_existing(config).await?;
    let witnessed = verify::verify_against(&db, kept).await.context("the audit record cannot be read")?;
    db.close().await;
    say(&witnessed.verdict)?;
    if !kept.is_empty() && matches!(witnessed.verdict, Verdict::Holds { .. }) {
        let (matched, all) = (witnessed.matched, kept.len());
        if matched == all {
            say("audit: the given heads match")?;
        } else {
            say(format_args!("audit: {matched} of {all} given heads match, the others are of rows that went by age"))?;
        }
    }
    match witnessed.verdict {
        Verdict::Holds { .. } => Ok(()),
        Verdict::Broken(_) => Err(Failure::Said),
    }
}

/// Opens a database that must be there already.
pub(super) async fn open_existing(config: &Config) -> Result<Db, Failure> {
    let url = config.database.url().map_err(anyhow::Error::from)?;
    if let db::url::DatabaseUrl::Sqlite(path) = &url
        && !path.exists()
    {
        return Err(Failure::Run(anyhow!("{}: there is no database", path.display())));
    }
    Ok(Db::open(&url, config.database.connections_max.get()).await.map_err(anyhow::Error::from)?)
}
