//! The answer of an entry once more, for the tool that did not get it.
//!
//! A manager may die between storing an entry and answering it. The tool asks another one with the same proof key, under
//! its signature, and gets the same session and token with a fresh ticket: what relays and operators know of a session
//! does not suffice. Nothing but the order of relays is stored. It ends when a relay has told that the two have met, or
//! the operator that the secret was proved.

use std::time::Duration;

use proto::{
    api::{
        UnixMillis,
        error::ErrorCode,
        reception::{EnterAnswer, EnterRequest, Pairing},
    },
    role::Role,
};

use super::{state::Stage, store, ticket};
use crate::{
    app::App,
    bearer::BearerToken,
    db::Tx,
    error::{ApiError, ApiResult},
    events,
    reception::{self, proof_key::PublicProofKey},
    relays,
    throttle::{self, Rate, Taken},
};

/// Repeats of one entry: a tool asks eight times at each press at most, so two presses fit.
const RATE: Rate = Rate { max: 20, window: Duration::from_hours(1) };

/// What the tool with this proof key was answered, or should have been, when it entered this number; `None` when it did
/// not, when the two have met since, and when the session is over.
///
/// # Errors
/// `NoRelay`, or what the database says.
pub(super) async fn entered_before(
    app: &App,
    tx: &mut Tx,
    locator_mac: &str,
    request: &EnterRequest,
    proof_key: PublicProofKey,
    now_ms: UnixMillis,
) -> ApiResult<Option<EnterAnswer>> {
    if !request.is_signed() {
        return Ok(None);
    }
    let Some(reception) = reception::store::entered_by(tx, locator_mac, &proof_key.hash()).await? else {
        return Ok(None);
    };
    let Some(session_id) = reception.stage.session_id() else { return Ok(None) };
    let token = BearerToken::of_customer(&app.signing_key, session_id);
    if store::of_customer(tx, &token.hash()).await? != Some(session_id) {
        // A manager of before drew the token, and it is nowhere.
        return Ok(None);
    }
    if throttle::take(tx, "enter.again", &session_id.to_string(), RATE, now_ms).await? != Taken::Within {
        return Ok(None);
    }
    let session = store::lock(tx, session_id).await?;
    let joins = |stage: Stage, hard_end_at_ms| stage == Stage::Joining && now_ms < hard_end_at_ms;
    let Some(session) = session.filter(|session| joins(session.stage, session.hard_end_at_ms)) else { return Ok(None) };
    // The text that the operator has: both sides put it into their key exchange, whatever names and roles are by now.
    let Some(introduction) = events::store::introduction(tx, session.operator_id, session_id).await? else {
        return Ok(None);
    };
    let (_, had) = store::renewal(tx, session_id).await?;
    let relays = relays::choose::for_running_session(app, tx, session.company_id, &had, now_ms).await?;
    if relays.is_empty() {
        return Err(ApiError::new(ErrorCode::NoRelay));
    }
    let relay_ids: Vec<_> = relays.iter().map(|relay| relay.relay_id).collect();
    store::renewed(tx, session_id, &relay_ids, now_ms).await?;
    let issued = ticket::issue(app, &session, Role::Customer, &proof_key.hash(), relays, now_ms)?;
    let pairing = Pairing { session_id, introduction, ticket: issued.ticket, relays: issued.relays };
    tracing::info!(
        reception.id = %reception.id, session.id = %session_id, event = "reception.repeated",
        "The entry of reception {} was answered again", reception.id
    );
    Ok(Some(EnterAnswer { pairing, token: token.reveal().to_owned() }))
}
