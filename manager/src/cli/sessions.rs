//! `sessions list`: the support log for people and programs.

use anyhow::Context as _;
use jiff::{Timestamp, tz::TimeZone};
use proto::{
    api::{
        UnixMillis,
        session::{SessionBody, SessionList, SessionState},
    },
    close::CloseReason,
};

use super::{
    Failure,
    command::{open_existing, say},
};
use crate::{
    company::{self, CompanyCode},
    config::Config,
    session,
};

/// The time zone in which times are shown.
const ZONE: &str = "Asia/Tokyo";

/// Reads only.
pub(super) async fn list(
    config: &Config,
    company: Option<&CompanyCode>,
    limit: i64,
    json: bool,
) -> Result<(), Failure> {
    let db = open_existing(config).await?;
    let mut tx = db.read().await.context("database")?;
    let company_id = match company {
        None => None,
        Some(code) => {
            let found = company::store::find(&mut tx, code).await.context("database")?;
            let found = found.ok_or_else(|| Failure::Usage(format!("--company {code}: does not exist")))?;
            Some(found.company_id)
        }
    };
    let sessions = session::store::recent(&mut tx, company_id, limit).await.context("database")?;
    drop(tx);
    db.close().await;
    if json {
        let list = SessionList { sessions };
        return say(serde_json::to_string_pretty(&list).context("the list has no form in JSON")?);
    }
    say(format_args!("{:<32}  {:<10}  {:<25}  {:<25}  {:>8}  reason", "session", "state", "start", "end", "duration"))?;
    for session in &sessions {
        say(line(session))?;
    }
    Ok(())
}

fn line(session: &SessionBody) -> String {
    format!(
        "{}  {:<10}  {:<25}  {:<25}  {:>8}  {}",
        session.session_id,
        state(session.state),
        shown(Some(session.connected_at_ms.unwrap_or(session.entered_at_ms))),
        shown(session.ended_at_ms),
        session.duration_ms.map_or_else(|| "-".to_owned(), duration),
        session.end_reason.map_or("-", CloseReason::as_str)
    )
}

const fn state(state: SessionState) -> &'static str {
    match state {
        SessionState::Joining => "joining",
        SessionState::Proving => "proving",
        SessionState::Consenting => "consenting",
        SessionState::Connected => "connected",
        SessionState::Ended => "ended",
    }
}

/// `2026-09-21T23:13:20+09:00`, or a dash.
fn shown(at: Option<UnixMillis>) -> String {
    let zone = TimeZone::get(ZONE).unwrap_or(TimeZone::UTC);
    at.and_then(|ms| Timestamp::from_millisecond(ms).ok())
        .map_or_else(|| "-".to_owned(), |at| at.to_zoned(zone).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string())
}

/// `1:02:03`, minutes and seconds always shown.
fn duration(ms: i64) -> String {
    let secs = ms / 1000;
    format!("{}:{:02}:{:02}", secs / 3600, secs / 60 % 60, secs % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_japan_and_durations_in_hours() {
        assert_eq!(shown(Some(1_790_000_000_000)), "2026-09-21T23:13:20+09:00");
        assert_eq!(shown(None), "-");
        assert_eq!(duration(3_723_999), "1:02:03");
        assert_eq!(duration(999), "0:00:00");
    }
}
