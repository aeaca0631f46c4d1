//! Case and categories for the operator tool.

use axum::{Json, extract::State};
use proto::{
    api::{
        error::ErrorBody,
        session::{CATEGORIES, CaseBody, CaseRequest, CategoryBody, CategoryList, SESSION_CASE},
    },
    id::SessionId,
};

use super::{
    case::{self, Case, Stored, WriteError, Writing, Wrong},
    store,
};
use crate::{
    app::App,
    audit::Actor,
    category,
    db::Tx,
    error::{ApiError, ApiResult},
    extract::{Body, InPath},
    login::LoggedIn,
    role::Permission,
};

/// What is written about an own session.
#[utoipa::path(
    get,
    path = SESSION_CASE,
    tag = "sessions",
    security(("bearer" = [])),
    params(("session_id" = SessionId, Path)),
    responses((status = 200, body = CaseBody), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)),
)]
pub(super) async fn read(
    State(app): State<App>,
    login: LoggedIn,
    InPath(session_id): InPath<SessionId>,
) -> ApiResult<Json<CaseBody>> {
    let mut tx = app.db.read().await?;
    Ok(Json(shown(find_own(&mut tx, &login, session_id).await?)))
}

/// Writes about an own session, over the version that was read. Writing the same again changes nothing.
#[utoipa::path(
    put,
    path = SESSION_CASE,
    tag = "sessions",
    security(("bearer" = [])),
    params(("session_id" = SessionId, Path)),
    request_body = CaseRequest,
    responses(
        (status = 200, body = CaseBody),
        (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody, description = "Somebody else wrote meanwhile: read it again"),
    ),
)]
pub(super) async fn write(
    State(app): State<App>,
    login: LoggedIn,
    InPath(session_id): InPath<SessionId>,
    Body(request): Body<CaseRequest>,
) -> ApiResult<Json<CaseBody>> {
    login.need(Permission::LogNote)?;
    let mut tx = app.db.begin().await?;
    let old = find_own(&mut tx, &login, session_id).await?;
    let version = request.version;
    let case = Case::from(request);
    let writing = Writing {
        company_id: login.company_id,
        session_id,
        actor: Actor::Operator(login.operator_id),
        actor_name: &login.operator_name,
    };
    case::write(&mut tx, writing, &old, (&case, version), app.now_ms()).await.map_err(refuse)?;
    let written = find_own(&mut tx, &login, session_id).await?;
    tx.commit().await?;
    Ok(Json(shown(written)))
}

/// The categories that can be given to a case.
#[utoipa::path(
    get,
    path = CATEGORIES,
    tag = "sessions",
    security(("bearer" = [])),
    responses((status = 200, body = CategoryList), (status = 401, body = ErrorBody)),
)]
pub(super) async fn categories(State(app): State<App>, login: LoggedIn) -> ApiResult<Json<CategoryList>> {
    let mut tx = app.db.read().await?;
    let offered = category::store::of_company(&mut tx, login.company_id).await?.into_iter();
    let categories = offered
        .filter(|category| !category.retired)
        .map(|category| CategoryBody { category_id: category.id, name: category.name })
        .collect();
    Ok(Json(CategoryList { categories }))
}

/// Anybody else's session is not there.
async fn find_own(tx: &mut Tx, login: &LoggedIn, session_id: SessionId) -> ApiResult<Stored> {
    let session = store::find(tx, session_id).await?;
    session.filter(|session| session.operator_id == login.operator_id).ok_or(ApiError::not_found())?;
    case::read(tx, login.company_id, session_id).await?.ok_or(ApiError::not_found())
}

impl From<CaseRequest> for Case {
    fn from(request: CaseRequest) -> Self {
        Self {
            number: request.case_number,
            category_id: request.category_id,
            result: request.result,
            customer_name: request.customer_name,
            note: request.note,
        }
    }
}

/// A case as the API shows it.
pub fn shown(stored: Stored) -> CaseBody {
    CaseBody {
        case_number: stored.case.number,
        category_id: stored.case.category_id,
        category: stored.category,
        result: stored.case.result,
        customer_name: stored.case.customer_name,
        note: stored.case.note,
        version: stored.version,
    }
}

/// The refusal of the API.
pub fn refuse(error: WriteError) -> ApiError {
    match error {
        WriteError::Changed => ApiError::wrong_state("somebody else wrote meanwhile; read it again"),
        WriteError::Wrong(wrong) => ApiError::bad_request(match wrong.first() {
            Some(Wrong::Number) => "case_number must be one line of at most 64 characters",
            Some(Wrong::Category) => "category_id is none of the company's categories",
            Some(Wrong::Result) => "result must be resolved, ongoing, handed_over or unresolved",
            Some(Wrong::Customer) => "customer_name must be one line of at most 64 characters",
            Some(Wrong::Note) | None => "note must have at most 2000 characters and no control characters",
        }),
        WriteError::Db(error) => error.into(),
    }
}
