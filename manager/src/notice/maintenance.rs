//! Maintenance windows: announced in time, with a notice and mails, and on the record.

use std::time::Duration;

use proto::api::UnixMillis;
use serde_json::json;

use super::{
    Class, send,
    store::{self, NewNotice, Writer},
};
use crate::{
    app::{self, App},
    audit::{self, AuditEvent},
    db::{DbError, DbResult, Tx},
    execute, fetch_all, fetch_optional,
    login::Holder,
    mail::{self, Kind, Text},
    site::{Words, time},
    throttle::millis,
};

/// A window is announced at least so long before. Source: the product's whitepaper, one week.
pub const NOTICE_MIN: Duration = Duration::from_hours(7 * 24);
/// What the form proposes. Source: the whitepaper of the accounts' rules, one month.
pub const NOTICE_DEFAULT: Duration = Duration::from_hours(30 * 24);
/// From so long before on the notice stands on every page, read or not.
const STAYS_BEFORE: Duration = Duration::from_hours(24);
/// The longest window.
const LENGTH_MAX: Duration = Duration::from_hours(7 * 24);

/// What can be stopped.
pub const SERVICES: [&str; 3] = ["manager", "relay", "download"];

/// A window that shall be announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewWindow {
    /// When it begins.
    pub starts_at_ms: UnixMillis,
    /// When it is over.
    pub ends_at_ms: UnixMillis,
    /// Some of [`SERVICES`].
    pub services: Vec<&'static str>,
    /// What else is to be said; may be empty.
    pub body: String,
    /// Why it cannot wait for seven days; empty when it need not be explained.
    pub reason: String,
    /// Whether it is an emergency.
    pub emergency: bool,
}

/// Why a window is not announced.
#[derive(Debug)]
pub enum Refusal {
    /// The end is not behind the beginning, or the window is longer than a week.
    Times,
    /// No service.
    NoService,
    /// It begins sooner than in seven days and is no emergency.
    TooSoon,
    /// An emergency without its reason.
    NoReason,
    /// It begins in the past.
    Past,
    /// The database.
    Db(DbError),
}

/// Why a window is not called off, or its work not finished.
#[derive(Debug)]
pub enum EndRefusal {
    /// There is no such window.
    NotThere,
    /// It has not begun, so its work cannot be finished.
    NotBegun,
    /// Its announced end is over.
    Over,
    /// Somebody else has finished it or called it off.
    Changed,
    /// The database.
    Db(DbError),
}

/// A window as the list shows it.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Window {
    /// Its id.
    pub maintenance_id: String,
    /// Its notice.
    pub notice_id: String,
    /// When it begins.
    pub starts_at_ms: i64,
    /// When it is over, as announced.
    pub ends_at_ms: i64,
    /// What stops, between spaces.
    pub services: String,
    /// Whether it is an emergency.
    pub emergency: bool,
    /// Why.
    pub reason: String,
    /// When it was announced.
    pub announced_at_ms: i64,
    /// When it was called off.
    pub cancelled_at_ms: Option<i64>,
    /// When its work was finished; none when nobody said so before the announced end.
    pub finished_at_ms: Option<i64>,
    /// Mails about it that are out.
    pub mails_sent: i64,
    /// Mails about it that wait.
    pub mails_waiting: i64,
    /// Mails about it that failed.
    pub mails_failed: i64,
}

impl From<DbError> for Refusal {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

impl From<DbError> for EndRefusal {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

impl NewWindow {
    /// Whether the rules take it.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn check(&self, now: UnixMillis) -> Result<(), Refusal> {
        let length = self.ends_at_ms.saturating_sub(self.starts_at_ms);
        if length <= 0 || millis(LENGTH_MAX) < length {
            return Err(Refusal::Times);
        }
        if self.services.is_empty() {
            return Err(Refusal::NoService);
        }
        if self.starts_at_ms < now {
            return Err(Refusal::Past);
        }
        if self.emergency {
            return if self.reason.is_empty() { Err(Refusal::NoReason) } else { Ok(()) };
        }
        if self.starts_at_ms < now.saturating_add(millis(NOTICE_MIN)) { Err(Refusal::TooSoon) } else { Ok(()) }
    }
}

impl Window {
    /// Whether it goes on: nobody has called it off or finished it, and its announced end is to come.
    pub const fn is_open(&self, now: UnixMillis) -> bool {
        self.cancelled_at_ms.is_none() && self.finished_at_ms.is_none() && now < self.ends_at_ms
    }

