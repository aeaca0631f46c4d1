//! A believable past for a company: people, numbers, sessions, logins, to look at the site with something in it.
//!
//! The past is made by the same verbs as the present (`reception::state`, `session::state`), with the times of then, and
//! every step is in the audit chain. Nothing of it can be used: its numbers are over, its people have the one password
//! that whoever asked for the example chose. Only a company that has had no reception yet takes one.

mod case;
mod people;
mod write;

use proto::{
    api::UnixMillis,
    id::{CompanyId, OperatorId},
};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore as _, SeedableRng as _},
};

use self::case::{Act, Case};
use crate::{
    app::App,
    company::{self, CompanyCode},
    db::{DbError, DbResult, Tx},
    fetch_one,
    login::password::PasswordHash,
    statistics,
};

/// The longest past, days.
pub const DAYS_MAX: i64 = 400;
/// Milliseconds of a day.
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// Japan has no summer time: its days begin this long before those of UTC.
const JST_MS: i64 = 9 * 60 * 60 * 1000;
/// Receptions on a day of work at a desk of our size, from and up to.
const WEEKDAY: (i64, i64) = (34, 58);
/// The same on a day of rest.
const WEEKEND: (i64, i64) = (4, 11);

/// What a past shall be like.
#[derive(Debug, Clone)]
pub struct Wish<'a> {
    /// Whose.
    pub company: &'a CompanyCode,
    /// How many days back from now, at most [`DAYS_MAX`].
    pub days: i64,
    /// The same seed on the same day gives the same past, apart from ids.
    pub seed: u64,
    /// With which everybody may log in.
    pub password_hash: &'a PasswordHash,
}

/// What was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Made {
    /// Accounts.
    pub operators: usize,
    /// Reception numbers.
    pub receptions: usize,
}

/// Why there is no example.
#[derive(Debug, thiserror::Error)]
pub enum ExampleError {
    /// Nobody has this code.
    #[error("there is no such company")]
    NoCompany,
    /// It has had receptions: they would be mixed with invented ones for ever.
    #[error("the company has had receptions already; an example goes into a new one only")]
    NotEmpty,
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Gives a company a past. Each day is one transaction; what was made before a failure stays.
///
/// # Errors
/// See [`ExampleError`]; [`DbError::Duplicate`] when the company has somebody with an id of ours.
pub async fn fill(app: &App, wish: &Wish<'_>) -> Result<Made, ExampleError> {
    let now = app.now_ms();
    let first_day = day_of(now).saturating_sub(wish.days.clamp(1, DAYS_MAX));
    let mut rng = ChaCha8Rng::seed_from_u64(wish.seed);
    let mut tx = app.db.begin().await?;
    let found = company::store::find(&mut tx, wish.company).await?;
    let company_id = found.ok_or(ExampleError::NoCompany)?.company_id;
    if has_receptions(&mut tx, company_id).await? {
        return Err(ExampleError::NotEmpty);
    }
    let staff = write::people(&mut tx, company_id, wish.password_hash, begin_of(first_day)).await?;
    tx.commit().await?;

    let mut made = Made { operators: people::ALL.len(), receptions: 0 };
    for day in first_day..=day_of(now) {
        let cases = plan_day(&mut rng, day, &staff);
        let mut tx = app.db.begin().await?;
        made.receptions = made.receptions.saturating_add(play(app, &mut tx, company_id, cases, now).await?);
        tx.commit().await?;
    }
    statistics::sweep::make_past(app, begin_of(first_day)).await?;
    Ok(made)
}

/// The cases of a day.
fn plan_day(rng: &mut ChaCha8Rng, day: i64, staff: &[OperatorId]) -> Vec<Case> {
    // 1970-01-01 was a Thursday.
    let (least, most) = if matches!(day.saturating_add(4).rem_euclid(7), 0 | 6) { WEEKEND } else { WEEKDAY };
    let many = least.saturating_add(below(rng, most.saturating_sub(least)));
    let mut cases = Vec::new();
    for _ in 0..many {
        let Some(operator) = pick(rng, staff).copied() else { continue };
        cases.push(case::draw(rng, begin_of(day), operator));
    }
    cases
}

/// Does what was planned in the order of time, up to now; gives how many numbers were issued.
///
/// A case that would not be over by now is left out: nobody is there to go on with it.
async fn play(app: &App, tx: &mut Tx, company_id: CompanyId, cases: Vec<Case>, now: UnixMillis) -> DbResult<usize> {
    let mut cases: Vec<Case> = cases.into_iter().filter(|case| case.ends_ms() < now).collect();
    let mut agenda: Vec<(UnixMillis, usize, Act)> = Vec::new();
    for (index, case) in cases.iter_mut().enumerate() {
        agenda.extend(std::mem::take(&mut case.acts).into_iter().map(|(at_ms, act)| (at_ms, index, act)));
    }
    agenda.sort_by_key(|(at_ms, ..)| *at_ms);
    let mut files: Vec<_> = cases.iter().map(|case| write::File::open(company_id, case)).collect();
    for (at_ms, index, act) in agenda {
        if let Some(file) = files.get_mut(index) {
            file.play(app, tx, act, at_ms).await?;
        }
    }
    Ok(files.len())
}

async fn has_receptions(tx: &mut Tx, company_id: CompanyId) -> DbResult<bool> {
    let (many,) = fetch_one!(
        tx,
        (i64,),
        "SELECT COUNT(*)
        FROM (SELECT 1 FROM receptions WHERE company_id = $1 LIMIT 1) AS found",
        company_id.to_string()
    )?;
    Ok(0 < many)
}

/// The number of a day in Japan, counted from 1970-01-01.
const fn day_of(at_ms: UnixMillis) -> i64 {
    at_ms.saturating_add(JST_MS).div_euclid(DAY_MS)
}

/// When a day begins in Japan.
const fn begin_of(day: i64) -> UnixMillis {
    day.saturating_mul(DAY_MS).saturating_sub(JST_MS)
}

/// A number from 0 up to, and without, `end`; 0 when there is none.
fn below(rng: &mut ChaCha8Rng, end: i64) -> i64 {
    i64::from(rng.next_u32()).checked_rem(end.max(1)).unwrap_or(0)
}

/// One of several.
fn pick<'a, T>(rng: &mut ChaCha8Rng, all: &'a [T]) -> Option<&'a T> {
    let index = below(rng, i64::try_from(all.len()).unwrap_or(i64::MAX));
    all.get(usize::try_from(index).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_midnight_in_japan() {
        let noon_in_utc = 1_700_000_000_000 / DAY_MS * DAY_MS + DAY_MS / 2;
        let begin = begin_of(day_of(noon_in_utc));
        assert_eq!((begin + JST_MS) % DAY_MS, 0);
        assert!(begin <= noon_in_utc && noon_in_utc < begin + DAY_MS);
        assert_eq!(day_of(begin - 1), day_of(begin) - 1);
    }

    #[test]
    fn a_day_of_rest_is_quiet_and_the_same_seed_gives_the_same_day() {
        let staff = [OperatorId::from_bytes([1; 16])];
        let plan = |seed, day| plan_day(&mut ChaCha8Rng::seed_from_u64(seed), day, &staff);
        // 2026-11-20 is a Friday, 2026-11-21 a Saturday.
        let friday = 20_777;
        assert!(WEEKDAY.0 <= i64::try_from(plan(1, friday).len()).unwrap());
        assert!(i64::try_from(plan(1, friday + 1).len()).unwrap() < WEEKEND.1);
        assert_eq!(plan(1, friday), plan(1, friday));
        assert_ne!(plan(1, friday), plan(2, friday));
    }
}
