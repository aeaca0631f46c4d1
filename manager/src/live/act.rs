//! What can be done at the boards: cancel and extend a number, end a session.

use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use proto::{close::CloseReason, id::ReceptionId, id::SessionId};
use serde_json::json;

use super::{
    lines,
    store::{self, Narrowing},
};
use crate::{
    app::App,
    audit::{self, AuditEvent},
    db::Tx,
    device,
    extract::InPath,
    list::Params,
    login::SiteLogin,
    reception,
    role::Permission,
    session::{cancel, close},
    site::{Form, PageResult, Problem, form::Pressed, frame::Flash},
};

/// Makes a number unusable.
pub(super) async fn cancel(
    State(app): State<App>,
    login: SiteLogin,
    InPath(id): InPath<String>,
    RawQuery(query): RawQuery,
    Form(Pressed {}): Form<Pressed>,
) -> PageResult {
    let back = board("/live/receptions", query.as_deref());
    cancel_number(&app, &login, &id).await.map_err(|problem| stale(problem, &back))?;
    Ok(done(Flash::Cancelled, &back))
}

/// Makes a number in reach unusable.
///
/// # Errors
/// [`Problem::Changed`] when it is closed already.
pub async fn cancel_number(app: &App, login: &SiteLogin, id: &str) -> Result<(), Problem> {
    let now_ms = app.now_ms();
    let mut tx = app.db.begin().await?;
    let (reception_id, waits) = number_in_reach(&mut tx, login, id).await?;
    if waits && device::start::call_off(&mut tx, login, reception_id, now_ms).await? {
        tx.commit().await?;
        return Ok(());
    }
    // A number that an operator has just taken is a reception by now.
    let stored = reception::store::lock(&mut tx, reception_id).await?.ok_or_else(changed)?;
    let cancelled = cancel::cancel_locked(&mut tx, stored.reception, login.actor(), now_ms).await?;
    let Ok((_, closed)) = cancelled else { return Err(changed()) };
    tx.commit().await?;
    closed.tell(app);
    Ok(())
}

/// Gives a number its full life again, counted from now.
pub(super) async fn extend(
    State(app): State<App>,
    login: SiteLogin,
    InPath(id): InPath<String>,
    RawQuery(query): RawQuery,
    Form(Pressed {}): Form<Pressed>,
) -> PageResult {
    let back = board("/live/receptions", query.as_deref());
    extend_number(&app, &login, &id).await.map_err(|problem| stale(problem, &back))?;
    Ok(done(Flash::Extended, &back))
}

/// Gives a number in reach its full life again.
///
/// # Errors
/// [`Problem::Changed`] when it is closed already.
pub async fn extend_number(app: &App, login: &SiteLogin, id: &str) -> Result<(), Problem> {
    let now_ms = app.now_ms();
    let mut tx = app.db.begin().await?;
    let (reception_id, _) = number_in_reach(&mut tx, login, id).await?;
    // One that waits for an operator has the life that it was started with.
    let stored = reception::store::lock(&mut tx, reception_id).await?.ok_or_else(changed)?;
    let Ok(reception) = stored.reception.extend(now_ms) else { return Err(changed()) };
    reception::store::save(&mut tx, &reception).await?;
    let detail = json!({ "expires_at_ms": reception.expires_at_ms });
    let event = AuditEvent { reception: Some(reception_id), ..login.event("reception.extended", detail, now_ms) };
    audit::append(&mut tx, event).await?;
    tx.commit().await?;
    Ok(())
}

/// Ends a session; its relay is told with its next heartbeat, and both tools by the relay.
pub(super) async fn end(
    State(app): State<App>,
    login: SiteLogin,
    InPath(id): InPath<String>,
    RawQuery(query): RawQuery,
    Form(Pressed {}): Form<Pressed>,
) -> PageResult {
    let back = board("/live/sessions", query.as_deref());
    end_session(&app, &login, &id).await.map_err(|problem| stale(problem, &back))?;
    Ok(done(Flash::SessionEnded, &back))
}

/// Ends a session in reach.
///
/// # Errors
/// [`Problem::Changed`] when it ended already.
pub async fn end_session(app: &App, login: &SiteLogin, id: &str) -> Result<(), Problem> {
    login.need(Permission::LiveView)?;
    let now_ms = app.now_ms();
    let session_id: SessionId = id.parse().map_err(|_not_an_id| Problem::NotFound)?;
    let mut tx = app.db.begin().await?;
    let found = store::sessions(&mut tx, login, &Narrowing::one(&session_id.to_string())).await?;
    let Some(row) = found.first() else { return Err(gone(&mut tx, login, id).await?) };
    if !lines::may_act(login, &row.operator_id) {
        return Err(Problem::Forbidden);
    }
    let actor = login.actor();
    let closed = close::end(&mut tx, session_id, (CloseReason::Revoked, now_ms), actor, now_ms).await?;
    if !closed.ended() {
        return Err(changed());
    }
    tx.commit().await?;
    closed.tell(app);
    Ok(())
}

/// The id of an open number in reach, about which this account may do something, and whether it waits for an operator.
async fn number_in_reach(tx: &mut Tx, login: &SiteLogin, id: &str) -> Result<(ReceptionId, bool), Problem> {
    login.need(Permission::LiveView)?;
    let reception_id: ReceptionId = id.parse().map_err(|_not_an_id| Problem::NotFound)?;
    let found = store::numbers(tx, login, &Narrowing::one(&reception_id.to_string())).await?;
    let Some(row) = found.first() else {
        let closed = reception::list::ReceptionLog::one(id, login);
        return Err(if crate::list::exists(tx, &closed).await? { changed() } else { Problem::NotFound });
    };
    let may = lines::may_act(login, &row.operator_id);
    if may { Ok((reception_id, row.state == store::WAITING)) } else { Err(Problem::Forbidden) }
}

/// Why a session is not running: it ended meanwhile, or it is not there for this account.
async fn gone(tx: &mut Tx, login: &SiteLogin, id: &str) -> Result<Problem, Problem> {
    let ended = crate::session::list::SupportLog::one(id, login);
    Ok(if crate::list::exists(tx, &ended).await? { changed() } else { Problem::NotFound })
}

/// It is not open any more.
fn changed() -> Problem {
    Problem::Changed { back: String::new() }
}

/// A change that came too late leads back to the board.
fn stale(problem: Problem, back: &str) -> Problem {
    if let Problem::Changed { .. } = problem { Problem::Changed { back: back.to_owned() } } else { problem }
}

/// A board with the filters that it had.
fn board(path: &str, query: Option<&str>) -> String {
    format!("{path}{}", Params::parse(query.unwrap_or_default()).filter())
}

fn done(flash: Flash, back: &str) -> Response {
    flash.then(back)
}
