//! The rules of logging in.

use std::{collections::BTreeMap, net::IpAddr};

use askama::Template;
use jiff::civil::Date;

use super::{
    fields::{Fields, Reader},
    page::SheetForm,
    sheet::{Change, Sheet},
    store::{self, OpenLogin},
    week,
};
use crate::{
    company::{
        Policy,
        policy::{LoginPolicy, Network},
    },
    db::{DbResult, Tx},
    login::store::HOUR_MS,
    role::Role,
    site::{Frame, Words, frame::role_name, time},
};

/// The most networks of one list.
const NETWORKS_MAX: usize = 200;
/// Milliseconds of a minute.
const MINUTE_MS: i64 = 60_000;

/// The sheet.
pub(super) struct Logins;

/// The networks of a role, in the form.
struct RoleList {
    id: &'static str,
    name: &'static str,
}

#[derive(Template)]
#[template(path = "settings/logins.html")]
struct LoginsPage {
    frame: Frame,
    form: SheetForm,
    address: String,
    zone: String,
    days: Vec<week::Row>,
    roles: Vec<RoleList>,
}

/// The field of a role's networks.
const fn networks_key(role: Role) -> &'static str {
    match role {
        Role::CompanyAdmin => "networks_company_admin",
        Role::OrganisationAdmin => "networks_organisation_admin",
        Role::Supervisor => "networks_supervisor",
        Role::Operator => "networks_operator",
        Role::Viewer => "networks_viewer",
        Role::Auditor => "networks_auditor",
    }
}

