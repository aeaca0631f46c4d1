//! The forms of the site as a browser has them: found by following the links of an account, filled in, sent.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use axum::http::StatusCode;

use crate::browser::{Browser, Seen};

/// Pages that a walk looks at; more of them say that it walks in a circle.
const PAGES_MAX: usize = 600;

/// A form of a page.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Form {
    /// Where it goes.
    pub(crate) action: String,
    pub(crate) is_post: bool,
    pub(crate) has_file: bool,
    pub(crate) fields: Vec<Field>,
}

/// What a form sends, as it stands on the page.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Field {
    pub(crate) name: String,
    /// `text`, `textarea`, `select`, `hidden`, `number` and so on.
    pub(crate) kind: String,
    pub(crate) value: String,
}

impl Form {
    /// Every form of a page.
    pub(crate) fn all(page: &str, html: &str) -> Vec<Self> {
        let forms = html.split("<form").skip(1).map(|rest| rest.split("</form>").next().unwrap());
        let form = |text: &str| {
            let head = text.split('>').next().unwrap();
            let action = attribute(head, "action").unwrap_or_else(|| page.to_owned());
            let is_post = attribute(head, "method").as_deref() == Some("post");
            let fields = fields(text);
            Self { has_file: fields.iter().any(|field| field.kind == "file"), action, is_post, fields }
        };
        forms.map(form).collect()
    }

    /// What tells it from others of its kind: the same form at another thing is no other form.
    pub(crate) fn shape(&self) -> String {
        let is_id = |piece: &str| piece.len() == 32 && piece.bytes().all(|byte| byte.is_ascii_hexdigit());
        let path = self.action.split('?').next().unwrap();
        let pieces: Vec<&str> = path.split('/').map(|piece| if is_id(piece) { "*" } else { piece }).collect();
        let names: BTreeSet<&str> = self.fields.iter().map(|field| field.name.as_str()).collect();
        format!("{} {names:?}", pieces.join("/"))
    }

    /// Sends it with other values for some fields.
    pub(crate) async fn send(&self, browser: &Browser<'_>, value: impl Fn(&Field) -> String) -> Seen {
        self.send_with(browser, value, &[]).await
    }

    /// The same, with fields that it does not have.
    pub(crate) async fn send_with(
        &self,
        browser: &Browser<'_>,
        value: impl Fn(&Field) -> String,
        more: &[(&str, &str)],
    ) -> Seen {
        let sent = self.fields.iter().filter(|field| field.name != "csrf" && field.kind != "file");
        let values: Vec<(&str, String)> = sent.map(|field| (field.name.as_str(), value(field))).collect();
        let more = more.iter().filter(|(name, _)| self.fields.iter().all(|field| field.name != *name)).copied();
        let pairs: Vec<(&str, &str)> = values.iter().map(|(name, value)| (*name, value.as_str())).chain(more).collect();
        if self.has_file {
            browser.upload(&self.action, &pairs, b"\xEF\xBB\xBFID,x\r\n").await
        } else if self.is_post {
            browser.post(&self.action, &pairs).await
        } else {
            let query = serde_html_form::to_string(&pairs).unwrap();
            browser.get(&format!("{}?{query}", self.action)).await
        }
    }
}

impl Field {
    /// Something that the field is for, so that the rest of its form is looked at, too. `n` makes what must be unique so.
    pub(crate) fn plausible(&self, n: usize) -> String {
        if !self.value.is_empty() {
            return self.value.clone();
        }
        match (self.kind.as_str(), self.name.as_str()) {
            ("email", _) => "a@example.jp".to_owned(),
            ("url", _) => format!("https://hook{n}.example.jp/x"),
            ("number", _) => "1".to_owned(),
            ("date", _) => "2026-10-01".to_owned(),
            ("datetime-local", _) => "2026-09-21T09:00".to_owned(),
            ("time", _) => "09:00".to_owned(),
            (_, "networks") | ("hidden" | "select", _) => String::new(),
            (_, name) if name.contains("user") || name.contains("code") => format!("x{n}"),
            _ => format!("値{n}"),
        }
    }

    /// Whether people type text into it.
    pub(crate) fn is_text(&self) -> bool {
        ["text", "textarea", "search", "email", "url"].contains(&self.kind.as_str())
    }
}

