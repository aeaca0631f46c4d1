//! The pages of system administrators: the wall around them, and the first one.

use askama::Template;
use axum::{
    Router,
    extract::{Request, State},
    http::HeaderMap,
    middleware::{self, Next},
    response::{Html, IntoResponse as _, Response},
    routing::get,
};

use super::{
    AdminLogin, accounts,
    frame::{Here, frame},
    log,
};
use crate::{
    app::App,
    availability,
    contract::{self, list::ENDING_DAYS},
    db::{DbResult, Tx},
    extract::Source,
    fetch_one, halt,
    login::{Realm, page::own_pages},
    notice, provider, relays, request,
    site::{Frame, PageResult, Problem, problem},
    terms,
    throttle::millis,
};

/// Milliseconds of a day.
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// The pages, which are there for the configured networks only.
pub fn router(app: App) -> Router<App> {
    Router::new()
        .merge(own_pages(Realm::System))
        .merge(contract::page::router())
        .merge(contract::partner::router())
        .merge(request::page::router())
        .merge(accounts::router())
        .merge(log::router())
        .merge(notice::publish::router())
        .merge(notice::system::router())
        .merge(availability::router())
        .merge(halt::page::router())
        .merge(terms::system::router())
        .route("/system", get(show))
        .route("/system/login/provider/return", get(provider::page::come_back_to_system))
        .route_layer(middleware::from_fn_with_state(app, wall))
}

/// From elsewhere the pages are as good as none.
async fn wall(State(app): State<App>, Source(source): Source, request: Request, next: Next) -> Response {
    let networks = &app.config.system.networks;
    if networks.is_empty() || networks.iter().any(|network| network.contains(source)) {
        next.run(request).await
    } else {
        tracing::info!(event = "system.walled_off", "A page of system administrators was asked for from elsewhere");
        // The same page as for an address that there is not.
        problem::page(&app, &Problem::NotFound, request.headers(), Realm::Company)
    }
}

#[derive(Template)]
#[template(path = "system/top.html")]
struct TopPage {
    frame: Frame,
    name: String,
    figures: Figures,
    /// Whether the whole service is shown, and not the companies of one partner.
    whole: bool,
}

/// How the service is now.
#[derive(sqlx::FromRow)]
struct Figures {
    active: i64,
    suspended: i64,
    ending: i64,
    accounts: i64,
    running: i64,
    relays: i64,
}

async fn show(State(app): State<App>, login: AdminLogin, headers: HeaderMap) -> PageResult {
    let mut tx = app.db.read().await?;
    let figures = read(&app, &mut tx, login.partner_only()).await?;
    drop(tx);
    let page = TopPage {
        frame: frame(&app, &login, &headers, Here::Top),
        name: login.name.clone(),
        figures,
        whole: login.partner_only().is_none(),
    };
    Ok(Html(page.render()?).into_response())
}

/// The figures of everybody's companies, or of those of one partner.
async fn read(app: &App, tx: &mut Tx, partner_only: Option<String>) -> DbResult<Figures> {
    let now = app.now_ms();
    let relays = relays::store::count_alive(tx, now.saturating_sub(millis(app.config.relays.alive_for.get()))).await?;
    let figures = fetch_one!(
        tx,
        Figures,
        "WITH seen AS (
            SELECT company_id, state, contract_ends_at_ms
            FROM companies
            WHERE realm = 'company'
            AND ($2 = FALSE OR partner_id = $3)
        )
        SELECT (SELECT COUNT(*) FROM seen WHERE state = 'active') AS active,
            (SELECT COUNT(*) FROM seen WHERE state = 'suspended') AS suspended,
            (SELECT COUNT(*) FROM seen WHERE state = 'active' AND contract_ends_at_ms < $1) AS ending,
            (SELECT COUNT(*)
                FROM operators o
                JOIN seen ON seen.company_id = o.company_id
                WHERE o.deleted_at_ms IS NULL) AS accounts,
            (SELECT COUNT(*)
                FROM sessions s
                JOIN seen ON seen.company_id = s.company_id
                WHERE s.ended_at_ms IS NULL) AS running,
            CAST(0 AS BIGINT) AS relays",
        now.saturating_add(ENDING_DAYS.saturating_mul(DAY_MS)),
        partner_only.is_some(),
        partner_only.unwrap_or_default()
    )?;
    Ok(Figures { relays, ..figures })
}
