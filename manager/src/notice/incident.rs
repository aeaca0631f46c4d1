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
}

/// What is done with an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It does no more harm since then; not before it was seen.
    Contain {
        /// When.
        at_ms: UnixMillis,
    },
    /// It is over; companies must have been told.
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
}

/// Declares an incident that was seen at `detected_at_ms`; its id.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn declare(
    app: &App,
    tx: &mut Tx,
    login: &Holder,
    title: &str,
    detected_at_ms: UnixMillis,
) -> DbResult<String> {
    let (now, zone) = (app.now_ms(), time::zone(time::TOKYO));
    let incident_id = hex::encode(app::draw_id());
    let due_at_ms = holiday::within_one_business_day(detected_at_ms, &zone);
    execute!(
        tx,
        "INSERT INTO incidents (incident_id, title, detected_at_ms, declared_at_ms, due_at_ms, author)
        VALUES ($1, $2, $3, $4, $5, $6)",
        &incident_id,
        title,
        detected_at_ms,
        now,
        due_at_ms,
        &login.name
    )?;
    let detail = json!({
        "incident_id": incident_id,
        "title": title,
        "detected": time::machine(detected_at_ms, &zone),
        "due": time::machine(due_at_ms, &zone),
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

/// Takes a step; `false` when the incident is not there, or not so far, or was seen after that time.
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

/// When an incident was seen; `None` when there is none such.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn detected_at(tx: &mut Tx, incident_id: &str) -> DbResult<Option<UnixMillis>> {
    let row = fetch_optional!(
        tx,
        (i64,),
        "SELECT detected_at_ms
        FROM incidents
        WHERE incident_id = $1",
        incident_id
    )?;
    Ok(row.map(|(at_ms,)| at_ms))
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
            contained_at_ms, closed_at_ms
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
