//! Reading a file: its columns by their names in either language, its records with the line they stand on.

use super::{FILE_LEN_MAX, RECORDS_MAX};
use crate::{
    list::csv::{self, unguard},
    site::Words,
};

/// A column that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// The id at login.
    User,
    /// The name.
    Name,
    /// Its reading.
    Kana,
    /// The address of mail.
    Email,
    /// The role, by its key or its name.
    Role,
    /// The organisation, by its name.
    Organisation,
    /// Stopped or not.
    State,
}

/// Columns of the export that are not read: the product writes them.
const WRITTEN: [&str; 3] = ["second_factor", "last_login", "created"];

/// A file as records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sheet {
    /// The columns that it has.
    pub columns: Vec<Column>,
    /// Its records.
    pub records: Vec<Record>,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The line of the file on which it begins, from 1.
    pub line: u64,
    /// Its cells, by [`Column`]; none for a column that the file lacks.
    cells: [Option<String>; Column::ALL.len()],
    /// Whether it has more or fewer cells than the first line.
    pub is_ragged: bool,
}

/// Why a file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadError {
    /// It is longer than [`FILE_LEN_MAX`].
    TooLong,
    /// It has more than [`RECORDS_MAX`] records.
    TooMany,
    /// Neither UTF-8 nor CP932, or no text.
    Encoding,
    /// There is nothing under the first line.
    Empty,
    /// The first line has a column that is not known.
    UnknownColumn(String),
    /// The first line names a column twice.
    TwiceColumn(Column),
    /// The first line lacks a column that is needed.
    NoColumn(Column),
}

impl Column {
    /// Every column, in the order of the template.
    pub const ALL: [Self; 7] =
        [Self::User, Self::Name, Self::Kana, Self::Email, Self::Role, Self::Organisation, Self::State];

    /// Its name in files that the product writes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Name => "name",
            Self::Kana => "kana",
            Self::Email => "email",
            Self::Role => "role",
            Self::Organisation => "organisation",
            Self::State => "state",
        }
    }

    /// Its name on pages.
    pub const fn name(self, words: &'static Words) -> &'static str {
        let w = &words.operators;
        match self {
            Self::User => w.user,
            Self::Name => w.name,
            Self::Kana => w.kana,
            Self::Email => w.email,
            Self::Role => w.role,
            Self::Organisation => w.organisation,
            Self::State => w.state,
        }
    }

    /// By the name of a file or of a page in any language.
    fn of(head: &str) -> Option<Self> {
        let head = head.trim();
        Self::ALL.into_iter().find(|column| {
            let shown = crate::site::Lang::ALL.map(|lang| column.name(Words::of(lang)));
            head.eq_ignore_ascii_case(column.as_str()) || shown.iter().any(|name| head.eq_ignore_ascii_case(name))
        })
    }
}

impl Record {
    /// The text of a cell without spaces around it; none for a column that the file lacks.
    pub fn cell(&self, column: Column) -> Option<&str> {
        let index = Column::ALL.iter().position(|other| *other == column)?;
        self.cells.get(index)?.as_deref()
    }
}

/// The text of a file, which may be stored.
///
/// # Errors
/// [`ReadError::TooLong`], [`ReadError::Encoding`].
pub fn text(file: &[u8]) -> Result<String, ReadError> {
    if FILE_LEN_MAX < file.len() {
        return Err(ReadError::TooLong);
    }
    let text = csv::decode(file).map_err(|_unknown| ReadError::Encoding)?;
    if text.contains('\0') { Err(ReadError::Encoding) } else { Ok(text) }
}

/// Reads a file's text.
///
/// # Errors
/// [`ReadError`].
pub fn sheet(text: &str) -> Result<Sheet, ReadError> {
    let mut reader = ::csv::ReaderBuilder::new().flexible(true).has_headers(false).from_reader(text.as_bytes());
    let mut lines = reader.records().map_while(Result::ok);
    let heads = lines.next().ok_or(ReadError::Empty)?;
    let mut places = Vec::new();
    for head in &heads {
        let head = unguard(head);
        let column = Column::of(head);
        if column.is_none() && !WRITTEN.contains(&head.trim()) && !head.trim().is_empty() {
            return Err(ReadError::UnknownColumn(head.to_owned()));
        }
        if let Some(column) = column
            && places.contains(&Some(column))
        {
            return Err(ReadError::TwiceColumn(column));
        }
        places.push(column);
    }
    if !places.contains(&Some(Column::User)) {
        return Err(ReadError::NoColumn(Column::User));
    }
    let mut records = Vec::new();
    let mut counted = Lines { text, byte: 0, number: 1 };
    for line in lines {
        if line.iter().all(|cell| cell.trim().is_empty()) {
            continue;
        }
        if records.len() == RECORDS_MAX {
            return Err(ReadError::TooMany);
        }
        let number = counted.begins(&line);
        records.push(record(&line, number, &places));
    }
    if records.is_empty() {
        return Err(ReadError::Empty);
    }
    Ok(Sheet { columns: places.into_iter().flatten().collect(), records })
}

