//! Asking, agreeing, refusing and taking back.

use jiff::{Timestamp, ToSpan as _};
use proto::api::UnixMillis;

use super::{
    RequestKind, RequestState,
    store::{self, NewRequest, Row},
};
use crate::{
    admin::{
        AdminLogin, Reason,
        record::{About, record},
    },
    app,
    audit::change,
    contract::{self, State},
    db::{DbError, Tx},
    execute, fetch_one,
    login::realm::SYSTEM,
    site::time,
};

/// Milliseconds for which nobody agrees to anything after somebody else held what opens their account: long enough for
/// the audit to notice a second person who is the first.
const FRESH_MS: i64 = 24 * 60 * 60 * 1000;
/// Months after its end from which a contract's data may be erased without the company's own request. Source: the
/// product's whitepaper.
const MONTHS: i64 = 1;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// What.
    pub kind: RequestKind,
    /// Whether the company itself asked for its erasure, before the month is over.
    pub at_own_request: bool,
    /// The account that a disclosure is about; empty for all.
    pub user_id: String,
    /// Its period.
    pub period: (UnixMillis, UnixMillis),
}

/// Why nothing was asked or decided.
#[derive(Debug)]
pub enum RequestError {
    /// The contract has not ended.
    NotEnded,
    /// The month is not over, and the company did not ask for it.
    TooEarly,
    /// The same is asked for already.
    Waiting,
    /// Nobody agrees to what they asked for.
    Own,
    /// The account is too fresh.
    TooFresh,
    /// It was decided meanwhile, or the contract goes on.
    Changed,
    /// The database.
    Db(DbError),
}

impl From<DbError> for RequestError {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Duplicate(_) => Self::Waiting,
            DbError::Busy(_) | DbError::InconsistentRow { .. } | DbError::Failed(_) | DbError::Migrate(_) => {
                Self::Db(error)
            }
        }
    }
}

/// Asks; the request's id.
///
/// # Errors
/// [`RequestError`].
pub async fn ask(
    tx: &mut Tx,
    login: &AdminLogin,
    company: &contract::list::Row,
    asked: &Asked,
    reason: &Reason,
    now: UnixMillis,
) -> Result<String, RequestError> {
    if asked.kind == RequestKind::Erase {
        let ended = company.ended_at_ms.filter(|_| company.state() == State::Ended).ok_or(RequestError::NotEnded)?;
        if !asked.at_own_request && now < month_after(ended) {
            return Err(RequestError::TooEarly);
        }
    }
    let request_id = hex::encode(app::draw_id());
    let asked_by = login.operator_id.to_string();
    let new = NewRequest {
        kind: asked.kind,
        company: (&company.company_id, &company.code, &company.name),
        user_id: &asked.user_id,
        period: asked.period,
        reason: reason.as_str(),
        asked_by: &asked_by,
    };
    store::insert(tx, &request_id, &new, now).await?;
    let zone = time::zone(time::TOKYO);
    let (since, until) = (time::day(asked.period.0, &zone), time::day(asked.period.1.saturating_sub(1), &zone));
    let fields = match asked.kind {
        RequestKind::Erase => change::differences([
            ("company", "", company.code.as_str()),
            ("at_own_request", "", if asked.at_own_request { "yes" } else { "no" }),
        ]),
        RequestKind::Disclose => change::differences([
            ("company", "", company.code.as_str()),
            ("user", "", asked.user_id.as_str()),
            ("from", "", since.as_str()),
            ("to", "", until.as_str()),
        ]),
    };
    let about = About { company_id: SYSTEM, event: "data.asked", subject: &subject(&request_id) };
    record(tx, login, about, reason, fields, now).await?;
    Ok(request_id)
}

/// Decides what somebody else asked for, or takes back what one asked for oneself.
///
/// # Errors
/// [`RequestError`].
pub async fn decide(
    tx: &mut Tx,
    login: &AdminLogin,
    row: &Row,
    next: RequestState,
    reason: &Reason,
    now: UnixMillis,
) -> Result<(), RequestError> {
    let by = login.operator_id.to_string();
    let is_own = row.asked_by == by;
    let event = match (next, is_own) {
        (RequestState::Agreed | RequestState::Refused, true) | (RequestState::Withdrawn, false) => {
            return Err(RequestError::Own);
        }
        (RequestState::Agreed, false) => {
            not_fresh(tx, &by, now).await?;
            "data.agreed"
        }
        (RequestState::Refused, false) => "data.refused",
        (RequestState::Withdrawn, true) => "data.withdrawn",
        (RequestState::Asked | RequestState::Done, _) => return Err(RequestError::Changed),
    };
    if !store::decide(tx, &row.request_id, next, (&by, reason.as_str()), now).await? {
        return Err(RequestError::Changed);
    }
    if next == RequestState::Agreed && row.kind() == RequestKind::Erase {
        // From here on the contract cannot be resumed.
        let closed = execute!(
            tx,
            "UPDATE companies
            SET state = 'erased', version = version + 1
            WHERE company_id = $1
            AND state = 'ended'",
            &row.company_id
        )?;
        if closed == 0 {
            return Err(RequestError::Changed);
        }
    }
    let fields = change::differences([
        ("company", "", row.company_code.as_str()),
        ("kind", "", row.kind.as_str()),
        ("state", row.state.as_str(), next.as_str()),
    ]);
    let about = About { company_id: SYSTEM, event, subject: &subject(&row.request_id) };
    record(tx, login, about, reason, fields, now).await?;
    Ok(())
}

/// Refuses an account that somebody else could have opened lately.
async fn not_fresh(tx: &mut Tx, operator_id: &str, now: UnixMillis) -> Result<(), RequestError> {
    let (created, handed_out) = fetch_one!(
        tx,
        (i64, i64),
        "SELECT created_at_ms, handed_out_at_ms
        FROM operators
        WHERE operator_id = $1",
        operator_id
    )?;
    if created.max(handed_out).saturating_add(FRESH_MS) <= now { Ok(()) } else { Err(RequestError::TooFresh) }
}

/// The same moment of a month later, in Japan.
pub fn month_after(at: UnixMillis) -> UnixMillis {
    let Ok(ended) = Timestamp::from_millisecond(at) else { return UnixMillis::MAX };
    let later = ended.to_zoned(time::zone(time::TOKYO)).checked_add(MONTHS.months());
    later.map_or(UnixMillis::MAX, |later| later.timestamp().as_millisecond())
}

/// The subject of changes of a request.
pub fn subject(request_id: &str) -> String {
    format!("request:{request_id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_ends_on_the_same_day_or_the_last() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap().as_millisecond();

        assert_eq!(month_after(at("2026-04-15T10:00:00+09:00")), at("2026-05-15T10:00:00+09:00"));
        assert_eq!(month_after(at("2027-01-31T00:00:00+09:00")), at("2027-02-28T00:00:00+09:00"));
    }
}
