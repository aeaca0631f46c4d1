//! Taking a code of the second factor, setting it up, and doing without it by a recovery code.

use std::time::Duration;

use proto::{api::UnixMillis, id::OperatorId};

use super::totp::{self, Factor};
use crate::{
    app::{self, App},
    db::{DbResult, Tx},
    execute, fetch_one, fetch_optional,
    throttle::{self, Rate, Taken},
};

/// Scope of the counter of codes.
const CODES: &str = "login.code";
/// Codes that may be tried for one account in a day: a guess hits with 20 × 3 / 1,000,000. Source: the product's
/// security report, 7.2.
const TRIES: Rate = Rate { max: 20, window: Duration::from_hours(24) };

/// Takes a code of the authenticator or a recovery code, if it is right and was not taken before.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn take(app: &App, tx: &mut Tx, operator_id: OperatorId, code: &str) -> DbResult<bool> {
    let now = app.now_ms();
    let bucket = operator_id.to_string();
    if let Taken::Beyond { .. } = throttle::take(tx, CODES, &bucket, TRIES, now).await? {
        return Ok(false);
    }
    let taken = take_code(app, tx, operator_id, code, now).await? || take_recovery(tx, operator_id, code, now).await?;
    if taken {
        throttle::put_back(tx, CODES, &bucket, now).await?;
    }
    Ok(taken)
}

/// The step is stored by one conditional statement, so that of two uses of a code one is refused.
async fn take_code(app: &App, tx: &mut Tx, operator_id: OperatorId, code: &str, now: UnixMillis) -> DbResult<bool> {
    let row = fetch_optional!(
        tx,
        (Option<String>,),
        "SELECT totp_sealed
        FROM operators
        WHERE operator_id = $1",
        operator_id.to_string()
    )?;
    let sealed = row.and_then(|(sealed,)| sealed);
    let factor = sealed.and_then(|sealed| Factor::open(&sealed, &app.columns, operator_id));
    let Some(step) = factor.and_then(|factor| factor.step_of(code, now)) else { return Ok(false) };
    let stored = execute!(
        tx,
        "UPDATE operators
        SET totp_step = $2
        WHERE operator_id = $1
        AND totp_step < $2",
        operator_id.to_string(),
        step
    )?;
    Ok(stored == 1)
}

async fn take_recovery(tx: &mut Tx, operator_id: OperatorId, code: &str, now: UnixMillis) -> DbResult<bool> {
    let used = execute!(
        tx,
        "UPDATE recovery_codes
        SET used_at_ms = $3
        WHERE operator_id = $1
        AND code_hash = $2
        AND used_at_ms IS NULL",
        operator_id.to_string(),
        totp::recovery_hash(operator_id, code),
        now
    )?;
    Ok(used == 1)
}

/// Puts a factor in force with new recovery codes, which are given once.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn set_up(tx: &mut Tx, operator_id: OperatorId, sealed: &str, step: i64) -> DbResult<Vec<String>> {
    execute!(
        tx,
        "UPDATE operators
        SET totp_sealed = $2, totp_step = $3, version = version + 1
        WHERE operator_id = $1",
        operator_id.to_string(),
        sealed,
        step
    )?;
    renew_recovery_codes(tx, operator_id).await
}

/// Replaces the recovery codes; gives the new ones, once.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn renew_recovery_codes(tx: &mut Tx, operator_id: OperatorId) -> DbResult<Vec<String>> {
    execute!(tx, "DELETE FROM recovery_codes WHERE operator_id = $1", operator_id.to_string())?;
    let codes: Vec<String> = (0..totp::RECOVERY_CODES).map(|_| totp::draw_recovery_code(&mut app::os_rng())).collect();
    for code in &codes {
        execute!(
            tx,
            "INSERT INTO recovery_codes (operator_id, code_hash)
            VALUES ($1, $2)",
            operator_id.to_string(),
            totp::recovery_hash(operator_id, code)
        )?;
    }
    Ok(codes)
}

/// Takes the second factor away; whether there was one.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn take_away(tx: &mut Tx, operator_id: OperatorId) -> DbResult<bool> {
    execute!(tx, "DELETE FROM recovery_codes WHERE operator_id = $1", operator_id.to_string())?;
    let had = execute!(
        tx,
        "UPDATE operators
        SET totp_sealed = NULL, totp_step = 0, version = version + 1
        WHERE operator_id = $1
        AND totp_sealed IS NOT NULL",
        operator_id.to_string()
    )?;
    Ok(had == 1)
}

/// Recovery codes that are left.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn recovery_codes_left(tx: &mut Tx, operator_id: OperatorId) -> DbResult<i64> {
    let (left,) = fetch_one!(
        tx,
        (i64,),
        "SELECT COUNT(*)
        FROM recovery_codes
        WHERE operator_id = $1
        AND used_at_ms IS NULL",
        operator_id.to_string()
    )?;
    Ok(left)
}