    /// Whether its work can be finished: it has begun and goes on.
    pub const fn is_running(&self, now: UnixMillis) -> bool {
        self.starts_at_ms <= now && self.is_open(now)
    }
}

/// Announces a window: the row, the notice, the mails and the audit row of one transaction; its id.
///
/// # Errors
/// [`Refusal`].
pub async fn announce(app: &App, tx: &mut Tx, login: &Holder, new: &NewWindow) -> Result<String, Refusal> {
    let now = app.now_ms();
    new.check(now)?;
    let maintenance_id = hex::encode(app::draw_id());
    let about = format!("maintenance:{maintenance_id}");
    let zone = login.zone();
    let (from, until) = (time::to_the_minute(new.starts_at_ms, &zone), time::to_the_minute(new.ends_at_ms, &zone));
    let words = Words::of(login.lang);
    let notice_id = {
        let title = words.maintenance.notice_title(&from, &until);
        let body = text_of(words, new, (&from, &until));
        let notice = NewNotice {
            writer: Writer::Service,
            only: &[],
            class: Class::Maintenance,
            important: true,
            title: &title,
            body: &body,
            begins_at_ms: now,
            ends_at_ms: new.ends_at_ms,
            stays_from_ms: Some(new.starts_at_ms.saturating_sub(millis(STAYS_BEFORE)).max(now)),
            author: &login.name,
        };
        store::create(tx, &notice, now).await?
    };
    execute!(
        tx,
        "INSERT INTO maintenances
        (maintenance_id, notice_id, starts_at_ms, ends_at_ms, services, emergency, reason, author, announced_at_ms)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        &maintenance_id,
        &notice_id,
        new.starts_at_ms,
        new.ends_at_ms,
        new.services.join(" "),
        new.emergency,
        &new.reason,
        &login.name,
        now
    )?;
    let say = |words: &'static Words| {
        let w = &words.maintenance;
        let subject = if new.emergency { w.mail_subject_emergency(&from) } else { w.mail_subject(&from) };
        Text { subject, body: text_of(words, new, (&from, &until)) }
    };
    let mails = send::to_administrators(app, tx, (Kind::Maintenance, &about), say, Some(new.ends_at_ms)).await?;
    let detail = json!({
        "maintenance_id": maintenance_id,
        "notice_id": notice_id,
        "starts": time::machine(new.starts_at_ms, &zone),
        "ends": time::machine(new.ends_at_ms, &zone),
        "services": new.services,
        "emergency": new.emergency,
        "mails": mails,
    });
    audit::append(tx, of_system(login, "maintenance.announced", detail, now)).await?;
    Ok(maintenance_id)
}

/// Calls a window off that is not over or finished: its notice ends, and those who were told are told.
///
/// # Errors
/// [`EndRefusal`].
pub async fn call_off(app: &App, tx: &mut Tx, login: &Holder, maintenance_id: &str) -> Result<(), EndRefusal> {
    let now = app.now_ms();
    let found = fetch_optional!(
        tx,
        (String, i64, i64),
        "UPDATE maintenances
        SET cancelled_at_ms = $2
        WHERE maintenance_id = $1
        AND cancelled_at_ms IS NULL
        AND finished_at_ms IS NULL
        AND ends_at_ms > $2
        RETURNING notice_id, starts_at_ms, ends_at_ms",
        maintenance_id,
        now
    )?;
    let Some((notice_id, starts_at_ms, ends_at_ms)) = found else {
        return Err(why_not(tx, maintenance_id, now).await?);
    };
    store::end(tx, Writer::Service, &notice_id, now).await?;
    let zone = login.zone();
    let (from, until) = (time::to_the_minute(starts_at_ms, &zone), time::to_the_minute(ends_at_ms, &zone));
    let words = Words::of(login.lang);
    let (title, body) = (words.maintenance.off_title(&from), words.maintenance.off_body(&from, &until));
    let notice = NewNotice {
        writer: Writer::Service,
        only: &[],
        class: Class::Maintenance,
        important: false,
        title: &title,
        body: &body,
        begins_at_ms: now,
        ends_at_ms,
        stays_from_ms: None,
        author: &login.name,
    };
    store::create(tx, &notice, now).await?;
    let say = |words: &'static Words| Text {
        subject: words.maintenance.off_title(&from),
        body: words.maintenance.off_body(&from, &until),
    };
    let about = format!("maintenance:{maintenance_id}");
    let mails = send::to_administrators(app, tx, (Kind::Maintenance, &about), say, Some(ends_at_ms)).await?;
    let detail = json!({ "maintenance_id": maintenance_id, "mails": mails });
    audit::append(tx, of_system(login, "maintenance.called_off", detail, now)).await?;
    Ok(())
}

