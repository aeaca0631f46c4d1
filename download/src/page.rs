//! The pages: one tool for the visitor's system, what to do with it, and the other systems below.

use askama::Template;

use crate::{
    router::Assets,
    text::{Catalogue, Shared, Words, os_name},
    tools::{Arch, Os, Role, Tool, Tools},
    visitor::{Lang, System},
};

/// A tool as a visitor sees it.
struct Offer<'a> {
    name: &'a str,
    href: String,
    button: String,
    processor: &'a str,
    megabytes: String,
    sha256: &'a str,
}

#[derive(Template)]
#[template(path = "tool.html")]
struct ToolPage<'a> {
    lang: Lang,
    assets: &'a Assets,
    shared: &'a Shared,
    words: &'a Words,
    /// Address of this page, and of the other audience's.
    here: &'static str,
    elsewhere: &'static str,
    offer: Option<Offer<'a>>,
    steps: &'a [String],
    /// What is not there, and what to do then.
    none: Option<(String, &'a str)>,
    others_heading: &'a str,
    others: Vec<Offer<'a>>,
}

/// The same notice in one language.
struct Notice<'a> {
    lang: Lang,
    heading: &'a str,
    lead: &'a str,
    home: &'a str,
}

#[derive(Template)]
#[template(path = "notice.html")]
struct NoticePage<'a> {
    lang: Lang,
    assets: &'a Assets,
    shared: &'a Shared,
    title: &'a str,
    notices: [Notice<'a>; 2],
}

/// Who looks at a page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Visitor {
    pub(crate) lang: Lang,
    pub(crate) system: System,
    pub(crate) arch: Option<Arch>,
}

/// The page that hands out the tool of one role.
pub(crate) fn tool(
    role: Role,
    visitor: Visitor,
    tools: &Tools,
    texts: &Catalogue,
    assets: &Assets,
) -> askama::Result<String> {
    let texts = texts.of(visitor.lang);
    let (words, here, elsewhere) = match role {
        Role::Client => (&texts.customer, "/", "/operator"),
        Role::Operator => (&texts.operator, "/operator", "/"),
    };
    let listed = tools.of(role);
    let chosen = choose(&listed, visitor);
    let others = listed
        .iter()
        .filter(|tool| chosen.is_none_or(|chosen| chosen.name != tool.name))
        .map(|tool| offer(tool, &texts.shared))
        .collect::<Vec<_>>();
    let none = chosen.is_none().then(|| missing(visitor.system, words, others.is_empty()));
    ToolPage {
        lang: visitor.lang,
        assets,
        shared: &texts.shared,
        words,
        here,
        elsewhere,
        offer: chosen.map(|tool| offer(tool, &texts.shared)),
        steps: chosen.map_or(&[], |tool| words.steps(tool.os).as_slice()),
        none,
        others_heading: if visitor.system == System::Unknown { &texts.shared.choose } else { &texts.shared.others },
        others,
    }
    .render()
}

/// The page for an address that does not exist, in both languages.
pub(crate) fn not_found(lang: Lang, texts: &Catalogue, assets: &Assets) -> askama::Result<String> {
    let notice = |lang| {
        let texts = texts.of(lang);
        Notice { lang, heading: &texts.missing.heading, lead: &texts.missing.lead, home: &texts.missing.home }
    };
    let shared = &texts.of(lang).shared;
    let title = &texts.of(lang).missing.title;
    NoticePage { lang, assets, shared, title, notices: [notice(lang), notice(lang.other())] }.render()
}

/// The page for a tool whose file is being replaced, in both languages.
pub(crate) fn changed(lang: Lang, texts: &Catalogue, assets: &Assets) -> askama::Result<String> {
    let notice = |lang| {
        let texts = texts.of(lang);
        Notice { lang, heading: &texts.changed.heading, lead: &texts.changed.lead, home: &texts.missing.home }
    };
    let shared = &texts.of(lang).shared;
    let title = &texts.of(lang).changed.heading;
    NoticePage { lang, assets, shared, title, notices: [notice(lang), notice(lang.other())] }.render()
}

/// The visitor's tool: the same system, and the same processor where it is known and listed. macOS and Windows run
/// tools of the other processor too; a Linux machine whose processor is known to differ does not.
fn choose<'a>(listed: &[&'a Tool], visitor: Visitor) -> Option<&'a Tool> {
    let System::Computer(os) = visitor.system else { return None };
    let of_system = || listed.iter().filter(|tool| tool.os == os);
    let exact = of_system().find(|tool| visitor.arch.is_none_or(|arch| tool.arch == arch));
    let near = of_system().next().filter(|_| os != Os::Linux);
    exact.or(near).copied()
}

/// What is not there, and what to do then.
fn missing(system: System, words: &Words, nothing_listed: bool) -> (String, &str) {
    match system {
        System::Computer(os) => (words.none_computer.replace("{os}", os_name(os)), &words.none_do_computer),
        System::Mobile => (words.none_mobile.clone(), &words.none_do),
        System::Unknown if nothing_listed => (words.none_unknown.clone(), &words.none_do),
        System::Unknown => (words.none_unknown.clone(), &words.none_choose),
    }
}

fn offer<'a>(tool: &'a Tool, shared: &'a Shared) -> Offer<'a> {
    Offer {
        name: &tool.name,
        href: tool.href(),
        button: shared.download.replace("{os}", os_name(tool.os)),
        processor: match tool.arch {
            Arch::X86_64 => &shared.intel,
            Arch::Aarch64 => &shared.arm,
        },
        megabytes: tool.megabytes(),
        sha256: &tool.sha256,
    }
}
