//! What was typed into the forms of contracts, as values, and what is wrong with it.

use jiff::{Timestamp, civil::Date};
use proto::api::UnixMillis;
use serde::Deserialize;

use super::{edit::Values, list::Row, partner};
use crate::{
    admin::Reason,
    company::{CompanyCode, ShownName, is_shown},
    db::{DbResult, Tx},
    operator::UserId,
    relays::region::Region,
    site::{Words, time},
};

/// The most seats that can be typed.
const SEATS_MAX: i64 = 1_000_000;
/// The longest contact and note, in characters.
const NOTE_LEN_MAX: usize = 200;

/// What was typed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Filled {
    pub(super) code: String,
    pub(super) name: String,
    pub(super) seats: String,
    pub(super) begins: String,
    pub(super) ends: String,
    pub(super) region: String,
    pub(super) partner: String,
    pub(super) contact: String,
    pub(super) note: String,
    /// The administrator that the company gets.
    pub(super) user: String,
    pub(super) admin_name: String,
    pub(super) reason: String,
    pub(super) version: i64,
}

/// What is wrong with it, by field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Mistakes {
    pub(super) code: Option<&'static str>,
    pub(super) name: Option<&'static str>,
    pub(super) seats: Option<&'static str>,
    pub(super) begins: Option<&'static str>,
    pub(super) ends: Option<&'static str>,
    pub(super) region: Option<&'static str>,
    pub(super) partner: Option<&'static str>,
    pub(super) contact: Option<&'static str>,
    pub(super) note: Option<&'static str>,
    pub(super) user: Option<&'static str>,
    pub(super) admin_name: Option<&'static str>,
    pub(super) reason: Option<&'static str>,
    /// What is wrong with no field.
    pub(super) all: Option<&'static str>,
}

impl Mistakes {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Filled {
    /// What a contract has, for its form.
    pub(super) fn of(row: &Row) -> Self {
        let day = |at: Option<i64>| at.map(machine_day).unwrap_or_default();
        Self {
            code: row.code.clone(),
            name: row.name.clone(),
            seats: row.seats.map(|seats| seats.to_string()).unwrap_or_default(),
            begins: day(row.contract_begins_at_ms),
            ends: day(row.contract_ends_at_ms.map(|ends| ends.saturating_sub(1))),
            region: row.region.clone(),
            partner: row.partner_id.clone().unwrap_or_default(),
            contact: row.contact.clone(),
            note: row.note.clone(),
            version: row.version,
            ..Self::default()
        }
    }

    /// The values, if nothing is wrong with them.
    pub(super) async fn values(
        &self,
        tx: &mut Tx,
        words: &'static Words,
        mistakes: &mut Mistakes,
    ) -> DbResult<Option<Values>> {
        let w = &words.companies;
        let name = read(self.name.trim().parse::<ShownName>().ok(), &mut mistakes.name, words.operators.name_wrong);
        let seats = match self.seats.trim() {
            "" => Some(None),
            text => text.parse::<i64>().ok().filter(|seats| (1..=SEATS_MAX).contains(seats)).map(Some),
        };
        let seats = read(seats, &mut mistakes.seats, w.seats_wrong);
        let begins = read(date(&self.begins, false), &mut mistakes.begins, w.date_wrong);
        let ends = read(date(&self.ends, true), &mut mistakes.ends, w.date_wrong);
        if let (Some(Some(begins)), Some(Some(ends))) = (begins, ends)
            && ends <= begins
        {
            mistakes.ends = Some(w.dates_wrong);
        }
        let region = if self.region.is_empty() { Some(None) } else { self.region.parse().ok().map(Some) };
        let region: Option<Option<Region>> = read(region, &mut mistakes.region, w.region_wrong);
        let partner = match self.partner.as_str() {
            "" => Some(None),
            id => partner::find(tx, id).await?.map(|partner| Some((partner.id, partner.name))),
        };
        let partner = read(partner, &mut mistakes.partner, w.partner_wrong);
        let contact = read(note(&self.contact), &mut mistakes.contact, w.note_wrong);
        let note = read(note(&self.note), &mut mistakes.note, w.note_wrong);
        Ok((|| {
            Some(Values {
                name: name?,
                seats: seats?,
                begins_at_ms: begins?,
                ends_at_ms: ends?,
                region: region?,
                partner: partner?,
                contact: contact?,
                note: note?,
            })
        })())
    }

    pub(super) fn code(&self, words: &'static Words, mistakes: &mut Mistakes) -> Option<CompanyCode> {
        read(CompanyCode::fold(&self.code).parse().ok(), &mut mistakes.code, words.companies.code_wrong)
    }

    pub(super) fn reason(&self, words: &'static Words, mistakes: &mut Mistakes) -> Option<Reason> {
        read(self.reason.parse().ok(), &mut mistakes.reason, words.system.reason_wrong)
    }

    pub(super) fn admin(&self, words: &'static Words, mistakes: &mut Mistakes) -> Option<(UserId, ShownName)> {
        let user = read(self.user.trim().parse().ok(), &mut mistakes.user, words.operators.user_wrong);
        let name = read(self.admin_name.trim().parse().ok(), &mut mistakes.admin_name, words.operators.name_wrong);
        Some((user?, name?))
    }
}

/// Notes a mistake when there is no value.
fn read<T>(value: Option<T>, mistake: &mut Option<&'static str>, sentence: &'static str) -> Option<T> {
    if value.is_none() {
        *mistake = Some(sentence);
    }
    value
}

/// A day as the moment it begins, or the one behind its last; an empty text is none.
#[expect(clippy::option_option, reason = "outside: whether it can be read; inside: whether there is one")]
fn date(text: &str, end: bool) -> Option<Option<UnixMillis>> {
    if text.trim().is_empty() {
        return Some(None);
    }
    let date: Date = text.trim().parse().ok()?;
    let date = if end { date.tomorrow().ok()? } else { date };
    let begin = date.to_zoned(time::zone(time::TOKYO)).ok()?;
    Some(Some(Timestamp::from(begin).as_millisecond()))
}

/// `2026-04-01`, as the field of a date wants it.
fn machine_day(at: UnixMillis) -> String {
    time::day(at, &time::zone(time::TOKYO)).replace('/', "-")
}

fn note(text: &str) -> Option<String> {
    let text = text.trim();
    (text.chars().count() <= NOTE_LEN_MAX && text.chars().all(is_shown)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contract_ends_with_its_last_day_in_japan() {
        // 2026-12-30T15:00:00Z
        assert_eq!(date("2026-12-31", false), Some(Some(1_798_642_800_000)));
        assert_eq!(date("2026-12-31", true), Some(Some(1_798_642_800_000 + 24 * 60 * 60 * 1000)));
        assert_eq!(date(" ", true), Some(None));
        for bad in ["2026-13-01", "tomorrow", "2026/12/31", "-1"] {
            assert_eq!(date(bad, false), None, "{bad}");
        }
        assert_eq!(machine_day(1_798_642_800_000), "2026-12-31");
    }
}
