//! Makes the words of the site from `text/{ja,en}/*.toml`, and cargo look again when a migration is added.
//!
//! A file is a section, a key a sentence. A sentence with places (`{name}`) becomes a function of them, in the order of
//! the alphabet; one without becomes a field. A key, or a place of a key, that one language has and the other has not
//! ends the build with its name.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    fmt::Write as _,
    fs,
    path::Path,
};

/// The languages, the one whose sentences are the measure first.
const LANGUAGES: [&str; 2] = ["ja", "en"];

/// Keys in a line of the code that looks them up, so that a long section is no long function.
const KEYS_IN_LINE: usize = 8;

type Section = BTreeMap<String, String>;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=migrations");
    println!("cargo:rerun-if-changed=templates");
    println!("cargo:rerun-if-changed=text");
    let [ja, en] = LANGUAGES.map(read);
    let (ja, en) = (ja?, en?);
    compare(&ja, &en)?;
    let mut code = String::new();
    for (name, section) in &ja {
        write_section(&mut code, name, section)?;
    }
    write_words(&mut code, &ja)?;
    for (language, sections) in [("JA", &ja), ("EN", &en)] {
        write_language(&mut code, language, sections)?;
    }
    let out = std::env::var_os("OUT_DIR").ok_or("cargo names no folder")?;
    fs::write(Path::new(&out).join("words.rs"), code)?;
    Ok(())
}

/// Every section of a language.
fn read(language: &str) -> Result<BTreeMap<String, Section>, Box<dyn Error>> {
    let mut sections = BTreeMap::new();
    let folder = Path::new("text").join(language);
    for file in fs::read_dir(&folder)? {
        let file = file?.path();
        let name = file.file_stem().and_then(|name| name.to_str()).ok_or("a file of text has no name")?.to_owned();
        let section =
            toml::from_str(&fs::read_to_string(&file)?).map_err(|error| format!("{}: {error}", file.display()))?;
        sections.insert(name, section);
    }
    Ok(sections)
}

/// Both languages have the same sections, keys and places.
fn compare(ja: &BTreeMap<String, Section>, en: &BTreeMap<String, Section>) -> Result<(), String> {
    let keys = |sections: &BTreeMap<String, Section>| -> BTreeSet<(String, String, Vec<String>)> {
        let key = |name: &str, (key, text): (&String, &String)| (name.to_owned(), key.clone(), places(text));
        sections
            .iter()
            .flat_map(|(name, section)| section.iter().map(|entry| key(name, entry)).collect::<Vec<_>>())
            .collect()
    };
    let (ja, en) = (keys(ja), keys(en));
    match ja.symmetric_difference(&en).next() {
        None => Ok(()),
        Some((section, key, places)) => {
            Err(format!("text/*/{section}.toml: `{key}` with the places {places:?} is not in both languages"))
        }
    }
}

/// The names between braces, each once.
fn places(text: &str) -> Vec<String> {
    let names = text.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name.to_owned());
    names.collect::<BTreeSet<_>>().into_iter().collect()
}

/// `login_page` is `LoginPage`.
fn type_name(section: &str) -> String {
    let capital = |word: &str| {
        word.chars().next().map(|first| first.to_uppercase().to_string() + &word.chars().skip(1).collect::<String>())
    };
    section.split('_').filter_map(capital).collect()
}

fn write_section(code: &mut String, name: &str, section: &Section) -> Result<(), std::fmt::Error> {
    let type_name = type_name(name);
    writeln!(code, "/// The sentences of `text/*/{name}.toml`.\n#[derive(Debug)]\npub struct {type_name} {{")?;
    for (key, ja) in section {
        let (field, visible) = if places(ja).is_empty() { (key.clone(), "pub ") } else { (format!("{key}_text"), "") };
        writeln!(code, "    /// In Japanese: {ja:?}.\n    {visible}{field}: &'static str,")?;
    }
    writeln!(code, "}}\n\nimpl {type_name} {{")?;
    for (key, ja) in section.iter().filter(|(_, ja)| !places(ja).is_empty()) {
        let places = places(ja);
        let (mut arguments, mut values) = (String::new(), String::new());
        for place in &places {
            write!(arguments, ", {place}: impl Display")?;
            write!(values, "({place:?}, &{place}), ")?;
        }
        writeln!(code, "    /// In Japanese: {ja:?}.\n    pub fn {key}(&self{arguments}) -> String {{")?;
        writeln!(code, "        fill(self.{key}_text, &[{values}])\n    }}")?;
    }
    writeln!(
        code,
        "    /// The sentence of a key that comes from the database; `None` when there is none, or it has places."
    )?;
    writeln!(code, "    pub fn get(&self, key: &str) -> Option<&'static str> {{\n        match key {{")?;
    let plain: Vec<&String> = section.iter().filter(|(_, ja)| places(ja).is_empty()).map(|(key, _)| key).collect();
    for keys in plain.chunks(KEYS_IN_LINE) {
        let arms: Vec<String> = keys.iter().map(|key| format!("{key:?} => Some(self.{key}),")).collect();
        writeln!(code, "            {}", arms.join(" "))?;
    }
    writeln!(code, "            _ => None,\n        }}\n    }}\n}}\n")
}

fn write_words(code: &mut String, sections: &BTreeMap<String, Section>) -> Result<(), std::fmt::Error> {
    writeln!(code, "/// Every sentence of one language.\n#[derive(Debug)]\npub struct Words {{")?;
    for name in sections.keys() {
        writeln!(code, "    /// `text/*/{name}.toml`.\n    pub {name}: {},", type_name(name))?;
    }
    writeln!(code, "}}\n")
}

fn write_language(
    code: &mut String,
    language: &str,
    sections: &BTreeMap<String, Section>,
) -> Result<(), std::fmt::Error> {
    writeln!(code, "static {language}: Words = Words {{")?;
    for (name, section) in sections {
        writeln!(code, "    {name}: {} {{", type_name(name))?;
        for (key, text) in section {
            let suffix = if places(text).is_empty() { "" } else { "_text" };
            writeln!(code, "        {key}{suffix}: {text:?},")?;
        }
        writeln!(code, "    }},")?;
    }
    writeln!(code, "}};\n")
}
