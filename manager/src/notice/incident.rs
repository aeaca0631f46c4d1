//! Incidents: when something was seen, told, contained and closed, and whether it was told in time.

use proto::api::UnixMillis;
use serde_json::json;

use super::{
    Class, holiday,
    maintenance::of_system,
    send,
    store::{self, NewNotice, Writer},
};
use crate::{
    admin::Reason,
    app::{self, App},
    audit,
    db::{DbResult, Tx},
    execute, fetch_all, fetch_one, fetch_optional,
    login::Holder,
    mail::{Kind, Text},
    site::{Words, time},
};

/// How long the notice of an incident stands, unless the incident is closed before.
const NOTICE_MS: i64 = 30 * 24 * 60 * 60 * 1000;

/// An incident.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
#[expect(clippy::struct_field_names, reason = "the id has the name of its column")]
pub struct Incident {
    /// Its id.
    pub incident_id: String,
    /// One line.
    pub title: String,
    /// When it was seen.
    pub detected_at_ms: i64,
    /// When it was declared.
    pub declared_at_ms: i64,
    /// Until when companies must be told.
    pub due_at_ms: i64,
    /// When they were.
    pub notified_at_ms: Option<i64>,
    /// The notice that told them.
    pub notice_id: Option<String>,
    /// When it stopped doing harm.
    pub contained_at_ms: Option<i64>,
    /// When it was over.
    pub closed_at_ms: Option<i64>,
    /// Since when the service stood still because of it; none when it did not.
    pub stopped_at_ms: Option<i64>,
    /// Until when; none while it stands still.
    pub stopped_until_ms: Option<i64>,
}

/// The time in which the service stood still because of an incident.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stopped {
    /// Since when; none when it did not.
    pub at_ms: Option<UnixMillis>,
    /// Until when; none while it stands still.
    pub until_ms: Option<UnixMillis>,
}

/// Why a stop is not recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopRefusal {
    /// It begins in the future, or after the incident was contained.
    Begin,
    /// It ends in the future or before it begins, or there is an end without a beginning.
    End,
    /// The incident is closed, and the stop has no end.
    NoEnd,
}

/// What is done with an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It does no more harm since then; not before it was seen or the service stood still.
    Contain {
        /// When.
        at_ms: UnixMillis,
    },
    /// It is over; companies must have been told, and the end of a stop must be recorded.
    Close,
}

impl Incident {
    /// Whether companies should have been told by now, and were not.
    pub const fn is_overdue(&self, now: UnixMillis) -> bool {
        self.notified_at_ms.is_none() && self.closed_at_ms.is_none() && self.due_at_ms < now
    }

    /// Whether companies were told, but too late.
    pub fn was_late(&self) -> bool {
        self.notified_at_ms.is_some_and(|at| self.due_at_ms < at)
    }

    /// Whether the service stood still because of it, and nobody said until when.
    pub const fn has_open_stop(&self) -> bool {
        self.stopped_at_ms.is_some() && self.stopped_until_ms.is_none()
    }

    /// Since when it may be contained: when it was seen or the service stood still, whichever was later.
    pub fn containable_from(&self) -> UnixMillis {
        self.stopped_at_ms.map_or(self.detected_at_ms, |at| self.detected_at_ms.max(at))
    }

    /// Whether a stop can be recorded of it.
    ///
    /// # Errors
    /// [`StopRefusal`].
    pub fn check(&self, stopped: Stopped, now: UnixMillis) -> Result<(), StopRefusal> {
        let Some(at_ms) = stopped.at_ms else {
            return if stopped.until_ms.is_none() { Ok(()) } else { Err(StopRefusal::End) };
        };
        if now < at_ms || self.contained_at_ms.is_some_and(|contained| contained < at_ms) {
            return Err(StopRefusal::Begin);
        }
        match stopped.until_ms {
            Some(until_ms) if until_ms < at_ms || now < until_ms => Err(StopRefusal::End),
            None if self.closed_at_ms.is_some() => Err(StopRefusal::NoEnd),
            Some(_) | None => Ok(()),
        }
    }
}

