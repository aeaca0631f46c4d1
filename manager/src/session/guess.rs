//! Slows down guessing of numbers: per source, per network, and for everybody together.
//!
//! An entry is counted as wrong before it is looked at, and taken back when it was right; so no number of simultaneous
//! guesses gets past a limit. Counters are in the database and hold for all managers.
//! The arithmetic: 10⁶ locators, 200 of them open; one source gets 50 tries a day, so it meets an open number once in
//! 100 days, and then knows nothing of the four digits.

use std::{
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use proto::api::UnixMillis;

use super::Config;
use crate::{
    db::{DbResult, Tx},
    throttle::{self, Rate, Taken},
};

/// Tries of a source while guessing is slowed softly, and hard.
const SLOWED: [i64; 2] = [2, 1];
const MINUTE: Duration = Duration::from_mins(1);
const BURST: Duration = Duration::from_mins(5);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// How hard guessing is slowed for everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Not at all.
    Calm,
    /// Each source has two tries.
    Soft,
    /// Each source has one try a day.
    Hard,
}

/// Whether an entry may be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It may; it counts as wrong until [`forgive`].
    Look,
    /// It may not.
    Throttled,
}

/// One counter: scope, bucket, limit.
struct Counter {
    scope: &'static str,
    bucket: String,
    rate: Rate,
}

/// Counts an entry as wrong and says whether it may be looked at.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn count(tx: &mut Tx, config: &Config, source: IpAddr, now_ms: UnixMillis) -> DbResult<(Verdict, Level)> {
    let level = level(tx, config, now_ms).await?;
    for (block, counters) in counters(config, source, level) {
        if !throttle::has_room(tx, block.scope, &block.bucket, block.rate, now_ms).await? {
            return Ok((Verdict::Throttled, level));
        }
        for counter in counters {
            let taken = throttle::take(tx, counter.scope, &counter.bucket, counter.rate, now_ms).await?;
            if taken != Taken::Within {
                if counter.rate.window == HOUR {
                    throttle::take(tx, block.scope, &block.bucket, block.rate, now_ms).await?;
                }
                return Ok((Verdict::Throttled, level));
            }
        }
    }
    throttle::take(tx, "entry.all", "", soft(config), now_ms).await?;
    Ok((Verdict::Look, level))
}

/// Takes the count of an entry back: the number was right.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn forgive(tx: &mut Tx, config: &Config, source: IpAddr, now_ms: UnixMillis) -> DbResult<()> {
    for (_, counters) in counters(config, source, Level::Calm) {
        for counter in counters {
            throttle::put_back(tx, counter.scope, &counter.bucket, now_ms).await?;
        }
    }
    throttle::put_back(tx, "entry.all", "", now_ms).await
}

/// How hard guessing is slowed now.
async fn level(tx: &mut Tx, config: &Config, now_ms: UnixMillis) -> DbResult<Level> {
    if throttle::has_room(tx, "entry.all", "", soft(config), now_ms).await? {
        return Ok(Level::Calm);
    }
    let hard = Rate { max: config.wrong_hard_max.get().into(), window: MINUTE };
    let calm = throttle::has_room(tx, "entry.all", "", hard, now_ms).await?;
    Ok(if calm { Level::Soft } else { Level::Hard })
}

fn soft(config: &Config) -> Rate {
    Rate { max: config.wrong_soft_max.get().into(), window: MINUTE }
}

/// The counters of a source and of its network, each with its block; always in this order, so that two entries never
/// wait for each other.
fn counters(config: &Config, source: IpAddr, level: Level) -> Vec<(Counter, [Counter; 3])> {
    let mut scopes =
        vec![(["entry.5min", "entry.hour", "entry.day", "entry.block"], throttle::source_bucket(source), 1)];
    if let IpAddr::V6(address) = source.to_canonical() {
        let scopes_48 = ["entry48.5min", "entry48.hour", "entry48.day", "entry48.block"];
        scopes.push((scopes_48, network_48(address), i64::from(config.wrong_per_48_factor.get())));
    }
    let [softly, hardly] = SLOWED;
    let day = i64::from(config.wrong_per_day_max.get());
    let burst = i64::from(config.wrong_per_5_minutes_max.get());
    let (burst, day) = match level {
        Level::Calm => (burst, day),
        Level::Soft => (burst.min(softly), day),
        Level::Hard => (burst.min(hardly), hardly),
    };
    let counters = move |(scopes, bucket, factor): ([&'static str; 4], String, i64)| {
        let counter = |scope, max: i64, window| {
            let max = max.saturating_mul(factor);
            Counter { scope, bucket: bucket.clone(), rate: Rate { max, window } }
        };
        let [scope_5min, scope_hour, scope_day, scope_block] = scopes;
        let hour = i64::from(config.wrong_per_hour_max.get());
        let block = Counter { scope: scope_block, bucket: bucket.clone(), rate: Rate { max: 1, window: HOUR } };
        let counted =
            [counter(scope_5min, burst, BURST), counter(scope_hour, hour, HOUR), counter(scope_day, day, DAY)];
        (block, counted)
    };
    scopes.into_iter().map(counters).collect()
}

/// The /48 an address is in: what one customer of a provider usually has.
fn network_48(address: Ipv6Addr) -> String {
    let [a, b, c, ..] = address.segments();
    format!("{a:x}:{b:x}:{c:x}::/48")
}
