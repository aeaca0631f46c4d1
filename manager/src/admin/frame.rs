//! What stands around the pages of system administrators.

use axum::http::HeaderMap;

use super::{AdminLogin, AdminPermission, AdminRole};
use crate::{
    app::App,
    halt,
    site::{
        Frame, Words,
        frame::{Banner, Entry, Group, Who, banners},
        time,
    },
    terms,
};

/// The pages of system administrators, in the order of their menu.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Here {
    /// How the service is.
    Top,
    /// Companies and their contracts.
    Companies,
    /// Who brings companies.
    Partners,
    /// Erasures and disclosures.
    Requests,
    /// System administrators.
    Admins,
    /// Notices.
    Notices,
    /// Revisions of the terms of use.
    Terms,
    /// Planned stops.
    Maintenance,
    /// Incidents.
    Incidents,
    /// How much of each month the service was there.
    Availability,
    /// The switch that stops the whole service.
    Halt,
    /// The log of the whole system.
    Log,
    /// One's own account.
    Account,
}

impl Here {
    /// Its address, its name, and what is needed to see it.
    const fn about(self, words: &'static Words) -> (&'static str, &'static str, Option<AdminPermission>) {
        let w = &words.system;
        match self {
            Self::Top => ("/system", w.top, None),
            Self::Companies => ("/system/companies", w.companies, Some(AdminPermission::CompanyView)),
            Self::Partners => ("/system/partners", w.partners, Some(AdminPermission::CompanyEdit)),
            Self::Requests => ("/system/requests", w.requests, Some(AdminPermission::DataView)),
            Self::Admins => ("/system/admins", w.admins, Some(AdminPermission::AdminView)),
            Self::Notices => ("/system/notices", words.menu.notices, Some(AdminPermission::NoticeView)),
            Self::Terms => (terms::system::ADDRESS, words.terms.heading, Some(AdminPermission::MaintenanceView)),
            Self::Maintenance => {
                ("/system/maintenance", words.maintenance.heading, Some(AdminPermission::MaintenanceView))
            }
            Self::Incidents => ("/system/incidents", words.incidents.heading, Some(AdminPermission::MaintenanceView)),
            Self::Availability => {
                ("/system/availability", words.availability.heading, Some(AdminPermission::MaintenanceView))
            }
            Self::Halt => (halt::page::ADDRESS, words.halt.heading, Some(AdminPermission::MaintenanceView)),
            Self::Log => ("/system/log", w.log, Some(AdminPermission::LogView)),
            Self::Account => ("/system/account", words.menu.account, None),
        }
    }
}

/// The menu: headings and what is under each.
const fn menu(words: &'static Words) -> [(&'static str, &'static [Here]); 3] {
    let w = &words.system;
    [
        (
            w.group_service,
            &[
                Here::Top,
                Here::Notices,
                Here::Maintenance,
                Here::Incidents,
                Here::Availability,
                Here::Terms,
                Here::Halt,
            ],
        ),
        (w.group_contracts, &[Here::Companies, Here::Partners]),
        (w.group_record, &[Here::Requests, Here::Admins, Here::Log]),
    ]
}

/// The frame of one page.
pub fn frame(app: &App, login: &AdminLogin, headers: &HeaderMap, here: Here) -> Frame {
    let outside = Frame::outside(app, login.realm, headers, login.csrf.clone());
    let words = outside.words;
    let entry = |page: Here| {
        let (href, name, needed) = page.about(words);
        let visible = needed.is_none_or(|permission| login.may(permission));
        visible.then_some(Entry { href, name, is_here: page == here })
    };
    let groups = menu(words)
        .into_iter()
        .map(|(name, pages)| Group { name, entries: pages.iter().filter_map(|page| entry(*page)).collect() });
    Frame {
        who: Some(Who {
            account: login.operator_id,
            name: login.name.clone(),
            company: words.system.title.to_owned(),
            role: role_name(login.role, words).to_owned(),
            zone: time::zone_name(app.now_ms(), &login.zone()),
        }),
        groups: groups.filter(|group| !group.entries.is_empty()).collect(),
        banners: halted(login, words).into_iter().chain(banners(app, login, words)).collect(),
        chapter: "system",
        ..outside
    }
}

/// That the whole service is halted, with the way to the switch for those who see it.
fn halted(login: &AdminLogin, words: &'static Words) -> Option<Banner> {
    let since = time::seconds(login.halted_at_ms?, &login.zone());
    let link = login.may(AdminPermission::MaintenanceView);
    let link = link.then(|| (halt::page::ADDRESS.to_owned(), words.halt.banner_link.to_owned()));
    Some(Banner { class: "bad", text: words.halt.banner(since), link })
}

/// The name of a role.
pub const fn role_name(role: AdminRole, words: &'static Words) -> &'static str {
    let w = &words.system;
    match role {
        AdminRole::Operations => w.role_operations,
        AdminRole::Data => w.role_data,
        AdminRole::Audit => w.role_audit,
        AdminRole::Partner => w.role_partner,
    }
}