/// Declares an incident that was seen at `detected_at_ms`, and because of which the service stands still since
/// `stopped_at_ms`; its id.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn declare(
    app: &App,
    tx: &mut Tx,
    login: &Holder,
    title: &str,
    detected_at_ms: UnixMillis,
    stopped_at_ms: Option<UnixMillis>,
) -> DbResult<String> {
    let (now, zone) = (app.now_ms(), time::zone(time::TOKYO));
    let incident_id = hex::encode(app::draw_id());
    let due_at_ms = holiday::within_one_business_day(detected_at_ms, &zone);
    execute!(
        tx,
        "INSERT INTO incidents (incident_id, title, detected_at_ms, declared_at_ms, due_at_ms, author, stopped_at_ms)
        VALUES ($1, $2, $3, $4, $5, $6, $7)",
        &incident_id,
        title,
        detected_at_ms,
        now,
        due_at_ms,
        &login.name,
        stopped_at_ms
    )?;
    let detail = json!({
        "incident_id": incident_id,
        "title": title,
        "detected": time::machine(detected_at_ms, &zone),
        "due": time::machine(due_at_ms, &zone),
        "service_stopped": stopped_at_ms.map(|at| time::machine(at, &zone)),
    });
    audit::append(tx, of_system(login, "incident.declared", detail, now)).await?;
    Ok(incident_id)
}

/// Tells every company of an incident, by a notice and by mail; `false` when there is none such, or it is closed.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn notify(
    app: &App,
    tx: &mut Tx,
    login: &Holder,
    incident_id: &str,
    (title, body): (&str, &str),
) -> DbResult<bool> {
    let now = app.now_ms();
    let notice = NewNotice {
        writer: Writer::Service,
        only: &[],
        class: Class::Incident,
        important: true,
        title,
        body,
        begins_at_ms: now,
        ends_at_ms: now.saturating_add(NOTICE_MS),
        stays_from_ms: None,
        author: &login.name,
    };
    let notice_id = store::create(tx, &notice, now).await?;
    let told = execute!(
        tx,
        "UPDATE incidents
        SET notified_at_ms = COALESCE(notified_at_ms, $2), notice_id = $3
        WHERE incident_id = $1
        AND closed_at_ms IS NULL",
        incident_id,
        now,
        &notice_id
    )?;
    if told == 0 {
        return Ok(false);
    }
    let say = |words: &'static Words| Text {
        subject: words.incidents.mail_subject(title),
        body: words.incidents.mail_body(body, title),
    };
    let about = format!("incident:{incident_id}");
    let mails = send::to_administrators(app, tx, (Kind::Incident, &about), say, None).await?;
    let detail = json!({ "incident_id": incident_id, "notice_id": notice_id, "mails": mails });
    audit::append(tx, of_system(login, "incident.notified", detail, now)).await?;
    Ok(true)
}

/// Takes a step; `false` when the incident is not there, or not so far, or was seen after that time, or is to be closed
/// before the end of its stop is recorded.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn step(app: &App, tx: &mut Tx, login: &Holder, incident_id: &str, step: Step) -> DbResult<bool> {
    let now = app.now_ms();
    let zone = time::zone(time::TOKYO);
    let (taken, event, detail) = match step {
        Step::Contain { at_ms } => (
            execute!(
                tx,
                "UPDATE incidents
                SET contained_at_ms = $2
                WHERE incident_id = $1
                AND detected_at_ms <= $2
                AND COALESCE(stopped_at_ms, detected_at_ms) <= $2
                AND contained_at_ms IS NULL
                AND closed_at_ms IS NULL",
                incident_id,
                at_ms
            )?,
            "incident.contained",
            json!({ "incident_id": incident_id, "contained": time::machine(at_ms, &zone) }),
        ),
        Step::Close => (
            execute!(
                tx,
                "UPDATE incidents
                SET closed_at_ms = $2, contained_at_ms = COALESCE(contained_at_ms, $2)
                WHERE incident_id = $1
                AND notified_at_ms IS NOT NULL
                AND (stopped_at_ms IS NULL OR stopped_until_ms IS NOT NULL)
                AND closed_at_ms IS NULL",
                incident_id,
                now
            )?,
            "incident.closed",
            json!({ "incident_id": incident_id }),
        ),
    };
    if taken == 0 {
        return Ok(false);
    }
    if step == Step::Close {
        let notice = fetch_optional!(
            tx,
            (Option<String>,),
            "SELECT notice_id
            FROM incidents
            WHERE incident_id = $1",
            incident_id
        )?;
        if let Some((Some(notice_id),)) = notice {
            store::end(tx, Writer::Service, &notice_id, now).await?;
        }
    }
    audit::append(tx, of_system(login, event, detail, now)).await?;
    Ok(true)
}

