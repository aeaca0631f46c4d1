//! The detail of an event as people read it: what each thing is called, before and after, in the language of the page.
//!
//! The chain and the files keep it as it is. What only a program can use, ids and hashes, is left out here.

use jiff::{Timestamp, tz::TimeZone};
use serde_json::Value;

use super::change::{Change, Field};
use crate::{
    admin::store::COMMAND_LINE_REASON,
    list::Params,
    role::{Permissions, Reach, Role},
    settings,
    site::{Words, frame::role_name, time},
    token::Scope,
};

/// Characters of a value that are shown; the page of the thing itself has all of it.
const VALUE_LEN_MAX: usize = 300;

/// One thing of a detail.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// What it is called.
    pub name: String,
    /// Its value before; empty when there was none.
    pub old: String,
    /// Its value.
    pub new: String,
    /// Where it leads.
    pub link: Option<String>,
}

/// The values of a change, when they are known, and the detail of its event.
pub fn detail(detail: &str, change: Option<&Change>, words: &'static Words, zone: &TimeZone) -> Vec<Told> {
    let Ok(Value::Object(fields)) = serde_json::from_str(detail) else { return Vec::new() };
    let shown = fields.iter().filter(|(name, value)| {
        let told_already = name.as_str() == "fields" && change.is_some();
        !told_already && !is_dull(name) && !is_nothing(name, value)
    });
    let about = fields.get("subject").and_then(Value::as_str).unwrap_or_default();
    let of_change = change.into_iter().flat_map(|change| &change.fields).map(|changed| {
        match settings::field(about, &changed.name, words) {
            Some((label, shown)) => {
                let value = |text: &str| cut(&shown(words, &changed.name, text));
                Told { name: label.to_owned(), old: value(&changed.old), new: value(&changed.new), link: None }
            }
            None => field(changed, words),
        }
    });
    let of_event = shown.map(|(name, value)| Told {
        name: name_of(name, words),
        new: match (name.as_str(), value) {
            ("fields", Value::Array(keys)) => {
                let one = |key: &str| {
                    settings::field(about, key, words)
                        .map_or_else(|| name_of(key, words), |(label, _)| label.to_owned())
                };
                keys.iter().filter_map(Value::as_str).map(one).collect::<Vec<_>>().join(words.values.separator)
            }
            (_, value) => text(name, value, words, zone),
        },
        ..Told::default()
    });
    of_change.chain(of_event).collect()
}

/// A field of a change.
pub fn field(field: &Field, words: &'static Words) -> Told {
    let value = |text: &str| value_of(&field.name, text, words);
    Told { name: name_of(&field.name, words), old: value(&field.old), new: value(&field.new), link: None }
}

/// The detail of an event in one line.
pub fn line(text: &str, words: &'static Words, zone: &TimeZone) -> String {
    let told = detail(text, None, words, zone);
    told.into_iter().map(|told| format!("{}: {}", told.name, told.new)).collect::<Vec<_>>().join(" · ")
}

/// What an event is about, as `operator:…`.
pub fn subject(detail: &str) -> Option<String> {
    let detail: Value = serde_json::from_str(detail).ok()?;
    let text = |name: &str| detail.get(name).and_then(Value::as_str);
    text("subject").map(str::to_owned).or_else(|| text("operator_id").map(|id| format!("operator:{id}")))
}

/// The change that an event names.
pub fn change_id(detail: &str) -> Option<String> {
    let detail: Value = serde_json::from_str(detail).ok()?;
    detail.get("change_id")?.as_str().map(str::to_owned)
}

/// What leads nowhere for who reads.
fn is_dull(name: &str) -> bool {
    name.ends_with("_id") || name.ends_with("sha256") || matches!(name, "subject" | "about" | "hash" | "before")
}

/// What says nothing.
fn is_nothing(name: &str, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Number(number) => name == "unproved_count" && number.as_i64() == Some(0),
        Value::Bool(_) | Value::Object(_) => false,
    }
}

/// What a field is called; its own name when it has no other.
fn name_of(name: &str, words: &'static Words) -> String {
    words.details.get(name).unwrap_or(name).to_owned()
}

