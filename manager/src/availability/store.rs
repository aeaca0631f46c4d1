//! Rows of stops.

use proto::api::UnixMillis;

use super::state::{Known, Stop, Window};
use crate::{
    db::{DbResult, Tx},
    fetch_all, fetch_one, halt,
    login::realm::SYSTEM,
};

/// How long before now a stop must have ended to be of none of the months that are shown: more than a year and a month.
const BACK_MS: i64 = 400 * 24 * 60 * 60 * 1000;

/// Everything that is known of stops, as far back as months are shown. Maintenance is that of managers or relays: when
/// only downloads are away, nobody's support is. Of each kind the newest thousand count, which is more than two a day.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn known(tx: &mut Tx, now: UnixMillis) -> DbResult<Known> {
    let since = now.saturating_sub(BACK_MS);
    let (began_at_ms,) = fetch_one!(
        tx,
        (Option<i64>,),
        "SELECT MIN(created_at_ms)
        FROM operators
        WHERE company_id = $1",
        SYSTEM.to_string()
    )?;
    let windows = fetch_all!(
        tx,
        Window,
        "SELECT starts_at_ms, ends_at_ms, announced_at_ms, cancelled_at_ms, finished_at_ms
        FROM maintenances
        WHERE ends_at_ms > $1
        AND (services LIKE '%manager%' OR services LIKE '%relay%')
        ORDER BY starts_at_ms DESC, maintenance_id
        LIMIT 1000",
        since
    )?;
    let incidents = fetch_all!(
        tx,
        (i64, Option<i64>),
        "SELECT stopped_at_ms, stopped_until_ms
        FROM incidents
        WHERE stopped_at_ms IS NOT NULL
        AND (stopped_until_ms IS NULL OR stopped_until_ms > $1)
        ORDER BY stopped_at_ms DESC, incident_id
        LIMIT 1000",
        since
    )?;
    let halts = halt::store::halts(tx, since).await?.into_iter().map(|halt| (halt.halted_at_ms, halt.lifted_at_ms));
    let stops = incidents.into_iter().chain(halts).map(|(from_ms, until_ms)| Stop { from_ms, until_ms }).collect();
    Ok(Known { began_at_ms: began_at_ms.unwrap_or(now), windows, stops })
}
