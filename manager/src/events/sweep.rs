//! What runs beside the requests: the safety look, PostgreSQL's notifications, and forgetting.

use std::time::Duration;

use proto::api::UnixMillis;
use sqlx::{PgPool, postgres::PgListener};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::store;
use crate::{
    app::App,
    db::{Db, DbResult},
    throttle::millis,
};

/// An event that no wake-up announced is seen after this time at the latest.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Pause between two rounds of forgetting.
const FORGET_EVERY_MS: i64 = 10 * 60 * 1000;
/// Pause before a lost connection for notifications is made again.
const LISTEN_AGAIN: Duration = Duration::from_secs(2);

/// Wakes streams and forgets old events until `stop`.
pub async fn run(app: App, stop: CancellationToken) {
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        () = listen(&app) => {}
        () = look(&app) => {}
    }
}

/// Looks again and again whether there are events that nobody announced.
async fn look(app: &App) {
    let mut turn = tokio::time::interval(LOOK_EVERY);
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut forgot_at_ms: UnixMillis = 0;
    loop {
        turn.tick().await;
        if let Err(error) = look_once(app).await {
            warn!(event = "events.look_failed", error = %error, "New events could not be looked for");
        }
        let now_ms = app.now_ms();
        if forgot_at_ms.saturating_add(FORGET_EVERY_MS) <= now_ms {
            forgot_at_ms = now_ms;
            if let Err(error) = forget(app).await {
                warn!(event = "events.forget_failed", error = %error, "Old events could not be deleted");
            }
        }
    }
}

/// One question for all operators that listen here.
async fn look_once(app: &App) -> DbResult<()> {
    let operators = app.events.operators();
    if operators.is_empty() {
        return Ok(());
    }
    let ids = serde_json::json!(operators).to_string();
    for (operator, last_seq) in store::heads(&app.db, &ids).await? {
        if let Ok(operator_id) = operator.parse() {
            app.events.saw(operator_id, last_seq);
        }
    }
    Ok(())
}

/// Deletes what is older than the configuration keeps; how many rows.
///
/// # Errors
/// [`crate::db::DbError`].
pub(super) async fn forget(app: &App) -> DbResult<u64> {
    let mut tx = app.db.begin().await?;
    let forgotten = store::forget(&mut tx, app.now_ms().saturating_sub(millis(app.config.events.keep.get()))).await?;
    tx.commit().await?;
    Ok(forgotten)
}

/// Hears what other managers append. SQLite has one manager, which wakes its streams itself.
async fn listen(app: &App) {
    let Db::Postgres(pool) = &app.db else { return std::future::pending().await };
    loop {
        if let Err(error) = hear(app, pool).await {
            info!(event = "events.unheard", error = %error, "Notifications are interrupted; events come a second later");
        }
        tokio::time::sleep(LISTEN_AGAIN).await;
    }
}

async fn hear(app: &App, pool: &PgPool) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(store::CHANNEL).await?;
    loop {
        match listener.try_recv().await? {
            Some(notification) => {
                if let Ok(operator_id) = notification.payload().parse() {
                    app.events.wake(operator_id);
                }
            }
            None => app.events.wake_all(),
        }
    }
}