fn text(name: &str, value: &Value, words: &'static Words, zone: &TimeZone) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(yes) => if *yes { words.values.yes } else { words.values.no }.to_owned(),
        Value::Number(number) => match number.as_i64() {
            Some(millis) if name == "duration_ms" => time::duration(millis),
            Some(at) if name.ends_with("_ms") => time::seconds(at, zone),
            Some(_) | None => number.to_string(),
        },
        Value::String(text) => moment(name, text, zone).unwrap_or_else(|| value_of(name, text, words)),
        Value::Array(values) if name == "relays" => values.len().to_string(),
        Value::Array(values) => {
            let texts: Vec<String> =
                values.iter().filter_map(Value::as_str).map(|text| value_of(name, text, words)).collect();
            texts.join(words.values.separator)
        }
        Value::Object(_) => cut(&value.to_string()),
    }
}

/// A time that is kept as text.
fn moment(name: &str, text: &str, zone: &TimeZone) -> Option<String> {
    let is_time = matches!(name, "starts" | "ends" | "announced_end" | "finished" | "detected" | "due" | "contained")
        || name.starts_with("service_stopped");
    let at: Timestamp = is_time.then(|| text.parse().ok())??;
    Some(time::seconds(at.as_millisecond(), zone))
}

/// A value by the name of its field; as it is when it has no other name.
fn value_of(name: &str, text: &str, words: &'static Words) -> String {
    match name {
        "permissions" => {
            let names: Vec<&str> = Permissions::from(text).iter().map(|permission| permission.name(words)).collect();
            names.join(words.values.separator)
        }
        "events" => {
            let name = |event: &str| words.events.get(&event.replace('.', "_")).unwrap_or(event).to_owned();
            text.split_whitespace().map(name).collect::<Vec<_>>().join(words.values.separator)
        }
        "filter" => {
            let params = Params::parse(text.trim_start_matches('?'));
            let shown = params
                .pairs()
                .map(|(key, value)| format!("{}={}", name_of(key, words), known(key, value, words).unwrap_or(value)));
            cut(&shown.collect::<Vec<_>>().join(words.values.separator))
        }
        _ => cut(known(name, text, words).unwrap_or(text)),
    }
}

