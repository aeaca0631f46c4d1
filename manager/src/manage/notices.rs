//! Notices of the service and of the company.

use axum::{Json, extract::State, http::StatusCode};
use proto::id::CompanyId;
use serde::{Deserialize, Serialize};

use super::{
    answer::{Conflict, ListBody, Refused},
    query::{Asking, Filter, Kind, ListQuery},
};
use crate::{
    app::App,
    error::{ApiError, ApiResult},
    extract::{Body, IdempotencyKey, InPath},
    list::{Column, Listing},
    notice::{
        Class,
        edit::{self, Written},
        list::{Notices, Row},
        store::{self, Notice},
    },
    role::Permission,
    token::{
        By,
        scope::{NoticesRead, SettingsWrite},
    },
};

/// The end of 2099: what is later was mistyped.
const LAST_MS: i64 = 4_102_444_800_000;

/// A notice in a list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct ListedNotice {
    /// Its id.
    notice_id: String,
    /// Whether it is the company's own; else it is one of the service or of the company's partner.
    is_own: bool,
    /// The partner that wrote it, by name; null for the service and for the company.
    partner: Option<String>,
    /// What it is about, for example `maintenance`.
    kind: String,
    /// Whether it stands on every page as long as it is in force.
    important: bool,
    /// One line.
    title: String,
    /// From when it is in force.
    begins_at_ms: i64,
    /// Until when.
    ends_at_ms: i64,
}

/// A notice with its text.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct NoticeDetail {
    /// What the list has.
    #[serde(flatten)]
    notice: ListedNotice,
    /// Plain text.
    body: String,
    /// Who wrote it; for a partner, its name.
    author: String,
    /// When.
    created_at_ms: i64,
}

/// A new notice of the company to its own accounts.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(example = json!({
    "kind": "other", "important": false, "title": "棚卸し", "body": "", "begins_at_ms": 0,
    "ends_at_ms": 4_102_444_800_000_i64
}))]
pub(super) struct WrittenNotice {
    /// `maintenance`, `incident`, `release` or `other`.
    #[schema(max_length = 16)]
    kind: String,
    /// Whether it stands on every page as long as it is in force.
    important: bool,
    /// One line, 1 to 100 characters.
    #[schema(max_length = 100, min_length = 1)]
    title: String,
    /// Plain text of at most 4,000 characters; may be empty.
    #[serde(default)]
    #[schema(max_length = 4000)]
    body: String,
    /// From when it is in force.
    #[schema(minimum = 0, maximum = 4_102_444_800_000_i64)]
    begins_at_ms: i64,
    /// Until when; later than now, until 2100.
    #[schema(minimum = 0, maximum = 4_102_444_800_000_i64)]
    ends_at_ms: i64,
}

impl From<Row> for ListedNotice {
    fn from(row: Row) -> Self {
        Self {
            notice_id: row.notice_id,
            is_own: row.company_id.is_some(),
            partner: row.partner,
            kind: row.kind,
            important: row.important,
            title: row.title,
            begins_at_ms: row.begins_at_ms,
            ends_at_ms: row.ends_at_ms,
        }
    }
}

impl NoticeDetail {
    fn new(notice: Notice, company_id: CompanyId) -> Self {
        Self {
            notice: ListedNotice {
                is_own: notice.company_id.as_deref() == Some(company_id.to_string().as_str()),
                partner: notice.partner.clone(),
                notice_id: notice.notice_id,
                kind: notice.kind,
                important: notice.important,
                title: notice.title,
                begins_at_ms: notice.begins_at_ms,
                ends_at_ms: notice.ends_at_ms,
            },
            body: notice.body,
            author: notice.partner.unwrap_or(notice.author),
            created_at_ms: notice.created_at_ms,
        }
    }
}

impl Asking for Notices {
    const FILTERS: &'static [Filter] = &[
        Filter { name: "q", kind: Kind::Text, what: "Words of title or text" },
        Filter { name: "kind", kind: Kind::Text, what: "What it is about" },
        Filter { name: "running", kind: Kind::OneOf(&["yes"]), what: "Only what is in force" },
    ];
    const COLUMNS: &'static [Column] = <Self as Listing>::COLUMNS;
}

