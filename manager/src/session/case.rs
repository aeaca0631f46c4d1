//! What people write about a session: case number, category, result, customer and note.
//!
//! Guarantees: of two people who write about one session the second is told; what was written before stays in the
//! history, beside the audit record, which has its hash.

use proto::{
    api::{UnixMillis, session::CaseResult},
    id::{CompanyId, SessionId},
    limits,
};

use super::store;
use crate::{
    audit::{self, Actor, AuditEvent, change},
    category::{self, store::Category},
    company::is_hidden,
    db::{DbResult, Tx},
    execute, fetch_optional,
};

/// What is written about a session.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Case {
    /// The number of the case in the help desk's own system.
    pub number: String,
    /// One of the company's categories.
    pub category_id: Option<String>,
    /// What came of it.
    pub result: Option<CaseResult>,
    /// Who was helped.
    pub customer_name: String,
    /// Anything else.
    pub note: String,
}

/// A field that cannot be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wrong {
    /// Too long, or with control characters.
    Number,
    /// There is no such category.
    Category,
    /// There is no such result.
    Result,
    /// Too long, or with control characters.
    Customer,
    /// Too long, or with control characters.
    Note,
}

/// A case as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// What is written.
    pub case: Case,
    /// The category's name.
    pub category: Option<String>,
    /// Counts changes.
    pub version: i64,
}

/// Who writes, and about which session.
#[derive(Debug, Clone, Copy)]
pub struct Writing<'a> {
    /// The company of both.
    pub company_id: CompanyId,
    /// The session.
    pub session_id: SessionId,
    /// Who writes.
    pub actor: Actor,
    /// The name in the history.
    pub actor_name: &'a str,
}

/// Why a case was not written.
#[derive(Debug)]
pub enum WriteError {
    /// Somebody else wrote meanwhile.
    Changed,
    /// These fields cannot be stored.
    Wrong(Vec<Wrong>),
    /// The database.
    Db(crate::db::DbError),
}

impl From<crate::db::DbError> for WriteError {
    fn from(error: crate::db::DbError) -> Self {
        Self::Db(error)
    }
}

