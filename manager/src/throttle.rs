//! Counters that slow down guessing, shared by all managers through the database.
//!
//! A bucket counts what was taken from it in a window; the window begins with the first taking.

use std::{net::IpAddr, time::Duration};

use proto::api::UnixMillis;

use crate::{
    db::{DbResult, Tx},
    execute, fetch_one,
};

/// How much may be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Takings in one window.
    pub max: i64,
    /// Length of the window.
    pub window: Duration,
}

/// What a taking gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// There was room.
    Within,
    /// There was none; it is counted nevertheless.
    Beyond {
        /// Seconds until the window ends, at least 1.
        retry_after_secs: u64,
    },
}

#[derive(sqlx::FromRow)]
struct Bucket {
    taken: i64,
    window_end_ms: i64,
}

/// Takes one from a bucket. `scope` names the purpose (`login.source`), `bucket` whose it is.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn take(tx: &mut Tx, scope: &'static str, bucket: &str, rate: Rate, now: UnixMillis) -> DbResult<Taken> {
    let bucket = fetch_one!(
        tx,
        Bucket,
        "INSERT INTO throttles (scope, bucket, taken, window_end_ms)
        VALUES ($1, $2, 1, $3)
        ON CONFLICT (scope, bucket) DO UPDATE
        SET taken = CASE WHEN throttles.window_end_ms <= $4 THEN 1 ELSE throttles.taken + 1 END,
            window_end_ms = CASE WHEN throttles.window_end_ms <= $4 THEN $3 ELSE throttles.window_end_ms END
        RETURNING taken, window_end_ms",
        scope,
        bucket,
        now.saturating_add(millis(rate.window)),
        now
    )?;
    if bucket.taken <= rate.max {
        return Ok(Taken::Within);
    }
    let left_ms = u64::try_from(bucket.window_end_ms.saturating_sub(now)).unwrap_or(0);
    Ok(Taken::Beyond { retry_after_secs: left_ms.div_ceil(1000).max(1) })
}

/// Whether a bucket has room, without taking.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn has_room(tx: &mut Tx, scope: &'static str, bucket: &str, rate: Rate, now: UnixMillis) -> DbResult<bool> {
    let (taken,) = fetch_one!(
        tx,
        (i64,),
        "SELECT COALESCE(MAX(taken), 0)
        FROM throttles
        WHERE scope = $1
        AND bucket = $2
        AND window_end_ms > $3",
        scope,
        bucket,
        now
    )?;
    Ok(taken < rate.max)
}

/// Puts one back that was taken in the same window.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn put_back(tx: &mut Tx, scope: &'static str, bucket: &str, now: UnixMillis) -> DbResult<()> {
    execute!(
        tx,
        "UPDATE throttles
        SET taken = taken - 1
        WHERE scope = $1
        AND bucket = $2
        AND window_end_ms > $3
        AND taken > 0",
        scope,
        bucket,
        now
    )?;
    Ok(())
}

/// Forgets buckets whose window is over.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn sweep(tx: &mut Tx, now: UnixMillis) -> DbResult<u64> {
    execute!(
        tx,
        "DELETE FROM throttles
        WHERE window_end_ms <= $1",
        now
    )
}

/// The bucket of a source: an IPv4 address, or the /64 an IPv6 address is in.
pub fn source_bucket(source: IpAddr) -> String {
    match source.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

/// A duration in the unit of the database.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_household_share_a_bucket() {
        let bucket = |text: &str| source_bucket(text.parse().unwrap());

        assert_eq!(bucket("2001:db8:1:2::1"), bucket("2001:db8:1:2:ffff::9"));
        assert_ne!(bucket("2001:db8:1:2::1"), bucket("2001:db8:1:3::1"));
        assert_eq!(bucket("::ffff:192.0.2.7"), "192.0.2.7");
    }
}