/// Counts lines as an editor does: the reader's own count stops before the line break that ends the record before.
struct Lines<'a> {
    text: &'a str,
    byte: usize,
    number: u64,
}

impl Lines<'_> {
    /// The line, from 1, on which the text of a record begins; records are asked for in their order.
    fn begins(&mut self, record: &::csv::StringRecord) -> u64 {
        let read = record.position().and_then(|position| usize::try_from(position.byte()).ok()).unwrap_or(self.byte);
        let rest = self.text.get(read..).unwrap_or_default();
        let start = read + rest.len() - rest.trim_start_matches(['\r', '\n']).len();
        let passed = self.text.get(self.byte..start).unwrap_or_default();
        let breaks = passed.matches('\n').count() + passed.matches('\r').count() - passed.matches("\r\n").count();
        self.number += u64::try_from(breaks).unwrap_or_default();
        self.byte = start;
        self.number
    }
}

fn record(line: &::csv::StringRecord, number: u64, places: &[Option<Column>]) -> Record {
    let cells = Column::ALL.map(|column| {
        let index = places.iter().position(|place| *place == Some(column))?;
        Some(unguard(line.get(index).unwrap_or_default()).trim().to_owned())
    });
    let is_ragged = line.len() != places.len();
    Record { line: number, cells, is_ragged }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_known_by_their_names_in_either_language_and_in_any_order() {
        let sheet = sheet("名前,ID,メール\r\n山田 太郎,yamada,\r\n\r\n\"佐藤, 花子\",sato,s@example.jp\r\n").unwrap();
        assert_eq!(sheet.columns, [Column::Name, Column::User, Column::Email]);
        let found: Vec<_> = sheet
            .records
            .iter()
            .map(|record| (record.line, record.cell(Column::Name), record.cell(Column::User)))
            .collect();
        assert_eq!(found, [(2, Some("山田 太郎"), Some("yamada")), (4, Some("佐藤, 花子"), Some("sato"))]);
        assert_eq!(sheet.records[0].cell(Column::Role), None);
        assert_eq!(sheet.records[0].cell(Column::Email), Some(""));
    }

    #[test]
    fn the_line_of_a_record_is_the_one_that_an_editor_shows() {
        for end in ["\n", "\r\n", "\r"] {
            let text = ["user,name", "a,\"one", "two\"", "", "", "b,x", "c,y"].join(end);
            let lines: Vec<_> = sheet(&text).unwrap().records.iter().map(|record| record.line).collect();
            assert_eq!(lines, [2, 6, 7], "{end:?}");
        }
    }

    #[test]
    fn what_the_product_writes_itself_is_not_read() {
        let sheet = sheet("user,second_factor,last_login,created\na,yes,,2026\n").unwrap();
        assert_eq!(sheet.columns, [Column::User]);
    }

    #[test]
    fn a_file_that_is_not_one_of_accounts_says_what_is_wrong() {
        for (text, error) in [
            ("", ReadError::Empty),
            ("user\n\n", ReadError::Empty),
            ("name\na\n", ReadError::NoColumn(Column::User)),
            ("user,name,User\na,b,c\n", ReadError::TwiceColumn(Column::User)),
            ("user,password\na,b\n", ReadError::UnknownColumn("password".to_owned())),
        ] {
            assert_eq!(sheet(text), Err(error), "{text}");
        }
        assert_eq!(text(b"user\na\0b\n"), Err(ReadError::Encoding));
        assert_eq!(text(b"\x81"), Err(ReadError::Encoding));
        assert_eq!(text(&vec![b'a'; FILE_LEN_MAX + 1]), Err(ReadError::TooLong));
    }

    #[test]
    fn what_guards_a_cell_from_a_spreadsheet_is_taken_away_and_a_ragged_record_is_seen() {
        let sheet = sheet("user,name\na,'=1+1\nb\n").unwrap();
        assert_eq!(sheet.records[0].cell(Column::Name), Some("=1+1"));
        assert_eq!((sheet.records[0].is_ragged, sheet.records[1].is_ragged), (false, true));
    }
}