impl Case {
    /// The fields that cannot be stored, besides the category.
    pub fn wrong(&self) -> Vec<Wrong> {
        let line = |text: &str, max: usize| text.chars().count() <= max && !text.chars().any(is_hidden);
        let page = |c: char| !is_hidden(c) || matches!(c, '\n' | '\t');
        let note = self.note.chars().count() <= limits::NOTE_LEN_MAX && self.note.chars().all(page);
        let good = [
            (Wrong::Number, line(&self.number, limits::CASE_NUMBER_LEN_MAX)),
            (Wrong::Customer, line(&self.customer_name, limits::CUSTOMER_NAME_LEN_MAX)),
            (Wrong::Note, note),
        ];
        good.into_iter().filter(|(_, good)| !good).map(|(wrong, _)| wrong).collect()
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    case_number: String,
    category_id: Option<String>,
    category: Option<String>,
    result: String,
    customer_name: String,
    note: String,
    case_version: i64,
}

/// What is written about a session of a company.
///
/// # Errors
/// [`crate::db::DbError`].
pub async fn read(tx: &mut Tx, company_id: CompanyId, session_id: SessionId) -> DbResult<Option<Stored>> {
    let row = fetch_optional!(
        tx,
        Row,
        "SELECT s.case_number, s.category_id, k.name AS category, s.result, s.customer_name, s.note, s.case_version
        FROM sessions s
        LEFT JOIN categories k ON k.category_id = s.category_id
        WHERE s.company_id = $1
        AND s.session_id = $2",
        company_id.to_string(),
        session_id.to_string()
    )?;
    Ok(row.map(|row| Stored {
        case: Case {
            number: row.case_number,
            category_id: row.category_id,
            result: CaseResult::from_name(&row.result),
            customer_name: row.customer_name,
            note: row.note,
        },
        category: row.category,
        version: row.case_version,
    }))
}

/// Writes a case over the `version` that was read; writing the same again changes nothing.
///
/// # Errors
/// [`WriteError`].
pub async fn write(
    tx: &mut Tx,
    writing: Writing<'_>,
    old: &Stored,
    (case, version): (&Case, i64),
    now: UnixMillis,
) -> Result<(), WriteError> {
    let mut wrong = case.wrong();
    let category = match &case.category_id {
        None => None,
        Some(id) => {
            let found = category::store::find(tx, writing.company_id, id).await?;
            // One that is retired stays where it is, and is not given anew.
            let offered = found.filter(|found| !found.retired || old.case.category_id.as_ref() == Some(id));
            if offered.is_none() {
                wrong.push(Wrong::Category);
            }
            offered
        }
    };
    if !wrong.is_empty() {
        return Err(WriteError::Wrong(wrong));
    }
    if *case == old.case {
        return Ok(());
    }
    if !update(tx, writing, case, version).await? {
        return Err(WriteError::Changed);
    }
    store::refold(tx, writing.session_id).await?;
    note_change(tx, writing, old, (case, category.as_ref()), now).await?;
    Ok(())
}

async fn update(tx: &mut Tx, writing: Writing<'_>, case: &Case, version: i64) -> DbResult<bool> {
    let updated = execute!(
        tx,
        "UPDATE sessions
        SET case_number = $3, category_id = $4, result = $5, customer_name = $6, note = $7,
            case_version = case_version + 1
        WHERE company_id = $1
        AND session_id = $2
        AND case_version = $8",
        writing.company_id.to_string(),
        writing.session_id.to_string(),
        &case.number,
        &case.category_id,
        case.result.map_or("", CaseResult::as_str),
        &case.customer_name,
        &case.note,
        version
    )?;
    Ok(updated == 1)
}

/// The history, and the row of the operation log.
async fn note_change(
    tx: &mut Tx,
    writing: Writing<'_>,
    old: &Stored,
    (case, category): (&Case, Option<&Category>),
    now: UnixMillis,
) -> DbResult<()> {
    let before = &old.case;
    let category = category.map_or("", |category| category.name.as_str());
    let result = |case: &Case| case.result.map_or("", CaseResult::as_str);
    let fields = change::differences([
        ("case_number", before.number.as_str(), case.number.as_str()),
        ("category", old.category.as_deref().unwrap_or_default(), category),
        ("result", result(before), result(case)),
        ("customer_name", before.customer_name.as_str(), case.customer_name.as_str()),
        ("note", before.note.as_str(), case.note.as_str()),
    ]);
    let subject = subject(writing.session_id);
    let detail = change::store(tx, writing.company_id, &subject, writing.actor_name, fields, now).await?;
    let event = AuditEvent {
        at_ms: now,
        company: Some(writing.company_id),
        actor: writing.actor,
        event: "session.noted",
        reception: None,
        session: Some(writing.session_id),
        detail,
    };
    audit::append(tx, event).await?;
    Ok(())
}

/// Whose history it is.
pub fn subject(session_id: SessionId) -> String {
    format!("session:{session_id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_has_lines_and_a_note_has_more() {
        let case = Case { note: "一行目\n\t二行目".to_owned(), number: "A-1".to_owned(), ..Case::default() };
        assert_eq!(case.wrong(), []);
        let case = Case {
            note: "x".repeat(2001),
            number: "a\nb".to_owned(),
            customer_name: "あ".repeat(65),
            ..Case::default()
        };
        assert_eq!(case.wrong(), [Wrong::Number, Wrong::Customer, Wrong::Note]);
        assert_eq!(Case { note: "\u{7}".to_owned(), ..Case::default() }.wrong(), [Wrong::Note]);
    }

    #[test]
    fn what_turns_text_around_stands_in_no_record() {
        let turned = "abc\u{202E}gnp.exe".to_owned();
        let case = Case { number: turned.clone(), customer_name: turned.clone(), note: turned, ..Case::default() };
        assert_eq!(case.wrong(), [Wrong::Number, Wrong::Customer, Wrong::Note]);
        let plain = Case { note: "一行目\n二行目\t\u{1F469}\u{200D}\u{1F4BB}".to_owned(), ..Case::default() };
        assert!(plain.wrong().is_empty());
    }
}