/// Every page that links lead to from a first one, under its address, with what it says.
pub(crate) async fn walk(browser: &Browser<'_>, first: &str) -> BTreeMap<String, String> {
    let mut pages = BTreeMap::new();
    let mut seen = BTreeSet::from([first.to_owned()]);
    let mut next = VecDeque::from([first.to_owned()]);
    while let Some(address) = next.pop_front() {
        let page = browser.get(&address).await;
        assert!(page.status == StatusCode::OK, "{address} {} {}", page.status, page.text);
        for link in page.text.split("href=\"").skip(1).map(|rest| unescaped(rest.split('"').next().unwrap())) {
            let path = link.split(['?', '#']).next().unwrap();
            let is_here = link.starts_with('/')
                && (link == "/system" || link.starts_with("/system/")) == first.starts_with("/system");
            let is_page = !["/static/", "/manual", "/v1/", "/live/changes"].iter().any(|begin| link.starts_with(begin))
                && !path.ends_with("/file")
                && !path.ends_with("/template")
                && !path.ends_with("/mistakes");
            // One look at a list is enough, whatever its order, filter and length.
            if is_here && is_page && seen.insert(path.to_owned()) {
                next.push_back(link.split('#').next().unwrap().to_owned());
            }
        }
        pages.insert(address, page.text);
        assert!(pages.len() < PAGES_MAX, "{:?}", pages.keys());
    }
    pages
}

/// One form of each shape.
pub(crate) fn forms(pages: &BTreeMap<String, String>) -> Vec<Form> {
    let all = pages.iter().flat_map(|(address, html)| Form::all(address, html));
    let by_shape: BTreeMap<String, Form> = all.map(|form| (form.shape(), form)).collect();
    by_shape.into_values().collect()
}

fn fields(form: &str) -> Vec<Field> {
    let mut fields: Vec<Field> = Vec::new();
    let mut chosen = BTreeSet::new();
    for rest in form.split('<').skip(1) {
        let tag = rest.split('>').next().unwrap();
        let inside = rest.split_once('>').map_or("", |(_, inside)| inside);
        let Some(word) = tag.split_whitespace().next() else { continue };
        let name = attribute(tag, "name");
        let value = attribute(tag, "value").unwrap_or_default();
        match (word, name) {
            ("input", Some(name)) => {
                let kind = attribute(tag, "type").unwrap_or_else(|| "text".to_owned());
                let is_choice = kind == "checkbox" || kind == "radio";
                // The first of a set stands in for the others until one that is chosen comes.
                if is_choice && !tag.contains(" checked") && !chosen.insert(name.clone()) {
                    continue;
                }
                if is_choice && tag.contains(" checked") {
                    fields.retain(|field| field.name != name || field.kind != kind);
                    chosen.insert(name.clone());
                }
                fields.push(Field { name, kind, value });
            }
            ("select", Some(name)) => fields.push(Field { name, kind: "select".to_owned(), value }),
            ("option", None) => {
                let is_first = rest_is_first(&fields);
                if let Some(field) = fields.last_mut()
                    && field.kind == "select"
                    && (is_first || tag.contains(" selected"))
                {
                    field.value = value;
                }
            }
            ("textarea", Some(name)) => {
                fields.push(Field { name, kind: "textarea".to_owned(), value: unescaped(inside) });
            }
            ("button", Some(name)) if fields.iter().all(|field| field.name != name) => {
                fields.push(Field { name, kind: "button".to_owned(), value });
            }
            _ => {}
        }
    }
    fields
}

/// Whether the list that was begun last has no value yet.
fn rest_is_first(fields: &[Field]) -> bool {
    fields.last().is_some_and(|field| field.kind == "select" && field.value.is_empty())
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    Some(unescaped(rest.split('"').next()?))
}

/// What a browser reads.
pub(crate) fn unescaped(text: &str) -> String {
    let mut text = text.to_owned();
    for (written, c) in
        [("&#34;", "\""), ("&#39;", "'"), ("&#60;", "<"), ("&#62;", ">"), ("&amp;", "&"), ("&#38;", "&")]
    {
        text = text.replace(written, c);
    }
    text
}
