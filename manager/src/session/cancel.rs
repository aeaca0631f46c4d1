//! `POST /v1/receptions/{reception_id}/cancel`: the number becomes unusable, and an entry that is not proved ends.

use axum::{Json, extract::State};
use proto::{
    api::{
        UnixMillis,
        error::ErrorBody,
        reception::{RECEPTION_CANCEL, ReceptionBody},
    },
    close::CloseReason,
    id::ReceptionId,
};

use super::close::{self, Closed};
use crate::{
    app::App,
    audit::Actor,
    db::{DbResult, Tx},
    error::{ApiError, ApiResult},
    extract::InPath,
    login::LoggedIn,
    reception::{
        self,
        api::lock_own,
        state::{Reception, Stage, WrongState},
        store::Stored,
    },
};

/// Makes a number unusable. Cancelling it again changes nothing.
#[utoipa::path(
    post,
    path = RECEPTION_CANCEL,
    tag = "receptions",
    security(("bearer" = [])),
    params(("reception_id" = ReceptionId, Path)),
    responses(
        (status = 200, body = ReceptionBody),
        (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody, description = "It is closed in another way already"),
    ),
)]
pub(super) async fn cancel(
    State(app): State<App>,
    login: LoggedIn,
    InPath(reception_id): InPath<ReceptionId>,
) -> ApiResult<Json<ReceptionBody>> {
    let now_ms = app.now_ms();
    let actor = Actor::Operator(login.operator_id);
    let mut tx = app.db.begin().await?;
    let stored = lock_own(&mut tx, &login, reception_id).await?;
    if let Stage::Cancelled { .. } = stored.reception.stage {
        return Ok(Json(reception::api::shown(&app, stored)?));
    }
    let (reception, closed) = cancel_locked(&mut tx, stored.reception, actor, now_ms)
        .await?
        .map_err(|wrong| ApiError::wrong_state(wrong.to_string()))?;
    tx.commit().await?;
    closed.tell(&app);
    Ok(Json(reception::api::shown(&app, Stored { reception, locator_sealed: stored.locator_sealed })?))
}

/// Makes a number that is locked unusable, and ends the session of an entry that is not proved.
///
/// # Errors
/// [`crate::db::DbError`]; inside, [`WrongState`] when it is closed already.
pub async fn cancel_locked(
    tx: &mut Tx,
    reception: Reception,
    actor: Actor,
    now_ms: UnixMillis,
) -> DbResult<Result<(Reception, Closed), WrongState>> {
    let entered = reception.stage.session_id();
    let reception = match reception.cancel(now_ms) {
        Ok(reception) => reception,
        Err(wrong) => return Ok(Err(wrong)),
    };
    let mut closed = Closed::of_reception(reception.clone());
    if let Some(session_id) = entered {
        // First the number, so that the end of its session does not give it back.
        reception::store::save(tx, &reception).await?;
        let ended = close::end(tx, session_id, (CloseReason::Cancelled, now_ms), actor, now_ms).await?;
        closed = closed.and(ended);
    }
    reception::closed(tx, &reception, entered, actor, now_ms).await?;
    Ok(Ok((reception, closed)))
}