/// Says that the work of a window that runs is finished: it is over from now on, its notice ends, and mails that still
/// wait to announce it are not sent. No mail says so, as none says that the announced end has come. The announced end
/// stays on the record.
///
/// # Errors
/// [`EndRefusal`].
pub async fn finish(app: &App, tx: &mut Tx, login: &Holder, maintenance_id: &str) -> Result<(), EndRefusal> {
    let now = app.now_ms();
    let found = fetch_optional!(
        tx,
        (String, i64),
        "UPDATE maintenances
        SET finished_at_ms = $2
        WHERE maintenance_id = $1
        AND cancelled_at_ms IS NULL
        AND finished_at_ms IS NULL
        AND starts_at_ms <= $2
        AND ends_at_ms > $2
        RETURNING notice_id, ends_at_ms",
        maintenance_id,
        now
    )?;
    let Some((notice_id, ends_at_ms)) = found else { return Err(why_not(tx, maintenance_id, now).await?) };
    store::end(tx, Writer::Service, &notice_id, now).await?;
    mail::store::expire(tx, &format!("maintenance:{maintenance_id}"), now).await?;
    let zone = login.zone();
    let detail = json!({
        "maintenance_id": maintenance_id,
        "announced_end": time::machine(ends_at_ms, &zone),
        "finished": time::machine(now, &zone),
    });
    audit::append(tx, of_system(login, "maintenance.finished", detail, now)).await?;
    Ok(())
}

/// Why a window was not called off, or its work not finished.
async fn why_not(tx: &mut Tx, maintenance_id: &str, now: UnixMillis) -> DbResult<EndRefusal> {
    let found = fetch_optional!(
        tx,
        (i64, i64, Option<i64>, Option<i64>),
        "SELECT starts_at_ms, ends_at_ms, cancelled_at_ms, finished_at_ms
        FROM maintenances
        WHERE maintenance_id = $1",
        maintenance_id
    )?;
    Ok(match found {
        None => EndRefusal::NotThere,
        Some((_, _, Some(_), _) | (_, _, _, Some(_))) => EndRefusal::Changed,
        Some((starts_at_ms, ..)) if now < starts_at_ms => EndRefusal::NotBegun,
        Some(_) => EndRefusal::Over,
    })
}

/// What an announcement says.
fn text_of(words: &'static Words, new: &NewWindow, (from, until): (&str, &str)) -> String {
    let w = &words.maintenance;
    let names: Vec<&str> = new.services.iter().filter_map(|service| w.get(service)).collect();
    let mut text = w.announcement(from, names.join(w.and), until);
    if new.emergency {
        text.push_str("\n\n");
        text.push_str(&w.emergency_reason(&new.reason));
    }
    if !new.body.is_empty() {
        text.push_str("\n\n");
        text.push_str(&new.body);
    }
    text
}

/// An event of the system by an administrator: it belongs to no company.
pub(super) fn of_system(login: &Holder, event: &'static str, detail: serde_json::Value, now: UnixMillis) -> AuditEvent {
    AuditEvent { company: None, ..login.event(event, detail, now) }
}

