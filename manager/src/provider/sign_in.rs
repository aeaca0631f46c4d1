//! A login by a provider that said who it is: what holds for every login holds for it.

use std::net::IpAddr;

use axum::{http::HeaderMap, response::Response};
use proto::api::UnixMillis;
use serde_json::json;

use super::{
    Provider,
    flow::Flow,
    page::{Stop, Why},
    still, store,
};
use crate::{
    app::App,
    audit::{self, AuditEvent},
    db::{DbResult, Tx},
    halt,
    login::{
        Realm,
        attempt::{self, Outcome, Tries, login_event},
        page::{Entry, Way, enter},
        store::{self as logins, Account},
    },
    site::Problem,
    throttle,
};

/// Who came back, for what, from where.
pub(super) struct Returned<'a> {
    pub(super) realm: Realm,
    pub(super) provider: &'a Provider,
    pub(super) flow: &'a Flow,
    pub(super) source: IpAddr,
    pub(super) headers: &'a HeaderMap,
}

/// Ends a transaction and refuses who comes back to a company while the whole service is halted; the login says so, and
/// the try is taken back. Gives the transaction back to everybody else.
pub(super) async fn refuse_while_halted(app: &App, mut tx: Tx, returned: &Returned<'_>) -> Result<Tx, Stop> {
    let Returned { realm, flow, source, .. } = *returned;
    if realm == Realm::System || halt::store::halted_at(&mut tx).await?.is_none() {
        return Ok(tx);
    }
    drop(tx);
    if flow.operator_id.is_none() {
        app.metrics.core.manager_logins_total.with_label_values(&["halted"]).inc();
        let mut tx = app.db.begin().await?;
        attempt::forgive_source(&mut tx, Tries::Provider, &throttle::source_bucket(source), app.now_ms()).await?;
        tx.commit().await?;
    }
    Err(Stop::Problem(Problem::LoggedOut { next: flow.next.clone() }))
}

/// Opens the account that is bound to a person, or says why not. What is decided here is looked up after the provider
/// answered, in the transaction in which the login begins.
pub(super) async fn sign_in(app: &App, returned: &Returned<'_>, subject: &str) -> Result<Response, Stop> {
    let Returned { realm, flow, source, headers, .. } = *returned;
    let mut tx = refuse_while_halted(app, app.db.begin().await?, returned).await?;
    let Some(provider) = still(app, &mut tx, realm, flow).await? else {
        tracing::info!(event = "provider.stale", "A provider was changed while it was asked");
        return Err(Stop::Why(Why::Stale));
    };
    store::hold_linked(&mut tx, flow.company_id, &flow.issuer, subject).await?;
    let account = logins::find_linked(&mut tx, realm, flow.company_id, &flow.issuer, subject).await?;
    let outcome = judge(account.as_ref(), source, app.now_ms());
    app.metrics.core.manager_logins_total.with_label_values(&[outcome.as_str()]).inc();
    match (account, outcome) {
        (Some(account), Outcome::Ok) => {
            let bucket = throttle::source_bucket(source);
            let way = Way::Provider { asks_factor: provider.asks_factor };
            let entry = Entry { account: &account, source: &bucket, way };
            Ok(enter(app, tx, &entry, headers, &flow.next).await?)
        }
        (account, outcome) => {
            drop(tx);
            note_failure(app, returned, account.as_ref(), outcome.as_str()).await?;
            Err(Stop::Why(match outcome {
                Outcome::Unlinked => Why::Unlinked,
                Outcome::Suspended => Why::Suspended,
                Outcome::Ok
                | Outcome::Unknown
                | Outcome::Locked
                | Outcome::Stopped
                | Outcome::WrongPlace
                | Outcome::WrongHour
                | Outcome::InitialOver
                | Outcome::WrongPassword
                | Outcome::WrongCode => Why::Refused,
            }))
        }
    }
}

fn judge(account: Option<&Account>, source: IpAddr, now: UnixMillis) -> Outcome {
    match account {
        None => Outcome::Unlinked,
        Some(account) if account.stopped => Outcome::Stopped,
        Some(account) => attempt::admit(account, source, now),
    }
}

/// Writes into the login log why nobody was logged in; without an account it stands in the company's log all the same.
pub(super) async fn note_failure(
    app: &App,
    returned: &Returned<'_>,
    account: Option<&Account>,
    result: &str,
) -> DbResult<()> {
    tracing::info!(event = "login.failed", reason = result, "A login by a provider failed: {result}");
    let now = app.now_ms();
    let source = throttle::source_bucket(returned.source);
    let event = login_event("login.failed", account.map(|account| (account.company_id, account.operator_id)), now);
    let event = AuditEvent {
        company: Some(returned.flow.company_id),
        detail: json!({ "source": source, "result": result, "door": "site", "method": "provider" }),
        ..event
    };
    let mut tx = app.db.begin().await?;
    audit::append(&mut tx, event).await?;
    tx.commit().await
}
