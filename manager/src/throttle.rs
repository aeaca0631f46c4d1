//! Counters that slow down guessing, shared by all managers through the database.
//!
//! A bucket counts what was taken from it in a window; the window begins with the first taking.

use std::{net::IpAddr, time::Duration};

use proto::api::UnixMillis;

use crate::{
    db::{DbResult, Tx},
    execute, fetch_all, fetch_one,
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

/// A bucket after a taking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct Bucket {
    taken: i64,
    window_end_ms: i64,
}

/// What [`take_three`] took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Three {
    /// The three buckets; none where there was no scope.
    pub buckets: [Option<Bucket>; 3],
    /// What was taken from the bucket of everybody in the scope that was asked for beside them, in its window.
    pub beside: i64,
}

#[derive(sqlx::FromRow)]
struct Scoped {
    scope: String,
    #[sqlx(flatten)]
    bucket: Bucket,
    beside: i64,
}

impl Bucket {
    /// What the taking gave that made the bucket so.
    pub fn against(self, rate: Rate, now: UnixMillis) -> Taken {
        if self.taken <= rate.max {
            return Taken::Within;
        }
        let left_ms = u64::try_from(self.window_end_ms.saturating_sub(now)).unwrap_or(0);
        Taken::Beyond { retry_after_secs: left_ms.div_ceil(1000).max(1) }
    }
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
    Ok(bucket.against(rate, now))
}

/// Takes one from a bucket of each of three scopes at once, unless the bucket of the scope `block` was taken from in its
/// window: then nothing is taken, and there is no answer, as when no scope was asked for. A scope that is empty has no
/// bucket. Always in this order, so that two callers never wait for each other. Tells what was taken from the bucket of
/// everybody in the scope `beside`, too.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn take_three(
    tx: &mut Tx,
    bucket: &str,
    [block, beside]: [&'static str; 2],
    windows: [(&'static str, Duration); 3],
    now: UnixMillis,
) -> DbResult<Option<Three>> {
    let [first, second, third] = windows.map(|(scope, window)| (scope, now.saturating_add(millis(window))));
    let taken = fetch_all!(
        tx,
        Scoped,
        "INSERT INTO throttles (scope, bucket, taken, window_end_ms)
        SELECT asked.scope, CAST($1 AS TEXT), 1, asked.window_end_ms
        FROM (
            SELECT CAST($2 AS TEXT) AS scope, CAST($3 AS BIGINT) AS window_end_ms
            UNION ALL SELECT CAST($4 AS TEXT), CAST($5 AS BIGINT)
            UNION ALL SELECT CAST($6 AS TEXT), CAST($7 AS BIGINT)
        ) AS asked
        WHERE asked.scope <> ''
        AND NOT EXISTS (
            SELECT 1
            FROM throttles blocked
            WHERE blocked.scope = $8
            AND blocked.bucket = $1
            AND blocked.window_end_ms > $9
            AND blocked.taken > 0
        )
        ON CONFLICT (scope, bucket) DO UPDATE
        SET taken = CASE WHEN throttles.window_end_ms <= $9 THEN 1 ELSE throttles.taken + 1 END,
            window_end_ms = CASE WHEN throttles.window_end_ms <= $9 THEN excluded.window_end_ms
                ELSE throttles.window_end_ms END
        RETURNING scope, taken, window_end_ms, (
            SELECT COALESCE(MAX(everybody.taken), 0)
            FROM throttles everybody
            WHERE everybody.scope = $10
            AND everybody.bucket = ''
            AND everybody.window_end_ms > $9
        ) AS beside",
        bucket,
        first.0,
        first.1,
        second.0,
        second.1,
        third.0,
        third.1,
        block,
        now,
        beside
    )?;
    // In no order.
    let of = |scope: &str| taken.iter().find(|scoped| scoped.scope == scope).map(|scoped| scoped.bucket);
    let buckets = windows.map(|(scope, _)| of(scope));
    Ok(taken.first().map(|scoped| Three { buckets, beside: scoped.beside }))
}

/// How much was taken from a bucket in its window.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn taken(tx: &mut Tx, scope: &'static str, bucket: &str, now: UnixMillis) -> DbResult<i64> {
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
    Ok(taken)
}

/// Whether a bucket has room, without taking.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn has_room(tx: &mut Tx, scope: &'static str, bucket: &str, rate: Rate, now: UnixMillis) -> DbResult<bool> {
    Ok(taken(tx, scope, bucket, now).await? < rate.max)
}

/// Puts one back that was taken in the same window.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn put_back(tx: &mut Tx, scope: &'static str, bucket: &str, now: UnixMillis) -> DbResult<()> {
    put_back_three(tx, bucket, [scope, "", ""], now).await
}

/// Puts one back into a bucket of each of three scopes, as [`put_back`] does; a scope that is empty has no bucket. They must
/// have been taken in the same transaction, so that two callers never wait for each other.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn put_back_three(tx: &mut Tx, bucket: &str, scopes: [&'static str; 3], now: UnixMillis) -> DbResult<()> {
    let [first, second, third] = scopes;
    execute!(
        tx,
        "UPDATE throttles
        SET taken = taken - 1
        WHERE bucket = $1
        AND scope IN ($2, $3, $4)
        AND window_end_ms > $5
        AND taken > 0",
        bucket,
        first,
        second,
        third,
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
