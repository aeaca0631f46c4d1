//! The mails of the company, without their text.

use axum::{Json, extract::State, http::StatusCode};
use serde::Serialize;

use super::{
    answer::{ListBody, Refused},
    query::{Asking, Filter, Kind, ListQuery},
};
use crate::{
    app::App,
    error::ApiResult,
    extract::InPath,
    list::{Column, Listing},
    mail::{
        list::{Mails, Row},
        page,
    },
    role::Permission,
    token::{
        By,
        scope::{LogsRead, SettingsWrite},
    },
};

/// A mail.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct ListedMail {
    /// Its id.
    mail_id: String,
    /// What it is about, for example `invitation`.
    kind: String,
    /// Where it goes.
    address: String,
    /// One line.
    subject: String,
    /// `queued`, `sent`, `failed` or `expired`.
    state: String,
    /// Tries so far.
    tries: i64,
    /// When it was written.
    created_at_ms: i64,
    /// When it is tried next.
    due_at_ms: i64,
    /// When the server took it.
    sent_at_ms: Option<i64>,
    /// What the server said last.
    answer: String,
}

impl From<Row> for ListedMail {
    fn from(row: Row) -> Self {
        Self {
            mail_id: row.mail_id,
            kind: row.kind,
            address: row.address,
            subject: row.subject,
            state: row.state,
            tries: row.tries,
            created_at_ms: row.created_at_ms,
            due_at_ms: row.due_at_ms,
            sent_at_ms: row.sent_at_ms,
            answer: row.answer,
        }
    }
}

impl Asking for Mails {
    const FILTERS: &'static [Filter] = &[
        Filter { name: "q", kind: Kind::Text, what: "Words of address or subject" },
        Filter { name: "from", kind: Kind::Day, what: "Written on this day or later" },
        Filter { name: "to", kind: Kind::Day, what: "Written on this day or earlier" },
        Filter { name: "state", kind: Kind::OneOf(&["queued", "sent", "failed", "expired"]), what: "The state" },
        Filter { name: "kind", kind: Kind::Text, what: "What it is about" },
    ];
    const COLUMNS: &'static [Column] = <Self as Listing>::COLUMNS;
}

/// What was sent, what waits, what was refused and why.
#[utoipa::path(
    get, path = "/v1/manage/mails", tag = "manage", operation_id = "manage_mails",
    security(("token" = ["logs.read"])),
    params(ListQuery::<Mails>),
    responses((status = 200, body = ListBody<ListedMail>), Refused),
)]
pub(super) async fn list(
    State(app): State<App>,
    by: By<LogsRead>,
    query: ListQuery<Mails>,
) -> ApiResult<Json<ListBody<ListedMail>>> {
    by.need(Permission::AuditView)?;
    let mut tx = app.db.read().await?;
    let page = crate::list::page(&mut tx, &Mails::read(&query.params, &by), &query.asked()).await?;
    Ok(Json(ListBody::of(page, ListedMail::from)))
}

/// Puts a mail that could not be delivered into the outbox again.
#[utoipa::path(
    post, path = "/v1/manage/mails/{mail_id}/again", tag = "manage", operation_id = "manage_send_again",
    security(("token" = ["settings.write"])),
    params(("mail_id" = String, Path, description = "Its id")),
    responses((status = 204, description = "It waits in the outbox"), Refused),
)]
pub(super) async fn again(
    State(app): State<App>,
    by: By<SettingsWrite>,
    InPath(mail_id): InPath<String>,
) -> ApiResult<StatusCode> {
    page::send_again(&app, &by, &mail_id).await?;
    Ok(StatusCode::NO_CONTENT)
}
