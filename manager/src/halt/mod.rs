//! 緊急停止: the whole service stopped for every company, by one switch of operations.
//!
//! Guarantees: from the next request on, at every manager of this version, whenever it started, no company's account,
//! program or tool is let in, no number is issued or entered, no ticket is renewed, and no webhook is called (its calls
//! wait); open numbers and running sessions end in the rounds of `session/sweep.rs`, and relays are told with their next
//! heartbeat to end every session that they have, however many there are; who was logged in must log in again once it
//! is lifted, and whoever lifts it while something has not ended yet is asked whether it may go on. System
//! administrators get in all the while, and of two who press at once the second is told. What says so is one row
//! (`service`), which requests read along with what they read anyway.
//! Managers of a version that does not know the row go on while they run beside this one, as in an upgrade.
//! It stops no server: who asks whether one lives and is ready is told that it is.

pub mod page;
pub mod store;

use proto::api::error::ErrorCode;

use crate::{
    app::App,
    db::{DbResult, Tx},
    error::ApiError,
};

/// Whether the service is halted now.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn is_halted(app: &App) -> DbResult<bool> {
    let mut tx = app.db.read().await?;
    Ok(store::halted_at(&mut tx).await?.is_some())
}

/// What a program is told that was not let in: that the service is halted, or else `usual`.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn refusal(tx: &mut Tx, usual: ErrorCode) -> DbResult<ApiError> {
    let is_halted = store::halted_at(tx).await?.is_some();
    Ok(ApiError::new(if is_halted { ErrorCode::ServiceHalted } else { usual }))
}
