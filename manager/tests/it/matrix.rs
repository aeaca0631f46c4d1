//! Every page of a company, and what an account needs for it.

use std::collections::BTreeSet;

use axum::http::{Method, StatusCode, header};
use manager::{
    role::{Permission, Permissions, Role},
    router,
};

use crate::{
    browser::Browser,
    roles::Walker,
    testing::{Manager, PASSWORD, on_both},
};

/// What a page or a form asks of an account.
struct Route {
    method: Method,
    address: &'static str,
    needs: &'static [Permission],
}

const fn get(address: &'static str, needs: &'static [Permission]) -> Route {
    Route { method: Method::GET, address, needs }
}

const fn post(address: &'static str, needs: &'static [Permission]) -> Route {
    Route { method: Method::POST, address, needs }
}

/// Every page and form of a company, and what it needs; a new one is added here.
const ROUTES: &[Route] = &[
    get("/", &[]),
    get("/account", &[]),
    get("/account/password", &[]),
    post("/filters/{filter_id}/delete", &[]),
    get("/groups", &[Permission::OrganisationEdit]),
    post("/groups", &[Permission::OrganisationEdit]),
    post("/groups/{group_id}", &[Permission::OrganisationEdit]),
    post("/groups/{group_id}/delete", &[Permission::OrganisationEdit]),
    get("/live/changes", &[Permission::LiveView]),
    get("/live/receptions", &[Permission::LiveView]),
    get("/live/receptions/rows", &[Permission::LiveView]),
    post("/live/receptions/{reception_id}/cancel", &[Permission::LiveView]),
    post("/live/receptions/{reception_id}/extend", &[Permission::LiveView]),
    get("/live/sessions", &[Permission::LiveView]),
    get("/live/sessions/rows", &[Permission::LiveView]),
    post("/live/sessions/{session_id}/end", &[Permission::LiveView]),
    get("/log/receptions", &[Permission::LogView]),
    get("/log/receptions/file", &[Permission::LogExport]),
    get("/log/sessions", &[Permission::LogView]),
    get("/log/sessions/file", &[Permission::LogExport]),
    get("/log/sessions/{session_id}", &[Permission::LogView]),
    post("/log/sessions/{session_id}/case", &[Permission::LogView, Permission::LogNote]),
    get("/log/operations", &[Permission::AuditView]),
    get("/log/operations/file", &[Permission::AuditView, Permission::LogExport]),
    post("/log/operations/verify", &[Permission::AuditView]),
    get("/log/logins", &[Permission::LoginLogView]),
    get("/log/logins/file", &[Permission::LoginLogView, Permission::LogExport]),
    get("/mails", &[Permission::AuditView]),
    post("/mails/{mail_id}/again", &[Permission::SettingsEdit]),
    get("/notices", &[]),
    get("/notices/{notice_id}", &[]),
    get("/notices/new", &[Permission::SettingsEdit]),
    post("/notices/new", &[Permission::SettingsEdit]),
    post("/notices/{notice_id}/end", &[Permission::SettingsEdit]),
    get("/operators", &[Permission::OperatorView]),
    post("/operators/bulk", &[Permission::OperatorEdit]),
    post("/operators/bulk/{verb}", &[Permission::OperatorEdit]),
    get("/operators/csv", &[Permission::OperatorEdit]),
    post("/operators/csv", &[Permission::OperatorEdit]),
    get("/operators/csv/template", &[Permission::OperatorEdit]),
    get("/operators/csv/{import_id}", &[Permission::OperatorEdit]),
    post("/operators/csv/{import_id}", &[Permission::OperatorEdit]),
    get("/operators/csv/{import_id}/mistakes", &[Permission::OperatorEdit]),
    get("/operators/file", &[Permission::OperatorView]),
    get("/operators/new", &[Permission::OperatorEdit]),
    post("/operators/new", &[Permission::OperatorEdit]),
    get("/operators/{operator_id}", &[Permission::OperatorView]),
    post("/operators/{operator_id}", &[Permission::OperatorEdit]),
    post("/operators/{operator_id}/{verb}", &[Permission::OperatorEdit]),
    get("/organisations", &[Permission::OrganisationEdit]),
    post("/organisations", &[Permission::OrganisationEdit]),
    get("/organisations/{organisation_id}", &[Permission::OrganisationEdit]),
    post("/organisations/{organisation_id}", &[Permission::OrganisationEdit]),
    post("/organisations/{organisation_id}/delete", &[Permission::OrganisationEdit]),
    post("/organisations/{organisation_id}/merge", &[Permission::OrganisationEdit]),
    get("/settings", &[Permission::SettingsEdit]),
    get("/settings/categories", &[Permission::SettingsEdit]),
    post("/settings/categories", &[Permission::SettingsEdit]),
    post("/settings/categories/{category_id}", &[Permission::SettingsEdit]),
    post("/settings/categories/{category_id}/{verb}", &[Permission::SettingsEdit]),
    get("/settings/company", &[Permission::SettingsEdit]),
    post("/settings/company", &[Permission::SettingsEdit]),
    get("/settings/login", &[Permission::SettingsEdit]),
    post("/settings/login", &[Permission::SettingsEdit]),
    get("/settings/passwords", &[Permission::SettingsEdit]),
    post("/settings/passwords", &[Permission::SettingsEdit]),
    get("/settings/provider", &[Permission::SettingsEdit]),
    post("/settings/provider", &[Permission::SettingsEdit]),
    post("/settings/provider/check", &[Permission::SettingsEdit]),
    get("/settings/reception", &[Permission::SettingsEdit]),
    post("/settings/reception", &[Permission::SettingsEdit]),
    get("/settings/responsibility", &[Permission::SettingsEdit]),
    post("/settings/responsibility", &[Permission::SettingsEdit]),
    get("/settings/roles", &[Permission::RoleEdit]),
    post("/settings/roles", &[Permission::RoleEdit]),
    get("/settings/roles/{role_id}", &[Permission::RoleEdit]),
    post("/settings/roles/{role_id}", &[Permission::RoleEdit]),
    post("/settings/roles/{role_id}/delete", &[Permission::RoleEdit]),
    get("/settings/tokens", &[Permission::ApiEdit]),
    get("/settings/tokens/new", &[Permission::ApiEdit]),
    post("/settings/tokens/new", &[Permission::ApiEdit]),
    post("/settings/tokens/{token_id}/revoke", &[Permission::ApiEdit]),
    get("/settings/webhooks", &[Permission::ApiEdit]),
    post("/settings/webhooks", &[Permission::ApiEdit]),
    get("/settings/webhooks/{webhook_id}", &[Permission::ApiEdit]),
    post("/settings/webhooks/{webhook_id}", &[Permission::ApiEdit]),
    post("/settings/webhooks/{webhook_id}/{verb}", &[Permission::ApiEdit]),
    post("/settings/webhooks/{webhook_id}/calls/{call_id}/again", &[Permission::ApiEdit]),
    get("/statistics", &[Permission::StatisticsView]),
    get("/statistics/file", &[Permission::StatisticsView, Permission::LogExport]),
];

