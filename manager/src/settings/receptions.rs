//! The rules of reception numbers, and whom people ask.

use askama::Template;

use super::{
    fields::{Fields, Reader},
    page::SheetForm,
    sheet::{Change, Sheet},
    store,
};
use crate::{
    company::{Policy, policy::ReceptionPolicy},
    db::{DbResult, Tx},
    site::{Frame, Words},
};

/// The longest contact, in characters.
const CONTACT_LEN_MAX: usize = 500;

/// The sheet.
pub(super) struct Receptions;

#[derive(Template)]
#[template(path = "settings/receptions.html")]
struct ReceptionsPage {
    frame: Frame,
    form: SheetForm,
}

impl Sheet for Receptions {
    const ADDRESS: &'static str = "/settings/reception";
    const EVENT: &'static str = "settings.reception_changed";
    const SUBJECT: &'static str = "settings:reception";
    const KEYS: &'static [&'static str] = &["life_minutes", "open_max", "reason_required", "contact"];
    const CHECKS: &'static [&'static str] = &["reason_required"];

    fn title(words: &'static Words) -> &'static str {
        words.rules_reception.title
    }

    fn label(words: &'static Words, key: &str) -> Option<&'static str> {
        words.rules_reception.get(key)
    }

    fn zero(words: &'static Words, key: &str) -> Option<&'static str> {
        (key == "life_minutes").then_some(words.rules_reception.life_of_service)
    }

    fn fill(policy: &Policy) -> Fields {
        let rules = &policy.reception;
        Fields::default()
            .with("life_minutes", rules.life_minutes)
            .with("open_max", rules.open_max)
            .with_check("reason_required", rules.reason_required)
            .with("contact", &rules.contact)
    }

    fn read(reader: &mut Reader<'_>, policy: &mut Policy) {
        policy.reception = ReceptionPolicy {
            life_minutes: reader.number("life_minutes", 0..=60),
            open_max: reader.number("open_max", 1..=3),
            reason_required: reader.fields.is_on("reason_required"),
            contact: reader.text("contact", CONTACT_LEN_MAX),
        };
    }

    async fn effects(tx: &mut Tx, change: Change<'_>) -> DbResult<Vec<String>> {
        let w = &change.words.rules_reception;
        let (old, new) = (&change.old.reception, &change.new.reception);
        let company_id = change.login.company_id;
        let mut effects = Vec::new();
        if (old.life_minutes, old.open_max, old.reason_required)
            != (new.life_minutes, new.open_max, new.reason_required)
        {
            let operators = store::issuers(tx, company_id).await?;
            let open = store::open_numbers(tx, company_id).await?;
            effects.push(w.effect_numbers(open, operators));
        }
        if old.contact != new.contact {
            let accounts = store::accounts(tx, company_id).await?.len();
            effects.push(w.effect_contact(accounts));
        }
        Ok(effects)
    }

    fn page(frame: Frame, form: SheetForm, _change: Change<'_>) -> askama::Result<String> {
        ReceptionsPage { frame, form }.render()
    }
}