impl Sheet for Logins {
    const ADDRESS: &'static str = "/settings/login";
    const EVENT: &'static str = "settings.login_changed";
    const SUBJECT: &'static str = "settings:login";
    const KEYS: &'static [&'static str] = &[
        "lockout",
        "failures_max",
        "window_minutes",
        "unlock_minutes",
        "unlock_by_hand",
        "totp_required",
        "totp_from",
        "idle_minutes",
        "tool_idle_hours",
        "life_hours",
        "single",
        "networks",
        "networks_company_admin",
        "networks_organisation_admin",
        "networks_supervisor",
        "networks_operator",
        "networks_viewer",
        "networks_auditor",
        "limit_hours",
        "open_0",
        "from_0",
        "to_0",
        "open_1",
        "from_1",
        "to_1",
        "open_2",
        "from_2",
        "to_2",
        "open_3",
        "from_3",
        "to_3",
        "open_4",
        "from_4",
        "to_4",
        "open_5",
        "from_5",
        "to_5",
        "open_6",
        "from_6",
        "to_6",
    ];
    const CHECKS: &'static [&'static str] = &[
        "lockout",
        "unlock_by_hand",
        "totp_required",
        "single",
        "limit_hours",
        "open_0",
        "open_1",
        "open_2",
        "open_3",
        "open_4",
        "open_5",
        "open_6",
    ];

    fn title(words: &'static Words) -> &'static str {
        words.rules_login.title
    }

    fn label(words: &'static Words, key: &str) -> Option<&'static str> {
        words.rules_login.get(key)
    }

    fn fill(policy: &Policy) -> Fields {
        let rules = &policy.login;
        let from = match rules.totp_from_ms {
            0 => String::new(),
            from_ms => time::input_day(from_ms, &time::zone(&policy.time_zone)),
        };
        let mut fields = Fields::default()
            .with_check("lockout", rules.lockout)
            .with("failures_max", rules.failures_max)
            .with("window_minutes", rules.window_minutes)
            .with("unlock_minutes", rules.unlock_minutes)
            .with_check("unlock_by_hand", rules.unlock_by_hand)
            .with_check("totp_required", rules.totp_required)
            .with("totp_from", from)
            .with("idle_minutes", rules.idle_minutes)
            .with("tool_idle_hours", rules.tool_idle_hours)
            .with("life_hours", rules.life_hours)
            .with_check("single", rules.single)
            .with("networks", listed(&rules.networks));
        for role in Role::ALL {
            let own = rules.networks_of.get(role.as_str()).map(Vec::as_slice).unwrap_or_default();
            fields = fields.with(networks_key(role), listed(own));
        }
        week::fill(fields, &rules.week)
    }

    fn read(reader: &mut Reader<'_>, policy: &mut Policy) {
        let totp_required = reader.fields.is_on("totp_required");
        let totp_from_ms = if totp_required { read_day(reader, "totp_from", &policy.time_zone) } else { 0 };
        let networks = read_networks(reader, "networks");
        let mut networks_of = BTreeMap::new();
        for role in Role::ALL {
            let own = read_networks(reader, networks_key(role));
            if !own.is_empty() {
                networks_of.insert(role.as_str().to_owned(), own);
            }
        }
        policy.login = LoginPolicy {
            lockout: reader.fields.is_on("lockout"),
            failures_max: reader.number("failures_max", 3..=100),
            window_minutes: reader.number("window_minutes", 1..=1440),
            unlock_minutes: reader.number("unlock_minutes", 1..=1440),
            unlock_by_hand: reader.fields.is_on("unlock_by_hand"),
            totp_required,
            totp_from_ms,
            idle_minutes: reader.number("idle_minutes", 5..=480),
            tool_idle_hours: reader.number("tool_idle_hours", 1..=24),
            life_hours: reader.number("life_hours", 1..=24),
            single: reader.fields.is_on("single"),
            networks,
            networks_of,
            week: week::read(reader),
        };
    }

    async fn effects(tx: &mut Tx, change: Change<'_>) -> DbResult<Vec<String>> {
        let w = &change.words.rules_login;
        let (old, new) = (&change.old.login, &change.new.login);
        let accounts = store::accounts(tx, change.login.company_id).await?;
        let open = store::open_logins(tx, change.login.company_id, change.now).await?;
        let mut effects = Vec::new();
        if old.lockout() != new.lockout() {
            effects.push(w.effect_lockout(accounts.len()));
        }
        if (old.totp_required, old.totp_from_ms) != (new.totp_required, new.totp_from_ms) {
            let without = accounts.iter().filter(|account| !account.has_factor).count();
            let day = time::day(new.totp_from_ms, &change.login.zone());
            effects.push(match (new.totp_required, new.needs_factor(change.now)) {
                (false, _) => w.effect_factor_off.to_owned(),
                (true, true) => w.effect_factor_now(without),
                (true, false) => w.effect_factor_later(without, day),
            });
        }
        let out = |reason: &dyn Fn(&OpenLogin) -> bool| open.iter().filter(|login| reason(login)).count();
        if (old.idle_minutes, old.life_hours, old.tool_idle_hours)
            != (new.idle_minutes, new.life_hours, new.tool_idle_hours)
        {
            effects.push(w.effect_limits(out(&|login| is_over(login, new, change.now))));
        }
        if old.single != new.single {
            effects.push(if new.single { w.effect_single_on(twice(&open)) } else { w.effect_single_off.to_owned() });
        }
        if (&old.networks, &old.networks_of) != (&new.networks, &new.networks_of) {
            let bound = accounts.iter().filter(|account| is_bound(new, &account.role)).count();
            effects.push(w.effect_networks(bound, out(&|login| !comes_from(login, new))));
        }
        if old.week != new.week {
            let is_closed = !new.week.is_open_at(change.now, change.login.zone());
            effects.push(if is_closed { w.effect_closed_now(open.len()) } else { w.effect_hours(accounts.len()) });
        }
        Ok(effects)
    }

    fn warnings(change: Change<'_>) -> Vec<String> {
        let w = &change.words.rules_login;
        let (old, new) = (&change.old.login, &change.new.login);
        let role = change.login.role.as_str();
        let mut warnings = Vec::new();
        if !new.allows(role, change.source) {
            warnings.push(w.warn_networks(change.source.to_canonical()));
        }
        if old.week != new.week && !new.week.is_open_at(change.now, change.login.zone()) {
            warnings.push(w.warn_hours.to_owned());
        }
        if !new.lockout {
            warnings.push(w.warn_lockout.to_owned());
        }
        warnings
    }

    fn shown(words: &'static Words, key: &str, value: &str) -> String {
        match value {
            "on" => words.settings.yes.to_owned(),
            "" if Self::CHECKS.contains(&key) => words.settings.no.to_owned(),
            "" if key == "totp_from" => words.rules_login.at_once.to_owned(),
            "" if key == "networks" => words.rules_login.everywhere.to_owned(),
            "" => words.shared.never.to_owned(),
            value => value.to_owned(),
        }
    }

    fn page(frame: Frame, form: SheetForm, change: Change<'_>) -> askama::Result<String> {
        let roles = Role::ALL
            .into_iter()
            .map(|role| RoleList { id: networks_key(role), name: role_name(role, frame.words) })
            .collect();
        let page = LoginsPage {
            address: change.source.to_canonical().to_string(),
            zone: time::zone_name(change.now, &change.login.zone()),
            days: week::rows(&form, frame.words),
            roles,
            frame,
            form,
        };
        page.render()
    }
}

fn listed(networks: &[Network]) -> String {
    networks.iter().map(Network::to_string).collect::<Vec<_>>().join("\n")
}

fn read_networks(reader: &mut Reader<'_>, key: &'static str) -> Vec<Network> {
    let w = &reader.words.rules_login;
    reader.lines(key, NETWORKS_MAX, |line| line.parse().ok(), |line| w.network_wrong(line))
}

/// The first moment of a day; 0 for none.
fn read_day(reader: &mut Reader<'_>, key: &'static str, zone: &str) -> i64 {
    let text = reader.fields.text(key).trim();
    if text.is_empty() {
        return 0;
    }
    let begin = text.parse::<Date>().ok().and_then(|day| day.to_zoned(time::zone(zone)).ok());
    if let Some(begin) = begin {
        begin.timestamp().as_millisecond()
    } else {
        reader.wrong(key, reader.words.rules_login.day_wrong);
        0
    }
}

/// Whether a login ends at once by the limits.
fn is_over(login: &OpenLogin, rules: &LoginPolicy, now: i64) -> bool {
    login.created_at_ms.saturating_add(rules.life_hours.saturating_mul(HOUR_MS)) <= now
        || login.used_at_ms.saturating_add(rules.idle_minutes.saturating_mul(MINUTE_MS)) <= now
}

/// Accounts that are logged in more than once.
fn twice(open: &[OpenLogin]) -> usize {
    let mut logins: BTreeMap<&str, usize> = BTreeMap::new();
    for login in open {
        let count = logins.entry(login.operator_id.as_str()).or_default();
        *count = count.saturating_add(1);
    }
    logins.values().filter(|count| 1 < **count).count()
}

/// Whether a role may log in from some networks only.
fn is_bound(rules: &LoginPolicy, role: &str) -> bool {
    !rules.networks.is_empty() || rules.networks_of.contains_key(role)
}

/// Whether a login's source is in the networks; the log keeps the /64 of an IPv6 address, whose first address stands for it.
fn comes_from(login: &OpenLogin, rules: &LoginPolicy) -> bool {
    let address = login.source.split('/').next().unwrap_or_default();
    address.parse::<IpAddr>().is_ok_and(|source| rules.allows(&login.role, source))
}