/// Addresses that no role opens or closes: doors, what the browser keeps, and one's own account.
const OPEN: &[&str] = &[
    "/account/factor",
    "/account/logins",
    "/account/provider",
    "/account/provider/remove",
    "/account/recovery",
    "/filters",
    "/language",
    "/login",
    "/login/code",
    "/login/factor",
    "/login/forgotten",
    "/login/link/{token}",
    "/login/provider",
    "/login/provider/return/{company_id}",
    "/logout",
    "/manual",
    "/manual/",
    "/manual/{chapter}",
    "/terms",
    "/terms/agree",
    "/terms/{edition}",
];

/// The addresses of companies that the router knows, from what it prints of itself; files that every page loads are left
/// out, the API and the realm of the system, too.
fn addresses(manager: &Manager) -> BTreeSet<String> {
    let printed = format!("{:?}", router::router(manager.app.clone()));
    let quoted = printed.split("): \"").skip(1).filter_map(|rest| rest.split('"').next());
    let left_out = ["/v1/", "/static/", "/system", "/{*"];
    let is_page = |address: &&str| address.starts_with('/') && !left_out.iter().any(|begin| address.starts_with(begin));
    let found: BTreeSet<String> = quoted.filter(is_page).map(str::to_owned).collect();
    assert!(found.contains("/operators/{operator_id}/{verb}") && found.contains("/settings/categories"), "{found:?}");
    found
}

/// An address with something in its places.
fn filled(address: &str) -> String {
    let pieces = address.split('/').map(|piece| match piece {
        "{verb}" => "delete".to_owned(),
        id if id.starts_with('{') => "0".repeat(32),
        piece => piece.to_owned(),
    });
    pieces.collect::<Vec<_>>().join("/")
}

