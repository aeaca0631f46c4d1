//! Binding one's own account to the identity provider, and taking the binding away; both after the password.

use axum::{
    extract::State,
    http::HeaderMap,
    response::{IntoResponse as _, Redirect},
};

use super::{
    super::Login,
    account::{Proof, account_page, proved},
};
use crate::{
    app::App,
    provider,
    site::{Form, PageResult, Problem, frame::Flash},
};

pub(super) async fn link(
    State(app): State<App>,
    login: Login,
    headers: HeaderMap,
    Form(proof): Form<Proof>,
) -> PageResult {
    let mut tx = app.db.read().await?;
    let provider = provider::of(&app, &mut tx, login.realm, login.company_id).await?;
    drop(tx);
    let provider = provider.ok_or(Problem::NotFound)?;
    if !proved(&app, &login, &proof.password).await? {
        return account_page(&app, login, &headers, true, None).await;
    }
    let (realm, operator_id) = (login.realm, login.operator_id);
    match provider::way(&app, &headers, realm, &provider, (Some(operator_id), realm.account())).await? {
        Ok(page) => Ok(page),
        Err(why) => Ok(Redirect::to(&format!("{}?why={}", realm.account(), why.as_str())).into_response()),
    }
}

pub(super) async fn unlink(
    State(app): State<App>,
    login: Login,
    headers: HeaderMap,
    Form(proof): Form<Proof>,
) -> PageResult {
    if !proved(&app, &login, &proof.password).await? {
        return account_page(&app, login, &headers, true, None).await;
    }
    if provider::unbind(&app, &login).await? {
        Ok(Flash::ProviderUnlinked.then(login.realm.account()))
    } else {
        Err(Problem::NotFound)
    }
}
