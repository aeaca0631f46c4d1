//! What holds for the company as a whole: time zone, language, and how long records are kept.

use askama::Template;
use jiff::tz::TimeZone;

use super::{
    fields::{Fields, Reader},
    page::SheetForm,
    sheet::{Change, Sheet},
    store,
};
use crate::{
    company::{Policy, policy::Retention},
    db::{DbResult, Tx},
    role::Permission,
    site::{Frame, Lang, Words, time},
};

/// The longest name of a time zone.
const ZONE_LEN_MAX: usize = 64;
/// Days that records are kept at least. Source: the product's whitepaper.
const DAYS_MIN: i64 = 365;
/// Days that records can be kept: ten years.
const DAYS_MAX: i64 = 3653;
/// Milliseconds of a day.
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// Zones that the form offers; any other of the IANA list can be typed.
const ZONES: [&str; 16] = [
    "Asia/Tokyo",
    "Asia/Seoul",
    "Asia/Shanghai",
    "Asia/Taipei",
    "Asia/Hong_Kong",
    "Asia/Singapore",
    "Asia/Bangkok",
    "Asia/Ho_Chi_Minh",
    "Asia/Kolkata",
    "Australia/Sydney",
    "Europe/London",
    "Europe/Amsterdam",
    "Europe/Berlin",
    "America/New_York",
    "America/Los_Angeles",
    "UTC",
];

/// The sheet.
pub(super) struct General;

/// A file that the company takes for itself.
struct File {
    href: &'static str,
    name: &'static str,
}

#[derive(Template)]
#[template(path = "settings/general.html")]
struct GeneralPage {
    frame: Frame,
    form: SheetForm,
    zones: &'static [&'static str],
    /// What time it is there.
    clock: String,
    files: Vec<File>,
}

impl Sheet for General {
    const ADDRESS: &'static str = "/settings/company";
    const EVENT: &'static str = "settings.company_changed";
    const SUBJECT: &'static str = "settings:company";
    const KEYS: &'static [&'static str] = &["time_zone", "lang", "log_days", "change_days"];
    const CHECKS: &'static [&'static str] = &[];

    fn title(words: &'static Words) -> &'static str {
        words.rules_company.title
    }

    fn label(words: &'static Words, key: &str) -> Option<&'static str> {
        words.rules_company.get(key)
    }

    fn fill(policy: &Policy) -> Fields {
        let zone = if policy.time_zone.is_empty() { time::TOKYO } else { &policy.time_zone };
        Fields::default()
            .with("time_zone", zone)
            .with("lang", &policy.lang)
            .with("log_days", policy.retention.log_days)
            .with("change_days", policy.retention.change_days)
    }

    fn read(reader: &mut Reader<'_>, policy: &mut Policy) {
        let w = &reader.words.rules_company;
        let zone = reader.text("time_zone", ZONE_LEN_MAX);
        match TimeZone::get(&zone).ok().and_then(|zone| zone.iana_name().map(str::to_owned)) {
            Some(name) => policy.time_zone = name,
            None => reader.wrong("time_zone", w.zone_wrong),
        }
        let lang = reader.fields.text("lang");
        match Lang::parse(lang) {
            Some(lang) => lang.tag().clone_into(&mut policy.lang),
            None if lang.is_empty() => policy.lang = String::new(),
            None => reader.wrong("lang", w.lang_wrong),
        }
        policy.retention = Retention {
            log_days: reader.number("log_days", DAYS_MIN..=DAYS_MAX),
            change_days: reader.number("change_days", DAYS_MIN..=DAYS_MAX),
        };
    }

    async fn effects(tx: &mut Tx, change: Change<'_>) -> DbResult<Vec<String>> {
        let w = &change.words.rules_company;
        let (old, new) = (change.old, change.new);
        let company_id = change.login.company_id;
        let accounts = store::accounts(tx, company_id).await?.len();
        let mut effects = Vec::new();
        if old.time_zone != new.time_zone {
            let clock = time::to_the_minute(change.now, &time::zone(&new.time_zone));
            effects.push(w.effect_zone(accounts, clock));
            if !new.login.week.0.is_empty() {
                effects.push(w.effect_zone_hours.to_owned());
            }
        }
        if old.lang != new.lang {
            effects.push(w.effect_lang.to_owned());
        }
        if old.retention != new.retention {
            let before = |days: i64| change.now.saturating_sub(days.saturating_mul(DAY_MS));
            let (logs, changes) =
                store::older(tx, company_id, before(new.retention.log_days), before(new.retention.change_days)).await?;
            effects.push(if logs + changes == 0 { w.effect_kept.to_owned() } else { w.effect_gone(changes, logs) });
        }
        Ok(effects)
    }

    fn warnings(change: Change<'_>) -> Vec<String> {
        let (old, new) = (&change.old.retention, &change.new.retention);
        let is_shorter = new.log_days < old.log_days || new.change_days < old.change_days;
        let warning = change.words.rules_company.warn_gone;
        if is_shorter { vec![warning.to_owned()] } else { Vec::new() }
    }

    fn shown(words: &'static Words, key: &str, value: &str) -> String {
        let w = &words.rules_company;
        match (key, value) {
            ("lang", "ja") => w.lang_ja.to_owned(),
            ("lang", "en") => w.lang_en.to_owned(),
            ("lang", _) => w.lang_browser.to_owned(),
            (_, value) => value.to_owned(),
        }
    }

    fn page(frame: Frame, form: SheetForm, change: Change<'_>) -> askama::Result<String> {
        let (words, zone) = (frame.words, change.login.zone());
        let clock = format!("{} {}", time::to_the_minute(change.now, &zone), time::zone_name(change.now, &zone));
        let w = &words.menu;
        let files = [
            ("/operators/file", w.operators, Permission::OperatorView),
            ("/log/receptions/file", w.reception_log, Permission::LogExport),
            ("/log/sessions/file", w.support_log, Permission::LogExport),
            ("/statistics/file", w.statistics, Permission::LogExport),
            ("/log/operations/file", w.audit, Permission::LogExport),
            ("/log/logins/file", w.login_log, Permission::LogExport),
        ];
        let allowed = files.into_iter().filter(|(_, _, needed)| change.login.may(*needed));
        let files = allowed.map(|(href, name, _)| File { href, name }).collect();
        GeneralPage { frame, form, zones: &ZONES, clock, files }.render()
    }
}
