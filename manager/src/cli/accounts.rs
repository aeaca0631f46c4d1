//! Commands about accounts.

use std::{fs, ops::RangeInclusive};

use anyhow::{Context as _, anyhow};
use ops::clock::Clock;
use zeroize::Zeroizing;

use super::{AdminFlags, Failure, OperatorFlags, PasswordFlag, command::say};
use crate::{
    admin::{self, store::NewAdmin},
    app::{self, App},
    company::{self, CompanyCode, ShownName},
    config::Config,
    db::DbError,
    example::{self, ExampleError, Wish},
    login::{
        password::{LEN_MAX, LEN_MAX_DEFAULT, LEN_MIN, NewPassword, NewPasswordError, PasswordHash},
        realm::{SYSTEM_PASSWORD_LEN_MAX, SYSTEM_PASSWORD_LEN_MIN},
    },
    operator::{self, store::NewOperator},
    relays::{self, region::Region},
    role::Role,
    serve, settings,
};

pub(super) async fn create_admin(config: Config, new: AdminFlags, password: &PasswordFlag) -> Result<(), Failure> {
    let AdminFlags { user, name, role, reason } = new;
    let hash = hash(password, SYSTEM_PASSWORD_LEN_MIN..=SYSTEM_PASSWORD_LEN_MAX)?;
    let app = open(config).await?;
    let mut tx = app.db.begin().await.context("database")?;
    let new = NewAdmin { user_id: &user, name: &name, role, password_hash: &hash, password_initial: false };
    let created = admin::store::create_at_command_line(&mut tx, &new, &reason, app.now_ms()).await;
    let admin_id = free("--user", user.as_str(), created)?;
    tx.commit().await.context("database")?;
    app.db.close().await;
    say(format_args!("admin: created {admin_id}"))
}

pub(super) async fn create_company(config: Config, code: &CompanyCode, name: &ShownName) -> Result<(), Failure> {
    let app = open(config).await?;
    let mut tx = app.db.begin().await.context("database")?;
    let created = company::create(&mut tx, code, name, app.now_ms()).await;
    let company_id = free("--code", code.as_str(), created)?;
    tx.commit().await.context("database")?;
    app.db.close().await;
    say(format_args!("company: created {company_id}"))
}

pub(super) async fn rescue_company(config: Config, code: &CompanyCode) -> Result<(), Failure> {
    let app = open(config).await?;
    let mut tx = app.db.begin().await.context("database")?;
    let rescued = settings::store::rescue(&mut tx, code, app.now_ms()).await.context("database")?;
    tx.commit().await.context("database")?;
    app.db.close().await;
    match rescued {
        None => Err(unknown("--company", code.as_str())),
        Some(true) => say(format_args!("company: {code} may log in from everywhere, at any hour")),
        Some(false) => say(format_args!("company: {code} had no limits of networks and hours")),
    }
}

pub(super) async fn fill_company(
    config: Config,
    code: &CompanyCode,
    (days, seed): (i64, u64),
    password: &PasswordFlag,
) -> Result<(), Failure> {
    let password_hash = hash(password, LEN_MIN..=LEN_MAX_DEFAULT)?;
    let app = open(config).await?;
    let wish = Wish { company: code, days, seed, password_hash: &password_hash };
    let filled = example::fill(&app, &wish).await;
    app.db.close().await;
    let made = filled.map_err(|error| match error {
        ExampleError::NoCompany => unknown("--company", code.as_str()),
        ExampleError::NotEmpty => Failure::Usage(format!("--company {code}: {error}", code = code.as_str())),
        ExampleError::Db(DbError::Duplicate(_)) => Failure::Usage(format!(
            "--company {}: has an account with an id of the example; an example goes into a new company only",
            code.as_str()
        )),
        ExampleError::Db(error) => Failure::Run(anyhow!(error).context("database")),
    })?;
    say(format_args!(
        "company: {} has {} example accounts and {} receptions",
        code.as_str(),
        made.operators,
        made.receptions
    ))
}

pub(super) async fn create_operator(
    config: Config,
    who: OperatorFlags,
    name: ShownName,
    role: Role,
    password: &PasswordFlag,
) -> Result<(), Failure> {
    let app = open(config).await?;
    let mut tx = app.db.read().await.context("database")?;
    let found = company::store::find(&mut tx, &who.company).await.context("database")?;
    drop(tx);
    let company = found.ok_or_else(|| unknown("--company", who.company.as_str()))?;
    let password_hash = hash(password, LEN_MIN..=company.policy.password.len_max)?;
    let new = NewOperator { company_id: company.company_id, user_id: who.user, name, password_hash, role };
    let mut tx = app.db.begin().await.context("database")?;
    let created = operator::store::create(&mut tx, &new, app.now_ms()).await;
    let operator_id = free("--user", new.user_id.as_str(), created)?;
    tx.commit().await.context("database")?;
    app.db.close().await;
    say(format_args!("operator: created {operator_id}"))
}

