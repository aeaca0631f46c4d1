//! The law of the tree: which crate may see which, that links in documents lead somewhere, that both languages say the
//! same things, and that no file names a machine it was made on.

#![cfg(test)]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
};

use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    /// Absent for an ordinary dependency, else `dev` or `build`.
    kind: Option<String>,
}

/// Who needs whom, by package names.
struct Tree {
    names: BTreeMap<String, String>,
    members: BTreeSet<String>,
    /// Ordinary dependencies by package id.
    ordinary: BTreeMap<String, Vec<String>>,
    /// Dependencies of any kind between members, by name.
    any_kind: BTreeMap<String, BTreeSet<String>>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The platform this test runs on, so that no package of another one must be fetched.
fn platform() -> String {
    let output = Command::new("rustc").arg("-vV").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().find_map(|line| line.strip_prefix("host: ")).unwrap().to_owned()
}

impl Tree {
    fn read() -> Self {
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", &platform()])
            .current_dir(root())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let metadata: Metadata = serde_json::from_slice(&output.stdout).unwrap();
        let names: BTreeMap<_, _> = metadata.packages.into_iter().map(|package| (package.id, package.name)).collect();
        let members: BTreeSet<_> = metadata.workspace_members.iter().map(|id| names[id].clone()).collect();
        let mut ordinary = BTreeMap::new();
        let mut any_kind = BTreeMap::new();
        for node in metadata.resolve.nodes {
            let is_ordinary = |dependency: &&Dependency| dependency.dep_kinds.iter().any(|kind| kind.kind.is_none());
            let seen = node.deps.iter().map(|dependency| names[&dependency.pkg].clone());
            any_kind.insert(names[&node.id].clone(), seen.filter(|name| members.contains(name)).collect());
            let needed = node.deps.iter().filter(is_ordinary).map(|dependency| dependency.pkg.clone()).collect();
            ordinary.insert(node.id, needed);
        }
        Self { names, members, ordinary, any_kind }
    }

    /// Names of everything that a member needs to be built, itself left out; tests and build scripts do not count.
    fn needs(&self, member: &str) -> BTreeSet<&str> {
        let id = self.names.iter().find(|(_, name)| *name == member).map(|(id, _)| id).unwrap();
        let mut seen: BTreeSet<&String> = BTreeSet::new();
        let mut open: Vec<&String> = self.ordinary[id].iter().collect();
        while let Some(next) = open.pop() {
            if seen.insert(next) {
                open.extend(&self.ordinary[next]);
            }
        }
        seen.into_iter().map(|id| self.names[id].as_str()).collect()
    }
}

/// The arrows that may exist between the crates of the workspace, whatever their kind.
const MAY_SEE: [(&str, &[&str]); 11] = [
    ("uketsuke-proto", &[]),
    ("uketsuke-ops", &["uketsuke-proto"]),
    ("uketsuke-proto-fuzz", &["uketsuke-proto", "uketsuke-link", "uketsuke-relay"]),
    ("uketsuke-link", &["uketsuke-proto"]),
    ("uketsuke-desk", &["uketsuke-proto"]),
    ("uketsuke-manager", &["uketsuke-proto", "uketsuke-ops"]),
    ("uketsuke-download", &["uketsuke-proto", "uketsuke-ops"]),
    ("uketsuke-relay", &["uketsuke-proto", "uketsuke-link", "uketsuke-ops"]),
    ("uketsuke-client", &["uketsuke-proto", "uketsuke-link", "uketsuke-desk"]),
    ("uketsuke-operator", &["uketsuke-proto", "uketsuke-link", "uketsuke-desk"]),
    (
        "uketsuke-loadtest",
        &[
            "uketsuke-proto",
            "uketsuke-link",
            "uketsuke-desk",
            "uketsuke-ops",
            "uketsuke-relay",
            "uketsuke-manager",
            "uketsuke-download",
            "uketsuke-client",
            "uketsuke-operator",
        ],
    ),
];

#[test]
fn every_crate_sees_only_what_it_may_see() {
    let tree = Tree::read();
    let law = BTreeMap::from(MAY_SEE);

    for member in &tree.members {
        let allowed = law.get(member.as_str()).unwrap_or_else(|| panic!("{member} has no place in the law"));
        for seen in &tree.any_kind[member] {
            assert!(allowed.contains(&seen.as_str()), "{member} may not see {seen}");
        }
    }
}

#[test]
fn the_protocol_cannot_touch_a_socket_or_wait() {
    let tree = Tree::read();

    let needs = tree.needs("uketsuke-proto");

    for banned in ["tokio", "mio", "socket2", "async-std", "rustls", "hyper", "tracing-subscriber"] {
        assert!(!needs.contains(banned), "uketsuke-proto needs {banned}");
    }
}

#[test]
fn the_tools_need_no_server_and_no_database() {
    let tree = Tree::read();

    for tool in ["uketsuke-client", "uketsuke-operator"] {
        let needs = tree.needs(tool);
        for banned in ["axum", "sqlx", "prometheus", "uketsuke-ops", "clap_mangen"] {
            assert!(!needs.contains(banned), "{tool} needs {banned}");
        }
    }
}

#[test]
fn the_servers_need_no_window() {
    let tree = Tree::read();

    for server in ["uketsuke-manager", "uketsuke-relay", "uketsuke-download"] {
        let needs = tree.needs(server);
        for banned in ["eframe", "egui", "winit", "x11rb", "enigo"] {
            assert!(!needs.contains(banned), "{server} needs {banned}");
        }
    }
}

/// Files that git knows of, below the root, with a name that ends so.
fn files(end: &str) -> Vec<PathBuf> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let found = text.split('\0').filter(|path| !path.is_empty() && path.ends_with(end)).map(|path| root().join(path));
    found.filter(|path| path.is_file()).collect()
}

