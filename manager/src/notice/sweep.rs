//! What time does to notices: planned stops begin and end, and incidents become overdue.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{incident, maintenance};
use crate::{app::App, db::DbResult, halt};

/// Pause between two looks: how exact the metric of planned stops is.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Keeps the metrics right until `stop`.
pub async fn run(app: App, stop: CancellationToken) {
    let mut turn = tokio::time::interval(LOOK_EVERY);
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = turn.tick() => {}
        }
        if let Err(error) = look(&app).await {
            tracing::warn!(event = "notice.look_failed", error = %error, "Maintenance and incidents could not be read");
        }
    }
}

/// Looks once.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn look(app: &App) -> DbResult<()> {
    let now = app.now_ms();
    let mut tx = app.db.read().await?;
    let planned = maintenance::planned(&mut tx, now).await?;
    let (open, overdue) = incident::open(&mut tx, now).await?;
    let is_halted = halt::store::halted_at(&mut tx).await?.is_some();
    drop(tx);
    let metrics = &app.metrics.notice;
    for service in maintenance::SERVICES {
        let (begins, ends) = maintenance::first_stop(&planned, service).unwrap_or_default();
        metrics.manager_maintenance_running.with_label_values(&[service]).set((begins <= now && now < ends).into());
        metrics.manager_maintenance_begins_timestamp_seconds.with_label_values(&[service]).set(begins / 1000);
        metrics.manager_maintenance_ends_timestamp_seconds.with_label_values(&[service]).set(ends / 1000);
    }
    metrics.manager_service_halted.set(is_halted.into());
    metrics.manager_incidents_open.set(open);
    if 0 < overdue && metrics.manager_incidents_overdue.get() < overdue {
        tracing::warn!(event = "incident.overdue", overdue, "Companies should have been told of {overdue} incidents");
    }
    metrics.manager_incidents_overdue.set(overdue);
    Ok(())
}