/// The word for a value.
fn known(name: &str, text: &str, words: &'static Words) -> Option<&'static str> {
    match name {
        "role" => match text.parse::<Role>() {
            Ok(role) => Some(role_name(role, words)),
            Err(_other) => words.system.get(&format!("role_{text}")),
        },
        "scopes" => text.parse::<Scope>().ok().map(|scope| scope.name(words)),
        "reach" => text.parse::<Reach>().ok().map(|reach| reach.name(words)),
        "reason" if text == COMMAND_LINE_REASON => Some(words.audit.reason_command_line),
        "reason" => words.ends.get(text),
        "region" => words.companies.get(&format!("region_{text}")),
        "services" => words.maintenance.get(text),
        "list" => words.values.get(&format!("list_{}", text.rsplit('/').next().unwrap_or_default())),
        "result" => words.values.get(&format!("result_{text}")).or_else(|| words.cases.get(&format!("result_{text}"))),
        _ => words.values.get(&format!("{name}_{text}")),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(VALUE_LEN_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::Lang;

    fn told(text: &str, lang: Lang) -> String {
        line(text, Words::of(lang), &time::zone(time::TOKYO))
    }

    #[test]
    fn a_detail_is_told_in_the_language_of_the_page_without_ids() {
        let ended =
            r#"{"reason":"operator_ended","duration_ms":65000,"connected_at_ms":1798642800000,"session_id":"0a"}"#;
        assert_eq!(told(ended, Lang::Ja), "接続: 2026/12/31 00:00:00 · 時間: 1:05 · 理由: 正常（オペレーターが終了）");
        let failed = r#"{"result":"wrong_code","door":"site"}"#;
        assert_eq!(told(failed, Lang::En), "Door: Management site · Result: Wrong code of the second factor");
        let exported = r#"{"list":"operators","filter":"?q=%E5%B1%B1&role=viewer"}"#;
        assert_eq!(told(exported, Lang::Ja), "条件: 検索=山、役割=閲覧者 · 一覧: オペレーター");
        assert_eq!(
            told(r#"{"of_the_future":["a","b"],"empty":null,"unproved_count":0}"#, Lang::Ja),
            "of_the_future: a、b"
        );
        assert_eq!(
            told(r#"{"events":"reception.issued session.ended","why":"410"}"#, Lang::En),
            "Events: Number issued, Session ended · Why: It answered 410, so no more calls"
        );
        let made = r#"{"token_id":"1","name":"CRM","scopes":["accounts.read"],"networks":[],"days":90}"#;
        assert_eq!(
            told(made, Lang::Ja),
            "有効な日数: 90 · 名前: CRM · できること: アカウント・組織・グループ・役割を見る"
        );
        let seen = r#"{"detected":"2026-11-27T10:44:00+09:00"}"#;
        assert_eq!(told(seen, Lang::En), "Detected: 2026/11/27 10:44:00");
        let finished = r#"{"maintenance_id":"1","finished":"2026-11-27T10:44:00+09:00"}"#;
        assert_eq!(told(finished, Lang::Ja), "作業の終了: 2026/11/27 10:44:00");
        assert_eq!(told("broken", Lang::Ja), "");
    }

    #[test]
    fn a_change_is_told_by_its_values_or_by_its_fields() {
        let words = Words::of(Lang::Ja);
        let zone = time::zone(time::TOKYO);
        let event = r#"{"subject":"role:1","fields":["reach","permissions"],"change_id":"2","sha256":"3"}"#;
        let fields = [("reach", "company", "own"), ("permissions", "", "log.view api.edit")];
        let fields = fields.map(|(name, old, new)| Field { name: name.into(), old: old.into(), new: new.into() });
        let change = Change { at_ms: 0, actor: String::new(), fields: fields.into() };

        let values = detail(event, Some(&change), words, &zone);
        let values: Vec<_> =
            values.iter().map(|told| (told.name.as_str(), told.old.as_str(), told.new.as_str())).collect();
        assert_eq!(
            values,
            [
                ("見られる範囲", "会社全体", "自分のもの"),
                ("できること", "", "受付履歴とサポート履歴を見る、APIトークンと連携を設定する")
            ]
        );
        assert_eq!(line(event, words, &zone), "変更した項目: 見られる範囲、できること");
        assert_eq!(subject(event).as_deref(), Some("role:1"));
        assert_eq!(change_id(event).as_deref(), Some("2"));
    }

    #[test]
    fn a_change_of_settings_is_told_by_the_labels_of_its_page() {
        let (words, zone) = (Words::of(Lang::Ja), time::zone(time::TOKYO));
        let event = r#"{"subject":"settings:passwords","fields":["len_max","change_after_reset"],"change_id":"2"}"#;
        let fields = [("len_max", "20", "40"), ("change_after_reset", "on", "")];
        let fields = fields.map(|(name, old, new)| Field { name: name.into(), old: old.into(), new: new.into() });
        let change = Change { at_ms: 0, actor: String::new(), fields: fields.into() };
        let told = detail(event, Some(&change), words, &zone);
        let w = &words.rules_password;
        assert_eq!((told[0].name.as_str(), told[0].new.as_str()), (w.len_max, "40"));
        assert_eq!(
            (told[1].name.as_str(), told[1].old.as_str(), told[1].new.as_str()),
            (w.change_after_reset, words.settings.yes, words.settings.no)
        );
        assert_eq!(line(event, words, &zone), format!("変更した項目: {}、{}", w.len_max, w.change_after_reset));
    }

    #[test]
    fn a_long_value_is_cut_between_letters() {
        let long = format!(r#"{{"note":"{}"}}"#, "長".repeat(VALUE_LEN_MAX + 1));
        assert_eq!(told(&long, Lang::Ja), format!("メモ: {}…", "長".repeat(VALUE_LEN_MAX)));
    }
}
