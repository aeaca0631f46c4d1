//! `POST /v1/receptions/{reception_id}/cancel`: the number becomes unusable, and an entry that is not proved ends.

use axum::{Json, extract::State};
use proto::{
    api::{
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
    error::{ApiError, ApiResult},
    extract::InPath,
    login::LoggedIn,
    reception::{self, api::lock_own, state::Stage, store::Stored},
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
    let entered = stored.reception.stage.session_id();
    let reception = stored.reception.cancel(now_ms).map_err(|wrong| ApiError::wrong_state(wrong.to_string()))?;
    let mut closed = Closed::of_reception(reception.clone());
    if let Some(session_id) = entered {
        // First the number, so that the end of its session does not give it back.
        reception::store::save(&mut tx, &reception).await?;
        let ended = close::end(&mut tx, session_id, (CloseReason::Cancelled, now_ms), actor, now_ms).await?;
        closed = closed.and(ended);
    }
    reception::closed(&mut tx, &reception, entered, actor, now_ms).await?;
    tx.commit().await?;
    closed.tell(&app);
    Ok(Json(reception::api::shown(&app, Stored { reception, ..stored })?))
}
