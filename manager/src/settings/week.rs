//! The fields of a week: for each day whether it is open, from when, and until when.

use super::{
    fields::{Fields, Reader},
    page::SheetForm,
};
use crate::{
    company::policy::{Hours, Week},
    site::Words,
};

/// The fields of the days from Monday on.
const KEYS: [(&str, &str, &str); 7] = [
    ("open_0", "from_0", "to_0"),
    ("open_1", "from_1", "to_1"),
    ("open_2", "from_2", "to_2"),
    ("open_3", "from_3", "to_3"),
    ("open_4", "from_4", "to_4"),
    ("open_5", "from_5", "to_5"),
    ("open_6", "from_6", "to_6"),
];
/// What stands in the form of a company that has no hours yet.
const USUAL: Hours = Hours { from: 9 * 60, to: 18 * 60 };

/// A day in the form.
pub(super) struct Row {
    pub(super) open: &'static str,
    pub(super) from: &'static str,
    pub(super) to: &'static str,
    pub(super) name: &'static str,
    pub(super) is_open: bool,
    pub(super) from_value: String,
    pub(super) to_value: String,
}

/// Adds the days to a form.
pub(super) fn fill(fields: Fields, week: &Week) -> Fields {
    let mut fields = fields.with_check("limit_hours", !week.0.is_empty());
    if week.0.is_empty() {
        return fields;
    }
    for (day, (open, from, to)) in KEYS.into_iter().enumerate() {
        if let Some(hours) = week.hours(day) {
            fields = fields.with_check(open, true).with(from, clock(hours.from)).with(to, clock(hours.to));
        }
    }
    fields
}

/// Reads the days.
pub(super) fn read(reader: &mut Reader<'_>) -> Week {
    if !reader.fields.is_on("limit_hours") {
        return Week::default();
    }
    let mut days = Vec::with_capacity(KEYS.len());
    for (open, from, to) in KEYS {
        if !reader.fields.is_on(open) {
            days.push(None);
            continue;
        }
        let minutes = [from, to].map(|key| minute(reader.fields.text(key)));
        if let [Some(from), Some(to)] = minutes {
            days.push(Some(Hours { from, to }));
        } else {
            reader.wrong("limit_hours", reader.words.rules_login.clock_wrong);
            days.push(None);
        }
    }
    if days.iter().all(Option::is_none) {
        reader.wrong("limit_hours", reader.words.rules_login.never_open);
    }
    Week(days)
}

/// The days as the form shows them.
pub(super) fn rows(form: &SheetForm, words: &'static Words) -> Vec<Row> {
    let w = &words.rules_login;
    let names = [w.monday, w.tuesday, w.wednesday, w.thursday, w.friday, w.saturday, w.sunday];
    let is_new = !form.is_on("limit_hours");
    let value = |key: &str, usual: i64| {
        if form.text(key).is_empty() { clock(usual) } else { form.text(key).to_owned() }
    };
    KEYS.into_iter()
        .zip(names)
        .enumerate()
        .map(|(day, ((open, from, to), name))| Row {
            open,
            from,
            to,
            name,
            // A company that begins with it works from Monday to Friday.
            is_open: form.is_on(open) || (is_new && day < 5),
            from_value: value(from, USUAL.from),
            to_value: value(to, USUAL.to),
        })
        .collect()
}

/// `09:05`.
fn clock(minute: i64) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

/// Minutes since midnight of `9:05`; 24:00 is the midnight at the end.
fn minute(text: &str) -> Option<i64> {
    let (hours, minutes) = text.trim().split_once(':')?;
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    let is_clock = (0..24).contains(&hours) && (0..60).contains(&minutes);
    match (hours, minutes) {
        (24, 0) => Some(0),
        _ if is_clock => Some(hours * 60 + minutes),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_read_as_it_is_written() {
        for minute_of_day in [0, 5, 540, 1439] {
            assert_eq!(minute(&clock(minute_of_day)), Some(minute_of_day));
        }
        assert_eq!(minute("24:00"), Some(0));
        for bad in ["", "9", "24:01", "-1:00", "09:60", "x:00"] {
            assert_eq!(minute(bad), None, "{bad}");
        }
    }
}
