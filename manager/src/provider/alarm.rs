//! An administrator who logs in by password while there is a provider: allowed, so that nobody is shut out when it is away,
//! and told.

use proto::id::{CompanyId, OperatorId};
use serde_json::json;

use crate::{
    app::App,
    audit::{self, AuditEvent},
    db::{DbResult, Tx},
    fetch_optional,
    login::{Realm, attempt::login_event},
};

/// The event in the login log.
pub const EVENT: &str = "login.past_provider";

/// Notes a login by password that is done, when it is an administrator's and a provider is in force.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn note(
    app: &App,
    tx: &mut Tx,
    realm: Realm,
    (company_id, operator_id): (CompanyId, OperatorId),
    now: i64,
) -> DbResult<()> {
    let is_past = match realm {
        Realm::System => app.config.system.provider.is_some(),
        Realm::Company => {
            let found = fetch_optional!(
                tx,
                (String,),
                "SELECT o.role
                FROM operators o
                JOIN providers p ON p.company_id = o.company_id
                WHERE o.operator_id = $1
                AND o.role = 'company_admin'
                AND p.in_force = TRUE",
                operator_id.to_string()
            )?;
            found.is_some()
        }
    };
    if is_past {
        let event = login_event(EVENT, Some((company_id, operator_id)), now);
        audit::append(tx, AuditEvent { detail: json!({ "door": "site" }), ..event }).await?;
        app.metrics.core.manager_logins_past_provider_total.with_label_values(&[realm.as_str()]).inc();
        tracing::warn!(event = EVENT, realm = realm.as_str(), "An administrator logged in past the identity provider");
    }
    Ok(())
}
