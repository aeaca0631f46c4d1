//! Slows down guessing of numbers: per source, per network, and for everybody together.
//!
//! An entry is counted as wrong before it is looked at, and taken back when it was right; so no number of simultaneous
//! guesses gets past a limit of its source. Counters are in the database and hold for all managers.
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
    throttle::{self, Bucket, Rate, Taken},
};

/// Tries of a source while guessing is slowed softly, and hard.
const SLOWED: [i64; 2] = [2, 1];
/// A source that made too many in an hour is not listened to for an hour.
const BLOCK: Rate = Rate { max: 1, window: HOUR };
/// Wrong entries of everybody together.
const EVERYBODY: &str = "entry.all";
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

/// What counts a source or a network: the scope of its block, its bucket, and three scopes with their windows.
type Windows = (&'static str, String, [(&'static str, Duration); 3]);

/// Counts an entry as wrong and says whether it may be looked at.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn count(tx: &mut Tx, config: &Config, source: IpAddr, now_ms: UnixMillis) -> DbResult<(Verdict, Level)> {
    let mut reached = Level::Calm;
    for (index, (block, bucket, windows)) in windows(source).into_iter().enumerate() {
        let taken = throttle::take_three(tx, &bucket, [block, EVERYBODY], windows, now_ms).await?;
        let Some(taken) = taken else { return Ok((Verdict::Throttled, level(tx, config, now_ms).await?)) };
        reached = level_of(config, taken.beside);
        let rates = rates(config, reached, index);
        let limited = taken.buckets.into_iter().zip(rates);
        let is_beyond = |(bucket, rate): (Option<Bucket>, Rate)| {
            bucket.is_some_and(|bucket| bucket.against(rate, now_ms) != Taken::Within)
        };
        let Some(beyond) = limited.map(is_beyond).position(|is_beyond| is_beyond) else { continue };
        // What is beyond one limit counts for none of those after it.
        let [_, (hour, _), (day, _)] = windows;
        let after = [[hour, day, ""], [day, "", ""]];
        if let Some(scopes) = after.get(beyond) {
            throttle::put_back_three(tx, &bucket, *scopes, now_ms).await?;
        }
        if rates.get(beyond).is_some_and(|rate| rate.window == HOUR) {
            throttle::take(tx, block, &bucket, BLOCK, now_ms).await?;
        }
        return Ok((Verdict::Throttled, reached));
    }
    Ok((Verdict::Look, reached))
}

/// Counts an entry for everybody together, once it is known to be wrong.
///
/// Not before it is looked at as for its source: every entry would hold this one row until its end, and all of them would
/// wait for each other. So as many guesses as run at the same moment, which the connections to the database bound, may
/// pass a level before it is reached.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn count_wrong(tx: &mut Tx, now_ms: UnixMillis) -> DbResult<()> {
    throttle::take(tx, EVERYBODY, "", Rate { max: i64::MAX, window: MINUTE }, now_ms).await?;
    Ok(())
}

/// Takes the count of an entry back: the number was right.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn forgive(tx: &mut Tx, source: IpAddr, now_ms: UnixMillis) -> DbResult<()> {
    for (_, bucket, windows) in windows(source) {
        throttle::put_back_three(tx, &bucket, windows.map(|(scope, _)| scope), now_ms).await?;
    }
    Ok(())
}

/// How hard guessing is slowed now.
async fn level(tx: &mut Tx, config: &Config, now_ms: UnixMillis) -> DbResult<Level> {
    Ok(level_of(config, throttle::taken(tx, EVERYBODY, "", now_ms).await?))
}

/// How hard guessing is slowed after so many wrong entries in a minute.
fn level_of(config: &Config, wrong: i64) -> Level {
    if wrong < config.wrong_soft_max.get().into() {
        Level::Calm
    } else if wrong < config.wrong_hard_max.get().into() {
        Level::Soft
    } else {
        Level::Hard
    }
}

/// The windows of a source and of its network; always in this order, so that two entries never wait for each other.
fn windows(source: IpAddr) -> Vec<Windows> {
    let windows = |[burst, hour, day]: [&'static str; 3]| [(burst, BURST), (hour, HOUR), (day, DAY)];
    let scopes = ["entry.5min", "entry.hour", "entry.day"];
    let mut all = vec![("entry.block", throttle::source_bucket(source), windows(scopes))];
    if let IpAddr::V6(address) = source.to_canonical() {
        let scopes = ["entry48.5min", "entry48.hour", "entry48.day"];
        all.push(("entry48.block", network_48(address), windows(scopes)));
    }
    all
}

/// The limits of the [`windows`] of a source (0) or of its network (1) at this level.
fn rates(config: &Config, level: Level, index: usize) -> [Rate; 3] {
    let factor = if index == 0 { 1 } else { i64::from(config.wrong_per_48_factor.get()) };
    let [softly, hardly] = SLOWED;
    let day = i64::from(config.wrong_per_day_max.get());
    let hour = i64::from(config.wrong_per_hour_max.get());
    let burst = i64::from(config.wrong_per_5_minutes_max.get());
    let (burst, day) = match level {
        Level::Calm => (burst, day),
        Level::Soft => (burst.min(softly), day),
        Level::Hard => (burst.min(hardly), hardly),
    };
    [(burst, BURST), (hour, HOUR), (day, DAY)].map(|(max, window)| Rate { max: max.saturating_mul(factor), window })
}

/// The /48 an address is in: what one customer of a provider usually has.
fn network_48(address: Ipv6Addr) -> String {
    let [a, b, c, ..] = address.segments();
    format!("{a:x}:{b:x}:{c:x}::/48")
}