/// Says since when and until when the service stood still because of an incident, or that it did not; `false` when
/// somebody has changed the incident since it was read. It can be said when the incident is closed, too, with a reason:
/// often it is known no sooner. [`Incident::check`] must take the stop.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn record_stop(
    app: &App,
    tx: &mut Tx,
    login: &Holder,
    incident: &Incident,
    stopped: Stopped,
    reason: Option<&Reason>,
) -> DbResult<bool> {
    let recorded = execute!(
        tx,
        "UPDATE incidents
        SET stopped_at_ms = $2, stopped_until_ms = $3
        WHERE incident_id = $1
        AND COALESCE(stopped_at_ms, 0) = $4
        AND COALESCE(stopped_until_ms, 0) = $5
        AND COALESCE(contained_at_ms, 0) = $6
        AND COALESCE(closed_at_ms, 0) = $7",
        &incident.incident_id,
        stopped.at_ms,
        stopped.until_ms,
        incident.stopped_at_ms.unwrap_or_default(),
        incident.stopped_until_ms.unwrap_or_default(),
        incident.contained_at_ms.unwrap_or_default(),
        incident.closed_at_ms.unwrap_or_default()
    )?;
    if recorded == 0 {
        return Ok(false);
    }
    let zone = time::zone(time::TOKYO);
    let told = |at: Option<UnixMillis>| at.map(|at| time::machine(at, &zone));
    let detail = json!({
        "incident_id": incident.incident_id,
        "service_stopped": told(stopped.at_ms),
        "service_stopped_until": told(stopped.until_ms),
        "service_stopped_before": told(incident.stopped_at_ms),
        "service_stopped_until_before": told(incident.stopped_until_ms),
        "reason": reason.map(Reason::as_str),
    });
    audit::append(tx, of_system(login, "incident.stop_recorded", detail, app.now_ms())).await?;
    Ok(true)
}

/// One incident.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn one(tx: &mut Tx, incident_id: &str) -> DbResult<Option<Incident>> {
    fetch_optional!(
        tx,
        Incident,
        "SELECT incident_id, title, detected_at_ms, declared_at_ms, due_at_ms, notified_at_ms, notice_id,
            contained_at_ms, closed_at_ms, stopped_at_ms, stopped_until_ms
        FROM incidents
        WHERE incident_id = $1",
        incident_id
    )
}

/// The incidents, open ones first.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn all(tx: &mut Tx) -> DbResult<Vec<Incident>> {
    fetch_all!(
        tx,
        Incident,
        "SELECT incident_id, title, detected_at_ms, declared_at_ms, due_at_ms, notified_at_ms, notice_id,
            contained_at_ms, closed_at_ms, stopped_at_ms, stopped_until_ms
        FROM incidents
        ORDER BY CASE WHEN closed_at_ms IS NULL THEN 0 ELSE 1 END, detected_at_ms DESC, incident_id
        LIMIT 200"
    )
}

/// How many are open, and how many of them should have been told.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn open(tx: &mut Tx, now: UnixMillis) -> DbResult<(i64, i64)> {
    fetch_one!(
        tx,
        (i64, i64),
        "SELECT COUNT(*),
            CAST(COALESCE(SUM(CASE WHEN notified_at_ms IS NULL AND due_at_ms < $1 THEN 1 ELSE 0 END), 0) AS BIGINT)
        FROM incidents
        WHERE closed_at_ms IS NULL",
        now
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_begins_before_the_incident_is_contained_ends_in_the_past_and_has_an_end_when_it_is_closed() {
        let open = Incident {
            incident_id: String::new(),
            title: String::new(),
            detected_at_ms: 10,
            declared_at_ms: 10,
            due_at_ms: 1_000,
            notified_at_ms: Some(10),
            notice_id: None,
            contained_at_ms: Some(50),
            closed_at_ms: None,
            stopped_at_ms: None,
            stopped_until_ms: None,
        };
        let closed = Incident { closed_at_ms: Some(60), ..open.clone() };
        let check = |incident: &Incident, at_ms, until_ms| incident.check(Stopped { at_ms, until_ms }, 100);

        for incident in [&open, &closed] {
            assert_eq!(check(incident, None, None), Ok(()));
            assert_eq!(check(incident, Some(5), Some(5)), Ok(()));
            assert_eq!(check(incident, Some(50), Some(100)), Ok(()));
            assert_eq!(check(incident, Some(51), Some(60)), Err(StopRefusal::Begin));
            assert_eq!(check(incident, Some(5), Some(4)), Err(StopRefusal::End));
            assert_eq!(check(incident, Some(5), Some(101)), Err(StopRefusal::End));
            assert_eq!(check(incident, None, Some(5)), Err(StopRefusal::End));
        }
        assert_eq!(check(&open, Some(5), None), Ok(()));
        assert_eq!(check(&closed, Some(5), None), Err(StopRefusal::NoEnd));
        let uncontained = Incident { contained_at_ms: None, ..open };
        assert_eq!(check(&uncontained, Some(101), None), Err(StopRefusal::Begin), "the future");
    }
}
