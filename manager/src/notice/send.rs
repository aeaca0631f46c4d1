//! Mails to the administrators of companies about what the service announces.

use proto::{api::UnixMillis, id::CompanyId};

use crate::{
    app::App,
    db::{DbError, DbResult, Tx},
    fetch_all,
    mail::{self, Kind, NewMail, Text},
    operator::MailAddress,
    site::{Lang, Words},
};

/// Administrators that one announcement is sent to; more than a service on one database has.
const ADMINISTRATORS_MAX: i64 = 50_000;

#[derive(sqlx::FromRow)]
struct Administrator {
    operator_id: String,
    company_id: String,
    email: String,
    lang: String,
}

/// Puts a mail for every administrator of an active company into the outbox; how many.
///
/// # Errors
/// [`DbError`]; then the transaction must not be committed.
pub(super) async fn to_administrators(
    app: &App,
    tx: &mut Tx,
    (kind, about): (Kind, &str),
    say: impl Fn(&'static Words) -> Text,
    expires_at_ms: Option<UnixMillis>,
) -> DbResult<usize> {
    if !app.config.mail.is_on() {
        tracing::warn!(event = "mail.off", "An announcement goes out without mail: mail.server is not set");
        return Ok(0);
    }
    let administrators = fetch_all!(
        tx,
        Administrator,
        "SELECT o.operator_id, o.company_id, o.email, o.lang
        FROM operators o
        JOIN companies c ON c.company_id = o.company_id
        WHERE c.realm = 'company'
        AND c.state = 'active'
        AND o.role = 'company_admin'
        AND o.role_id IS NULL
        AND o.stopped = FALSE
        AND o.deleted_at_ms IS NULL
        AND o.email <> ''
        ORDER BY o.operator_id
        LIMIT $1",
        ADMINISTRATORS_MAX
    )?;
    let now = app.now_ms();
    let texts = [Lang::Ja, Lang::En].map(|lang| mail::bilingual(lang, &say));
    let [ja, en] = &texts;
    let mut sent: usize = 0;
    for to in administrators {
        // An address that is none cannot be written to; the list of accounts refuses such.
        let Ok(address) = to.email.parse::<MailAddress>() else { continue };
        let text = match Lang::parse(&to.lang).unwrap_or_default() {
            Lang::Ja => ja.clone(),
            Lang::En => en.clone(),
        };
        let new = NewMail {
            company: Some(company(&to.company_id)?),
            operator: to.operator_id.parse().ok(),
            kind,
            about: about.to_owned(),
            address: &address,
            text,
            expires_at_ms,
        };
        if mail::queue(app, tx, new, now).await?.is_some() {
            sent = sent.saturating_add(1);
        }
    }
    Ok(sent)
}

fn company(id: &str) -> DbResult<CompanyId> {
    let wrong = || DbError::InconsistentRow { table: "operators", column: "company_id", id: id.to_owned() };
    id.parse().map_err(|_not_an_id| wrong())
}
