//! Binding an account to its owner's name at the provider, and taking the binding away.

use serde_json::json;

use super::{flow::Flow, page::Why, store};
use crate::{
    app::App,
    audit,
    db::{DbError, DbResult, Tx},
    login::{Holder, link, site_store},
    mail::{Kind, Text},
};

/// What the page of an account says about the provider.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Binding {
    /// Whether there is a provider.
    pub is_offered: bool,
    /// The provider that opens the account, and since when.
    pub link: Option<store::Link>,
}

/// What an account is bound to, and whether it can be.
///
/// # Errors
/// [`DbError`].
pub async fn binding(app: &App, tx: &mut Tx, login: &Holder) -> DbResult<Binding> {
    let provider = super::of(app, tx, login.realm, login.company_id).await?;
    let link = store::link_of(tx, &login.operator_id.to_string()).await?;
    Ok(Binding { is_offered: provider.is_some(), link })
}

/// Binds the account of who went to the provider, and tells its owner by mail; its other logins end, so that nobody of
/// before stays in. Inside, why not: the provider or the login ended meanwhile, or that person opens another account.
///
/// # Errors
/// [`DbError`].
pub(super) async fn bind(app: &App, login: &Holder, flow: &Flow, subject: &str) -> DbResult<Result<(), Why>> {
    let now = app.now_ms();
    let mut tx = app.db.begin().await?;
    let provider = super::still(app, &mut tx, login.realm, flow).await?;
    store::hold_account(&mut tx, login.operator_id).await?;
    let logged_in = site_store::find(&mut tx, login.realm, &login.token, now).await?;
    if provider.is_none() || logged_in.is_none() {
        return Ok(Err(Why::Stale));
    }
    match store::link(&mut tx, (login.company_id, login.operator_id), &flow.issuer, subject, now).await {
        Ok(()) => {}
        Err(DbError::Duplicate(_)) => return Ok(Err(Why::Taken)),
        Err(error) => return Err(error),
    }
    site_store::revoke_all(&mut tx, login.operator_id, Some(&login.token), now).await?;
    let detail = json!({ "operator_id": login.operator_id, "issuer": flow.issuer });
    audit::append(&mut tx, login.event("operator.provider_linked", detail, now)).await?;
    link::tell(app, &mut tx, login.operator_id, (Kind::ProviderLinked, login.lang), now, |words, told| Text {
        subject: words.mail.provider_linked_subject.to_owned(),
        body: words.mail.provider_linked_body(told.at, told.company, &flow.issuer, told.user),
    })
    .await?;
    tx.commit().await?;
    Ok(Ok(()))
}

/// Takes the binding of the own account away; its other logins end. Whether there was one.
///
/// # Errors
/// [`DbError`].
pub async fn unbind(app: &App, login: &Holder) -> DbResult<bool> {
    let now = app.now_ms();
    let mut tx = app.db.begin().await?;
    if !store::unlink(&mut tx, login.operator_id).await? {
        return Ok(false);
    }
    site_store::revoke_all(&mut tx, login.operator_id, Some(&login.token), now).await?;
    let detail = json!({ "operator_id": login.operator_id });
    audit::append(&mut tx, login.event("operator.provider_unlinked", detail, now)).await?;
    tx.commit().await?;
    Ok(true)
}
