//! Extreme numbers through every numeric field of every form, list and body of the API.

use std::collections::BTreeMap;

use axum::http::Method;
use manager::{admin::AdminRole, role::Role, token::Scope};
use serde_json::{Value, json};

use crate::{
    browser::Browser,
    forms::{self, Field, Form},
    live, manage,
    session::Desk,
    system,
    testing::on_both,
};

/// Numbers at and beyond the edges of every type, and what only looks like a number.
const NUMBERS: [&str; 16] = [
    "-1",
    "0",
    "2147483648",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "99999999999999999999999999999999",
    "1e308",
    "NaN",
    "1.5",
    "0x10",
    "٣",
    "１２",
    "+5",
    " 7",
    "",
];
/// The same for days and times.
const MOMENTS: [&str; 12] = [
    "0000-01-01",
    "-9999-01-01",
    "9999-12-31",
    "275760-09-13",
    "2026-02-30",
    "0000-01-01T00:00",
    "-009999-01-01T00:00",
    "9999-12-31T23:59",
    "999999-12-31T23:59",
    "2026-09-21T24:00",
    "24:00",
    "-1:00",
];

/// Forms that end the login itself, or lock the door, for oneself or for everybody.
fn is_door(form: &Form) -> bool {
    let doors = ["/logout", "/login", "password", "factor", "recovery", "/language", "/account/logins", "/system/halt"];
    doors.iter().any(|door| form.action.contains(door))
}

/// The fields of a form that are numbers, days or times, by their kind or by what stands in them.
fn is_number(field: &Field) -> bool {
    ["number", "date", "datetime-local", "time", "month"].contains(&field.kind.as_str())
        || field.name == "version"
        || (!field.value.is_empty() && field.value.len() < 20 && field.value.bytes().all(|byte| byte.is_ascii_digit()))
}

async fn count_up(browser: &Browser<'_>, first: &str) -> usize {
    let mut tried = 0;
    let pages = forms::walk(browser, first).await;
    for form in forms::forms(&pages).iter().filter(|form| !is_door(form)) {
        for (at, field) in form.fields.iter().enumerate().filter(|(_, field)| is_number(field)) {
            for extreme in NUMBERS.iter().chain(&MOMENTS) {
                tried += 1;
                let value = |other: &Field| {
                    if other == &form.fields[at] { (*extreme).to_owned() } else { other.plausible(tried) }
                };
                let seen = form.send(browser, value).await;
                let what = format!("{} {} = {extreme:?} gave {}", form.action, field.name, seen.status);
                assert!(!seen.status.is_server_error(), "{what} {}", seen.text);
            }
        }
    }
    // What lists read from their addresses.
    for list in pages.keys().filter(|address| pages[*address].contains("class=\"filters\"")) {
        for name in ["size", "after", "before", "past", "minutes", "from", "to", "sort", "unit", "page"] {
            for extreme in NUMBERS.iter().chain(&MOMENTS) {
                let query = serde_html_form::to_string([(name, extreme)]).unwrap();
                let seen = browser.get(&format!("{}?{query}", list.split('?').next().unwrap())).await;
                assert!(!seen.status.is_server_error(), "{list} {name} = {extreme:?} {}", seen.status);
                tried += 1;
            }
        }
    }
    tried
}

/// Bodies in which one number is another.
fn with_extremes(body: &Value) -> Vec<Value> {
    let numbers: [Value; 9] = [
        json!(-1),
        json!(0),
        json!(i64::MAX),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(1.5),
        json!(1e308),
        json!("7"),
        Value::Null,
    ];
    match body {
        Value::Number(_) => numbers.to_vec(),
        Value::Object(fields) => {
            let changed = |(name, value): (&String, &Value)| {
                let name = name.clone();
                with_extremes(value).into_iter().map(move |value| (name.clone(), value)).collect::<Vec<_>>()
            };
            let with = |(name, value): (String, Value)| {
                let mut body = body.clone();
                body[name] = value;
                body
            };
            fields.iter().flat_map(changed).map(with).collect()
        }
        Value::Array(values) => values.iter().flat_map(with_extremes).map(|value| json!([value])).collect(),
        Value::Null | Value::Bool(_) | Value::String(_) => Vec::new(),
    }
}

#[tokio::test]
async fn extreme_numbers_are_refused_or_taken_and_never_a_mistake_of_ours() {
    on_both(|db| async move {
        let desk = Desk::open(db).await;
        let manager = &desk.manager;
        let (owner_id, owner) = live::browser(&desk, "owner", Role::CompanyAdmin).await;
        let ids = manage::things(&desk).await;
        let token = manage::token(manager, owner_id, &Scope::ALL).await;
        let root = system::logged_in(manager, "root", AdminRole::Operations).await;
        assert!(200 < count_up(&owner, "/").await);
        assert!(200 < count_up(&root, "/system").await);

        let mut tried = 0;
        let document = serde_json::to_value(manager::router::openapi()).unwrap();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let Some(schema) = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str()
                else {
                    continue;
                };
                let body = &document["components"]["schemas"][schema.rsplit('/').next().unwrap()]["example"];
                let bearer = match path {
                    path if path.starts_with("/v1/manage/") => &token,
                    path if path.starts_with("/v1/relay/") => &desk.relay,
                    _ => &desk.operator.token,
                };
                let filled = filled(path, &ids);
                for body in with_extremes(body) {
                    let method: Method = method.to_uppercase().parse().unwrap();
                    let body = axum::body::Body::from(body.to_string());
                    let answer = manager.send(method, &filled, Some(bearer), "192.0.2.1", body).await;
                    assert!(!answer.status.is_server_error(), "{filled} {} {:?}", answer.status, answer.body);
                    tried += 1;
                }
            }
        }
        assert!(20 < tried, "{tried}");
    })
    .await;
}

fn filled(path: &str, ids: &BTreeMap<&str, String>) -> String {
    let piece = |piece: &str| match piece.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        Some(name) => ids.get(name).cloned().unwrap_or_else(|| "0".repeat(32)),
        None => piece.to_owned(),
    };
    path.split('/').map(piece).collect::<Vec<_>>().join("/")
}
