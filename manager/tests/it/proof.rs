//! The tables of requirements say what is true: every id once, every test and file that they name is there, and nothing
//! is called done without one.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Level 1 and 2 of ASVS 5.0.0: how many requirements each section has, by chapter. Source: OWASP/ASVS, folder 5.0/en.
const ASVS: [(u8, usize); 17] = [
    (1, 27),
    (2, 11),
    (3, 19),
    (4, 10),
    (5, 9),
    (6, 35),
    (7, 18),
    (8, 7),
    (9, 7),
    (10, 29),
    (11, 14),
    (12, 9),
    (13, 13),
    (14, 9),
    (15, 13),
    (16, 16),
    (17, 7),
];
/// The last number of OR- and of OB-.
const LAST: [(&str, u8); 2] = [("OR", 55), ("OB", 44)];

/// One row of a table.
struct Row {
    id: String,
    state: String,
    proof: String,
    missing: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Rows of a document: `| id | what | state | proof | missing |`.
fn rows(document: &str) -> Vec<Row> {
    let text = fs::read_to_string(root().join(document)).unwrap();
    let is_row = |line: &&str| line.starts_with("| OR-") || line.starts_with("| OB-") || line.starts_with("| V");
    text.lines()
        .filter(is_row)
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [id, what, state, proof, missing] = cells[..] else { panic!("{document}: {line}") };
            assert!(!what.is_empty(), "{document}: {id} says nothing");
            Row { id: id.to_owned(), state: state.to_owned(), proof: proof.to_owned(), missing: missing.to_owned() }
        })
        .collect()
}

/// Every function of the tests, as `file::function`; Rust and Python.
fn tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders: Vec<PathBuf> = ["manager", "loadtest", "ops", "proto", "download", "relay", "client", "operator"]
        .map(|part| root().join(part))
        .into();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() {
                if name != "target" && name != "node_modules" && !name.starts_with('.') {
                    folders.push(path);
                }
                continue;
            }
            let (begin, mark) = match path.extension().and_then(|kind| kind.to_str()) {
                Some("rs") => ("fn ", "#["),
                Some("py") => ("def test", ""),
                _ => continue,
            };
            let stem = match path.file_stem().unwrap().to_str().unwrap() {
                "mod" | "tests" => path.parent().unwrap().file_name().unwrap().to_str().unwrap(),
                stem => stem,
            };
            let text = fs::read_to_string(&path).unwrap_or_default();
            let mut before = "";
            for line in text.lines().map(str::trim_start) {
                let function = line.strip_prefix("async ").unwrap_or(line);
                if let Some(rest) = function.strip_prefix(begin)
                    && (mark.is_empty() || (before.starts_with(mark) && before.contains("test")))
                {
                    let begin = begin.strip_prefix("def ").unwrap_or_default();
                    found.insert(format!("{stem}::{begin}{}", rest.split('(').next().unwrap()));
                }
                before = if line.is_empty() { before } else { line };
            }
        }
    }
    found
}

/// Fails unless every row is as the top of this file says.
fn check(document: &str, states: &[&str], done_by_file: bool) -> Vec<String> {
    let tests = tests();
    let mut wrong = Vec::new();
    let mut ids = BTreeSet::new();
    for Row { id, state, proof, missing } in rows(document) {
        if !ids.insert(id.clone()) {
            wrong.push(format!("{id} is there twice"));
        }
        let (mut tested, mut filed) = (false, false);
        for name in proof.split('`').skip(1).step_by(2) {
            if name.contains("::") {
                tested = true;
                if !tests.contains(name) {
                    wrong.push(format!("{id}: there is no test {name}"));
                }
            } else {
                filed = true;
                if !root().join(name).exists() {
                    wrong.push(format!("{id}: there is no file {name}"));
                }
            }
        }
        if !states.contains(&state.as_str()) {
            wrong.push(format!("{id}: {state} is no state"));
        }
        if state == "done" && !tested && !(done_by_file && filed) {
            wrong.push(format!("{id} is done without a proof"));
        }
        if (state == "done") != missing.is_empty() {
            wrong.push(format!("{id}: say what is missing, and only then"));
        }
    }
    assert!(wrong.is_empty(), "{document}:\n{}", wrong.join("\n"));
    ids.into_iter().collect()
}

#[test]
fn every_requirement_of_the_manager_has_its_test_or_says_what_is_missing() {
    let document = "manager/REQUIREMENTS.md";
    let mut ids: Vec<String> = check(document, &["done", "part", "open"], false);
    let text = fs::read_to_string(root().join(document)).unwrap();
    let others = text.split_once("## Of other parts").unwrap().1;
    let is_id = |word: &&str| word.starts_with("OR-") || word.starts_with("OB-");
    ids.extend(others.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').filter(is_id).map(str::to_owned));
    let mut expected: Vec<String> = ["a", "b", "c", "d", "e"].iter().map(|letter| format!("OR-00{letter}")).collect();
    for (prefix, last) in LAST {
        expected.extend((1..=last).map(|number| format!("{prefix}-{number:02}")));
    }
    ids.sort();
    expected.sort();
    assert_eq!(ids, expected, "each id once, in the table or in the list behind it");
}

#[test]
fn every_row_of_asvs_has_its_proof_or_says_what_is_missing() {
    let mut counts: BTreeMap<u8, usize> = BTreeMap::new();
    for id in check("manager/ASVS.md", &["done", "part", "open", "n/a"], true) {
        let chapter = id.trim_start_matches('V').split('.').next().unwrap().parse().unwrap();
        *counts.entry(chapter).or_default() += 1;
    }
    assert_eq!(counts, ASVS.into_iter().collect());
}
