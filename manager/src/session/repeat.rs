//! The answer of an entry once more, for the tool that did not get it.
//!
//! A manager may die between storing an entry and answering it. The tool asks another one with the same proof key and
//! gets the same session and token with a fresh ticket, which is good with the private half of the key only. So
//! knowing the number does not suffice; and nothing but the order of relays is stored. It ends when the two have met.

use proto::{
    api::{
        UnixMillis,
        error::ErrorCode,
        reception::{EnterAnswer, Pairing},
    },
    role::Role,
};

use super::{enter, state::Stage, store, ticket};
use crate::{
    app::App,
    bearer::BearerToken,
    db::Tx,
    error::{ApiError, ApiResult},
    reception::{self, proof_key::PublicProofKey},
    relays,
};

/// What the tool with this proof key was answered, or should have been, when it entered this number; `None` when it did
/// not, when the two have met since, and when the session is over.
///
/// # Errors
/// `NoRelay`, or what the database says.
pub(super) async fn entered_before(
    app: &App,
    tx: &mut Tx,
    locator_mac: &str,
    proof_key: PublicProofKey,
    now_ms: UnixMillis,
) -> ApiResult<Option<EnterAnswer>> {
    let Some(reception) = reception::store::entered_by(tx, locator_mac, &proof_key.hash()).await? else {
        return Ok(None);
    };
    let Some(session_id) = reception.stage.session_id() else { return Ok(None) };
    let token = BearerToken::of_customer(&app.signing_key, session_id);
    if store::of_customer(tx, &token.hash()).await? != Some(session_id) {
        // A manager of before drew the token, and it is nowhere.
        return Ok(None);
    }
    let session = store::lock(tx, session_id).await?;
    let joins = |stage: Stage, hard_end_at_ms| stage == Stage::Joining && now_ms < hard_end_at_ms;
    let Some(session) = session.filter(|session| joins(session.stage, session.hard_end_at_ms)) else { return Ok(None) };
    let (_, had) = store::renewal(tx, session_id).await?;
    let relays = relays::choose::for_running_session(app, tx, session.company_id, &had, now_ms).await?;
    if relays.is_empty() {
        return Err(ApiError::new(ErrorCode::NoRelay));
    }
    let relay_ids: Vec<_> = relays.iter().map(|relay| relay.relay_id).collect();
    store::renewed(tx, session_id, &relay_ids, now_ms).await?;
    let introduction = enter::introduction(tx, &reception, session_id).await?;
    let introduction = introduction.sign(&app.signing_key).map_err(ApiError::internal)?;
    let issued = ticket::issue(app, &session, Role::Customer, &proof_key.hash(), relays, now_ms)?;
    let pairing = Pairing { session_id, introduction, ticket: issued.ticket, relays: issued.relays };
    Ok(Some(EnterAnswer { pairing, token: token.reveal().to_owned() }))
}
