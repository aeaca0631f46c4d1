//! The rules of passwords.

use askama::Template;

use super::{
    fields::{Fields, Reader},
    page::SheetForm,
    sheet::{Change, Sheet},
    store,
};
use crate::{
    company::{Policy, policy::PasswordPolicy},
    db::{DbResult, Tx},
    login::password::{DENIED_WORD_LEN_MIN, Expiry, LEN_MAX, LEN_MAX_DEFAULT, LEN_MIN},
    site::{Frame, Words},
};

/// The longest minimum.
const LEN_MIN_MAX: i64 = 64;
/// The most passwords that may not come back: each is compared by hashing, 40 ms.
const HISTORY_MAX: i64 = 24;
/// The longest life of a password, in days.
const EXPIRY_DAYS_MAX: i64 = 3650;
/// The longest warning, in days.
const WARN_DAYS_MAX: i64 = 90;
/// The most words that are denied.
const DENIED_MAX: usize = 500;
/// The longest of them.
const DENIED_LEN_MAX: usize = 64;

/// The sheet.
pub(super) struct Passwords;

#[derive(Template)]
#[template(path = "settings/passwords.html")]
struct PasswordsPage {
    frame: Frame,
    form: SheetForm,
}

impl Sheet for Passwords {
    const ADDRESS: &'static str = "/settings/passwords";
    const EVENT: &'static str = "settings.passwords_changed";
    const SUBJECT: &'static str = "settings:passwords";
    const KEYS: &'static [&'static str] = &[
        "len_min",
        "len_max",
        "kinds_min",
        "denied",
        "history",
        "expiry_days",
        "warn_days",
        "change_after_reset",
        "initial_by_link",
    ];
    const CHECKS: &'static [&'static str] = &["change_after_reset", "initial_by_link"];

    fn title(words: &'static Words) -> &'static str {
        words.rules_password.title
    }

    fn label(words: &'static Words, key: &str) -> Option<&'static str> {
        words.rules_password.get(key)
    }

    fn zero(words: &'static Words, key: &str) -> Option<&'static str> {
        let w = &words.rules_password;
        match key {
            "expiry_days" => Some(w.expiry_never),
            "warn_days" => Some(w.warn_never),
            _ => None,
        }
    }

    fn fill(policy: &Policy) -> Fields {
        let rules = &policy.password;
        Fields::default()
            .with("len_min", rules.len_min)
            .with("len_max", rules.len_max)
            .with("kinds_min", rules.kinds_min)
            .with("denied", rules.denied.join("\n"))
            .with("history", rules.history)
            .with("expiry_days", rules.expiry_days)
            .with("warn_days", rules.warn_days)
            .with_check("change_after_reset", rules.change_after_reset)
            .with_check("initial_by_link", rules.initial_by_link)
    }

    fn read(reader: &mut Reader<'_>, policy: &mut Policy) {
        let w = &reader.words.rules_password;
        let size = |number: i64| usize::try_from(number).unwrap_or(0);
        let [shortest, default_max, longest] =
            [LEN_MIN, LEN_MAX_DEFAULT, LEN_MAX].map(|len| i64::try_from(len).unwrap_or(0));
        let is_word = |line: &str| {
            let len = (DENIED_WORD_LEN_MIN..=DENIED_LEN_MAX).contains(&line.len());
            (len && line.chars().all(|c| c.is_ascii_graphic())).then(|| line.to_ascii_lowercase())
        };
        policy.password = PasswordPolicy {
            len_min: size(reader.number("len_min", shortest..=LEN_MIN_MAX)),
            len_max: size(reader.number("len_max", default_max..=longest)),
            kinds_min: size(reader.number("kinds_min", 1..=4)),
            denied: reader.lines("denied", DENIED_MAX, is_word, |line| w.denied_wrong(line)),
            history: size(reader.number("history", 0..=HISTORY_MAX)),
            expiry_days: reader.number("expiry_days", 0..=EXPIRY_DAYS_MAX),
            warn_days: reader.number("warn_days", 0..=WARN_DAYS_MAX),
            change_after_reset: reader.fields.is_on("change_after_reset"),
            initial_by_link: reader.fields.is_on("initial_by_link"),
        };
        let rules = &policy.password;
        if rules.len_max < rules.len_min {
            reader.wrong("len_min", w.len_crossed);
        }
        if 0 < rules.expiry_days && rules.expiry_days <= rules.warn_days {
            reader.wrong("warn_days", w.warn_too_long);
        }
    }

    async fn effects(tx: &mut Tx, change: Change<'_>) -> DbResult<Vec<String>> {
        let w = &change.words.rules_password;
        let (old, new) = (&change.old.password, &change.new.password);
        let accounts = store::accounts(tx, change.login.company_id).await?;
        let count =
            |wanted: &dyn Fn(&store::Account) -> bool| accounts.iter().filter(|account| wanted(account)).count();
        let mut effects = Vec::new();
        let form = |rules: &PasswordPolicy| {
            (rules.len_min, rules.len_max, rules.kinds_min, rules.denied.clone(), rules.history)
        };
        if form(old) != form(new) {
            effects.push(w.effect_next(accounts.len()));
        }
        if (old.expiry_days, old.warn_days) != (new.expiry_days, new.warn_days) {
            let expiry =
                |rules, account: &store::Account| Expiry::of(rules, account.password_changed_at_ms, change.now);
            let over = count(&|account| expiry(new, account) == Expiry::Over && expiry(old, account) != Expiry::Over);
            let soon = count(&|account| matches!(expiry(new, account), Expiry::Soon { .. }));
            effects.push(w.effect_over(over));
            effects.push(w.effect_soon(soon));
        }
        if old.change_after_reset != new.change_after_reset {
            effects.push(if new.change_after_reset { w.effect_reset_on } else { w.effect_reset_off }.to_owned());
        }
        if old.initial_by_link != new.initial_by_link {
            let without = count(&|account| !account.has_email);
            effects.push(if new.initial_by_link { w.effect_link_on(without) } else { w.effect_link_off.to_owned() });
        }
        Ok(effects)
    }

    fn page(frame: Frame, form: SheetForm, _change: Change<'_>) -> askama::Result<String> {
        PasswordsPage { frame, form }.render()
    }
}