/// The notices that the company sees.
#[utoipa::path(
    get, path = "/v1/manage/notices", tag = "manage", operation_id = "manage_notices",
    security(("token" = ["notices.read"])),
    params(ListQuery::<Notices>),
    responses((status = 200, body = ListBody<ListedNotice>), Refused),
)]
pub(super) async fn list(
    State(app): State<App>,
    by: By<NoticesRead>,
    query: ListQuery<Notices>,
) -> ApiResult<Json<ListBody<ListedNotice>>> {
    let notices = Notices::read(&query.params, &by, app.now_ms());
    let mut tx = app.db.read().await?;
    let page = crate::list::page(&mut tx, &notices, &query.asked()).await?;
    Ok(Json(ListBody::of(page, ListedNotice::from)))
}

/// One notice.
#[utoipa::path(
    get, path = "/v1/manage/notices/{notice_id}", tag = "manage", operation_id = "manage_notice",
    security(("token" = ["notices.read"])),
    params(("notice_id" = String, Path, description = "Its id")),
    responses((status = 200, body = NoticeDetail), Refused),
)]
pub(super) async fn read(
    State(app): State<App>,
    by: By<NoticesRead>,
    InPath(notice_id): InPath<String>,
) -> ApiResult<Json<NoticeDetail>> {
    let mut tx = app.db.read().await?;
    let notice = store::find(&mut tx, by.company_id, &notice_id).await?.ok_or(ApiError::not_found())?;
    Ok(Json(NoticeDetail::new(notice, by.company_id)))
}

/// Writes a notice of the company to its own accounts. The same `Idempotency-Key` gives the same notice again.
#[utoipa::path(
    post, path = "/v1/manage/notices", tag = "manage", operation_id = "manage_create_notice",
    security(("token" = ["settings.write"])),
    params(("Idempotency-Key" = Option<String>, Header, description = "At most 64 printable ASCII characters")),
    request_body = WrittenNotice,
    responses((status = 201, body = NoticeDetail), Refused, Conflict),
)]
pub(super) async fn create(
    State(app): State<App>,
    by: By<SettingsWrite>,
    IdempotencyKey(key): IdempotencyKey,
    Body(new): Body<WrittenNotice>,
) -> ApiResult<(StatusCode, Json<NoticeDetail>)> {
    by.need(Permission::SettingsEdit)?;
    let kinds = "kind must be maintenance, incident, release or other";
    let class = Class::parse(&new.kind).ok_or(ApiError::bad_request(kinds))?;
    let now = app.now_ms();
    let period = Some((new.begins_at_ms, new.ends_at_ms)).filter(|(begins, ends)| 0 <= *begins && *ends <= LAST_MS);
    let written = Written::read((class, new.important), (&new.title, &new.body), period, now);
    let written = written.map_err(|wrong| {
        ApiError::bad_request(if wrong.title {
            "title must be one line of 1 to 100 characters"
        } else if wrong.body {
            "body must be text of at most 4000 characters without controls"
        } else {
            "ends_at_ms must be later than begins_at_ms and than now, until 2100"
        })
    })?;
    let mut tx = app.db.begin().await?;
    let notice_id = match &key {
        Some(key) => edit::create_once(&mut tx, &by, key, &written, now).await?.notice_id,
        None => edit::create(&mut tx, &by, &written, now).await?,
    };
    let notice = store::find(&mut tx, by.company_id, &notice_id).await?.ok_or(ApiError::not_found())?;
    if !is_same(&notice, &written) {
        return Err(ApiError::wrong_state("another notice was written under this Idempotency-Key"));
    }
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(NoticeDetail::new(notice, by.company_id))))
}

/// Whether a notice is the one that was asked for; it may have been ended since.
fn is_same(notice: &Notice, written: &Written) -> bool {
    notice.kind == written.class.as_str()
        && notice.important == written.important
        && notice.title == written.title
        && notice.body == written.body
        && notice.begins_at_ms == written.begins_at_ms
}

/// Ends a notice of the company now.
#[utoipa::path(
    post, path = "/v1/manage/notices/{notice_id}/end", tag = "manage", operation_id = "manage_end_notice",
    security(("token" = ["settings.write"])),
    params(("notice_id" = String, Path, description = "Its id")),
    responses((status = 204, description = "Done"), Refused),
)]
pub(super) async fn end(
    State(app): State<App>,
    by: By<SettingsWrite>,
    InPath(notice_id): InPath<String>,
) -> ApiResult<StatusCode> {
    by.need(Permission::SettingsEdit)?;
    let mut tx = app.db.begin().await?;
    if !edit::end(&mut tx, &by, &notice_id, app.now_ms()).await? {
        return Err(ApiError::not_found());
    }
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