/// Asks for every route of the table, and compares what comes back with what the permissions say.
async fn walk(browser: &Browser<'_>, permissions: Permissions, who: &str) {
    let csrf = format!("csrf={}", browser.csrf.borrow());
    for Route { method, address, needs } in ROUTES {
        let path = filled(address);
        let status = if *method == Method::GET {
            // What never ends is not read to its end.
            browser.open(&path).await.status()
        } else if *address == "/operators/csv" {
            browser.upload(&path, &[("mode", "add")], b"").await.status
        } else {
            // What is done to the accounts that are chosen, of which there are none.
            let verb = if *address == "/operators/bulk" { "&verb=stop" } else { "" };
            browser.send(method.clone(), &path, format!("{csrf}{verb}"), "same-origin").await.status
        };
        let what = format!("{who}: {method} {address} gave {status}");
        if !needs.iter().all(|needed| permissions.has(*needed)) {
            assert_eq!(status, StatusCode::FORBIDDEN, "{what}");
        } else if address.contains('{') {
            assert_eq!(status, StatusCode::NOT_FOUND, "{what}");
        } else {
            // A form without its fields, with an empty file or without its version is told so.
            let told = [StatusCode::UNPROCESSABLE_ENTITY, StatusCode::BAD_REQUEST, StatusCode::CONFLICT];
            assert!(status == StatusCode::OK || told.contains(&status), "{what}");
        }
    }
}

#[tokio::test]
async fn every_page_opens_for_exactly_the_permissions_of_its_row_in_the_table() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let company_id = manager.company("acme").await;
        let operator_id = manager.account(company_id, "walker", Role::CompanyAdmin).await;
        let walker = Walker::new(&manager, company_id, operator_id).await;
        let browser = Browser::new(&manager);
        browser.log_in("acme", "walker", PASSWORD).await.goes_to("/");
        browser.get("/account").await;

        // The login stays the same one: a role has effect on the next request.
        for role in Role::ALL {
            walker.is(role).await;
            walk(&browser, role.permissions(), role.as_str()).await;
        }
        for taken in Permission::ALL {
            let left: Permissions = Permission::ALL.into_iter().filter(|permission| *permission != taken).collect();
            walker.may(Role::CompanyAdmin, left).await;
            walk(&browser, left, &format!("without {}", taken.as_str())).await;
        }
        walker.may(Role::CompanyAdmin, Permissions::default()).await;
        walk(&browser, Permissions::default(), "without anything").await;
        // What the row of a role says above its base counts for nothing.
        walker.may(Role::Viewer, Permission::ALL.into_iter().collect()).await;
        walk(&browser, Role::Viewer.permissions(), "a viewer with too much").await;
    })
    .await;
}

#[tokio::test]
async fn no_page_and_no_form_is_missing_in_the_table() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let company_id = manager.company("acme").await;
        manager.account(company_id, "admin", Role::CompanyAdmin).await;
        let browser = Browser::new(&manager);
        browser.log_in("acme", "admin", PASSWORD).await.goes_to("/");

        let there = addresses(&manager);
        for address in there.iter().filter(|address| !OPEN.contains(&address.as_str())) {
            for method in [Method::GET, Method::POST] {
                let status = if method == Method::GET {
                    browser.open(address).await.status()
                } else {
                    // Without a token no form does anything.
                    browser.send(method.clone(), address, String::new(), "same-origin").await.status
                };
                let is_there = status != StatusCode::METHOD_NOT_ALLOWED;
                let is_listed = ROUTES.iter().any(|route| route.method == method && route.address == address);
                let is_own = *address == "/account/password" && method == Method::POST;
                assert!(is_there == is_listed || is_own, "add to ROUTES of {}: {method} {address}", file!());
            }
        }
        for known in ROUTES.iter().map(|route| route.address).chain(OPEN.iter().copied()) {
            assert!(there.contains(known), "take out of {}: {known}", file!());
        }
    })
    .await;
}

#[tokio::test]
async fn who_must_agree_to_the_terms_is_asked_at_every_page_but_those_that_must_not_wait() {
    on_both(|db| async move {
        let manager = Manager::new(db);
        let company_id = manager.company("acme").await;
        manager.account(company_id, "admin", Role::CompanyAdmin).await;
        let browser = Browser::new(&manager);
        browser.log_in("acme", "admin", PASSWORD).await.goes_to("/");
        manager.terms().await;

        let mut asked = 0;
        for address in addresses(&manager) {
            let response = browser.open(&filled(&address)).await;
            let location = response.headers().get(header::LOCATION).map(|value| value.to_str().unwrap());
            let is_question = location.is_some_and(|location| location.starts_with("/terms/agree"));
            let must_not_wait = matches!(address.as_str(), "/account" | "/account/password");
            // Its own of everybody, and a page as any other.
            let is_open = must_not_wait || (OPEN.contains(&address.as_str()) && address != "/filters");
            // What is only a form has no page.
            let is_form = response.status() == StatusCode::METHOD_NOT_ALLOWED;
            assert_eq!(is_question, !is_open && !is_form, "{address} gave {} to {location:?}", response.status());
            asked += usize::from(is_question);
        }
        let pages = ROUTES.iter().filter(|route| route.method == Method::GET).count();
        assert_eq!(asked, pages - 2 + 1);
    })
    .await;
}