/// Targets of the Markdown links of a text, outside of code.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut in_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        let spoken: String = line.split('`').step_by(2).collect();
        found.extend(spoken.split("](").skip(1).filter_map(|rest| rest.split(')').next()).map(str::to_owned));
    }
    found
}

#[test]
fn every_relative_link_of_the_documents_leads_somewhere() {
    let mut broken = Vec::new();
    for document in files(".md") {
        let text = std::fs::read_to_string(&document).unwrap();
        for link in links(&text) {
            let target = link.split(['#', ' ']).next().unwrap_or_default();
            let is_elsewhere = target.is_empty() || target.contains("://") || target.starts_with("mailto:");
            if !is_elsewhere && !document.parent().unwrap().join(target).exists() {
                broken.push(format!("{}: {target}", document.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert!(broken.is_empty(), "these links lead nowhere: {broken:#?}");
}

/// Paths of all sentences of a catalogue, with the places that each leaves open.
fn sentences(at: &str, value: &Value, found: &mut BTreeMap<String, BTreeSet<String>>) {
    let below = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
    if let Some(table) = value.as_object() {
        table.iter().for_each(|(name, value)| sentences(&below(name), value, found));
    } else if let Some(items) = value.as_array() {
        items.iter().enumerate().for_each(|(place, value)| sentences(&below(&place.to_string()), value, found));
    } else {
        let text = value.as_str().unwrap_or_default();
        let places = text.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name.to_owned());
        found.insert(at.to_owned(), places.collect());
    }
}

#[test]
fn both_languages_say_the_same_things() {
    let read = |path: &Path| {
        let text = std::fs::read_to_string(path).unwrap();
        let mut found = BTreeMap::new();
        sentences("", &ops::config::parse(&text).unwrap(), &mut found);
        found
    };
    let mut compared = 0;
    for japanese in files("text/ja.toml") {
        let english = japanese.with_file_name("en.toml");
        assert_eq!(read(&japanese), read(&english), "{}", japanese.strip_prefix(root()).unwrap().display());
        compared += 1;
    }
    assert!(1 <= compared);
}

#[test]
fn no_file_names_the_machine_it_was_made_on() {
    // Split, so that this file does not name them either.
    let places = [["/ro", "ot/"], ["/ho", "me/"], ["/Use", "rs/"], ["/wo", "rk/"], ["C:\\Us", "ers"], ["/tmp", "/w/"]];
    let mut named = Vec::new();
    for end in [".rs", ".toml", ".md", ".html", ".css", ".sql", ".yml", ".json", ".service", "ops/demo", "ops/test"] {
        for file in files(end) {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            for place in places.map(|parts| parts.concat()).iter().filter(|place| text.contains(place.as_str())) {
                named.push(format!("{}: {place}", file.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert!(named.is_empty(), "these files name a machine: {named:#?}");
}