pub(super) async fn stop_operator(config: Config, who: &OperatorFlags) -> Result<(), Failure> {
    let app = open(config).await?;
    let mut tx = app.db.begin().await.context("database")?;
    let found = operator::store::find(&mut tx, &who.company, &who.user).await.context("database")?;
    let (company_id, operator_id) = found.ok_or_else(|| unknown("--user", who.user.as_str()))?;
    let stopped = operator::store::stop(&mut tx, company_id, operator_id, app.now_ms()).await.context("database")?;
    tx.commit().await.context("database")?;
    app.db.close().await;
    say(if stopped { "operator: stopped" } else { "operator: was stopped before" })
}

pub(super) async fn unlock_operator(config: Config, who: &OperatorFlags) -> Result<(), Failure> {
    let app = open(config).await?;
    let mut tx = app.db.begin().await.context("database")?;
    if !operator::store::unlock(&mut tx, &who.company, &who.user, app.now_ms()).await.context("database")? {
        return Err(unknown("--user", who.user.as_str()));
    }
    tx.commit().await.context("database")?;
    app.db.close().await;
    say("operator: unlocked")
}

/// The token goes to standard output alone, so that it can be written to a file.
pub(super) async fn enroll_relay(config: Config, name: &ShownName, region: Option<Region>) -> Result<(), Failure> {
    let app = open(config).await?;
    let enrolled = relays::enroll(&app.db, name.as_str(), app.now_ms()).await;
    let (relay_id, token) = free("--name", name.as_str(), enrolled)?;
    if let Some(region) = region {
        relays::store::place(&app.db, name.as_str(), region, app.now_ms()).await.context("database")?;
    }
    app.db.close().await;
    tracing::info!(relay.id = %relay_id, event = "relay.enrolled", "Relay {relay_id} enrolled");
    say(token.reveal())
}

/// The token goes to standard output alone, so that it can be written to a file.
pub(super) async fn renew_relay(config: Config, name: &ShownName) -> Result<(), Failure> {
    let app = open(config).await?;
    let renewed = relays::store::renew(&app.db, name.as_str(), app.now_ms()).await.context("database")?;
    app.db.close().await;
    match renewed {
        Some(token) => say(token.reveal()),
        None => Err(unknown("--name", name.as_str())),
    }
}

pub(super) async fn revoke_relay(config: Config, name: &ShownName) -> Result<(), Failure> {
    let app = open(config).await?;
    let revoked = relays::store::revoke(&app.db, name.as_str(), app.now_ms()).await.context("database")?;
    app.db.close().await;
    if revoked { say("relay: revoked") } else { Err(unknown("--name", name.as_str())) }
}

pub(super) async fn place_relay(config: Config, name: &ShownName, region: Region) -> Result<(), Failure> {
    let app = open(config).await?;
    let placed = relays::store::place(&app.db, name.as_str(), region, app.now_ms()).await.context("database")?;
    app.db.close().await;
    if placed { say(format_args!("relay: is in {region}")) } else { Err(unknown("--name", name.as_str())) }
}

async fn open(config: Config) -> Result<App, Failure> {
    Ok(serve::open(config, Clock::system()).await.map_err(anyhow::Error::from)?)
}

/// The hash of the password in the file's first line.
fn hash(flag: &PasswordFlag, len: RangeInclusive<usize>) -> Result<PasswordHash, Failure> {
    let file = &flag.password_file;
    let mistake = |what: &dyn std::fmt::Display| Failure::Usage(format!("--password-file {}: {what}", file.display()));
    let text = Zeroizing::new(fs::read_to_string(file).map_err(|error| mistake(&error))?);
    let line = text.lines().next().unwrap_or_default();
    let (min, max) = (*len.start(), (*len.end()).min(LEN_MAX));
    let password = NewPassword::parse(line, max).map_err(|error| mistake(&error))?;
    if line.len() < min {
        return Err(mistake(&NewPasswordError::Length { found: line.len(), min, max }));
    }
    Ok(password.hash(&mut app::os_rng()).map_err(anyhow::Error::from)?)
}

/// Tells a taken name from other failures.
fn free<T>(flag: &str, value: &str, created: Result<T, DbError>) -> Result<T, Failure> {
    match created {
        Err(DbError::Duplicate(_)) => Err(Failure::Usage(format!("{flag} {value}: exists already"))),
        created => Ok(created.map_err(|error| anyhow!(error)).context("database")?),
    }
}

fn unknown(flag: &str, value: &str) -> Failure {
    Failure::Usage(format!("{flag} {value}: does not exist"))
}