/// The windows, the newest beginning first, with what became of their mails.
///
/// # Errors
/// [`DbError`].
pub async fn all(tx: &mut Tx) -> DbResult<Vec<Window>> {
    fetch_all!(
        tx,
        Window,
        "SELECT w.maintenance_id, w.notice_id, w.starts_at_ms, w.ends_at_ms, w.services, w.emergency, w.reason,
            w.announced_at_ms, w.cancelled_at_ms, w.finished_at_ms,
            (SELECT COUNT(*) FROM mails m
                WHERE m.about = 'maintenance:' || w.maintenance_id AND m.state = 'sent') AS mails_sent,
            (SELECT COUNT(*) FROM mails m
                WHERE m.about = 'maintenance:' || w.maintenance_id AND m.state = 'queued') AS mails_waiting,
            (SELECT COUNT(*) FROM mails m
                WHERE m.about = 'maintenance:' || w.maintenance_id AND m.state IN ('failed', 'expired')) AS mails_failed
        FROM maintenances w
        ORDER BY w.starts_at_ms DESC, w.maintenance_id
        LIMIT 200"
    )
}

/// A planned stop that is not over.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Planned {
    /// When it begins.
    pub starts_at_ms: i64,
    /// When it is over.
    pub ends_at_ms: i64,
    /// What stops, between spaces.
    pub services: String,
}

/// The planned stops that run or are to come, the first one first. What was announced too late is none, and what is
/// finished runs no more.
///
/// # Errors
/// [`DbError`].
pub async fn planned(tx: &mut Tx, now: UnixMillis) -> DbResult<Vec<Planned>> {
    fetch_all!(
        tx,
        Planned,
        "SELECT starts_at_ms, ends_at_ms, services
        FROM maintenances
        WHERE cancelled_at_ms IS NULL
        AND finished_at_ms IS NULL
        AND ends_at_ms > $1
        AND announced_at_ms + $2 <= starts_at_ms
        ORDER BY starts_at_ms, maintenance_id
        LIMIT 200",
        now,
        millis(NOTICE_MIN)
    )
}

/// When the first of the planned stops of a service begins and is over; those that follow it without a pause are part of
/// it. `planned` is in the order of [`planned()`].
pub fn first_stop(planned: &[Planned], service: &str) -> Option<(UnixMillis, UnixMillis)> {
    let mut stops = planned.iter().filter(|stop| stop.services.split(' ').any(|name| name == service)).peekable();
    let first = stops.next()?;
    let mut ends_at_ms = first.ends_at_ms;
    while let Some(next) = stops.next_if(|stop| stop.starts_at_ms <= ends_at_ms) {
        ends_at_ms = ends_at_ms.max(next.ends_at_ms);
    }
    Some((first.starts_at_ms, ends_at_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_stop_of_a_service_goes_on_as_long_as_others_follow_it() {
        let stop = |starts_at_ms: i64, ends_at_ms: i64, services: &str| Planned {
            starts_at_ms,
            ends_at_ms,
            services: services.to_owned(),
        };
        let planned = [
            stop(10, 30, "manager"),
            stop(15, 20, "manager relay"),
            stop(20, 40, "relay"),
            stop(30, 35, "manager"),
            stop(50, 60, "manager relay"),
        ];

        assert_eq!(first_stop(&planned, "manager"), Some((10, 35)));
        assert_eq!(first_stop(&planned, "relay"), Some((15, 40)));
        assert_eq!(first_stop(&planned, "download"), None);
    }

    #[test]
    fn a_window_begins_in_seven_days_or_is_an_emergency_with_its_reason() {
        let day = 24 * 60 * 60 * 1000;
        let window = |days: i64, emergency: bool, reason: &str| NewWindow {
            starts_at_ms: days * day,
            ends_at_ms: days * day + 1,
            services: vec!["manager"],
            body: String::new(),
            reason: reason.to_owned(),
            emergency,
        };

        assert!(window(7, false, "").check(0).is_ok());
        assert!(matches!(window(7, false, "").check(1), Err(Refusal::TooSoon)));
        assert!(window(1, true, "x").check(0).is_ok());
        assert!(matches!(window(1, true, "").check(0), Err(Refusal::NoReason)));
        assert!(matches!(window(1, true, "x").check(2 * day), Err(Refusal::Past)));
        let long = NewWindow { ends_at_ms: 20 * day, ..window(8, false, "") };
        assert!(matches!(long.check(0), Err(Refusal::Times)));
        assert!(matches!(NewWindow { services: vec![], ..window(8, false, "") }.check(0), Err(Refusal::NoService)));
    }
}
