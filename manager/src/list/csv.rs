//! CSV out and in: safe in a spreadsheet, in the encodings that Japanese desks use, and the same after a round trip.

use std::borrow::Cow;

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, header},
    response::Response,
};
use encoding_rs::{SHIFT_JIS, UTF_8};
use futures_util::stream;

use super::{Asked, From, Listing};
use crate::{
    app::App,
    db::{DbResult, Tx},
    site::download::attachment,
};

/// Rows that are read from the database at once.
const STRETCH: i64 = 1_000;
/// What tells a spreadsheet that a file is UTF-8.
const BOM: &[u8] = b"\xEF\xBB\xBF";

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// UTF-8 with a byte order mark.
    #[default]
    Utf8,
    /// Windows code page 932, the Shift_JIS of Windows; what it lacks becomes `?`.
    Cp932,
}

/// A file that cannot be read as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the file is neither UTF-8 nor Shift_JIS (CP932)")]
pub struct UnknownEncoding;

impl Encoding {
    /// `utf8` or `cp932`; anything else is UTF-8.
    pub fn parse(text: Option<&str>) -> Self {
        if text == Some("cp932") { Self::Cp932 } else { Self::Utf8 }
    }
}

/// What a file begins with.
pub fn begin(encoding: Encoding) -> Vec<u8> {
    match encoding {
        Encoding::Utf8 => BOM.to_vec(),
        Encoding::Cp932 => Vec::new(),
    }
}

/// The `Content-Type` of a file.
pub const fn kind(encoding: Encoding) -> HeaderValue {
    match encoding {
        Encoding::Utf8 => HeaderValue::from_static("text/csv; charset=utf-8"),
        Encoding::Cp932 => HeaderValue::from_static("text/csv; charset=Shift_JIS"),
    }
}

/// One line with CRLF. A cell that a spreadsheet would compute gets an apostrophe in front.
pub fn line<'a>(cells: impl IntoIterator<Item = Cow<'a, str>>, encoding: Encoding, out: &mut Vec<u8>) {
    let mut text = String::new();
    for (index, cell) in cells.into_iter().enumerate() {
        if 0 < index {
            text.push(',');
        }
        quote(&guard(&cell), &mut text);
    }
    text.push_str("\r\n");
    match encoding {
        Encoding::Utf8 => out.extend_from_slice(text.as_bytes()),
        Encoding::Cp932 => encode_cp932(&text, out),
    }
}

/// What it lacks becomes `?`: a number in brackets, as HTML has it, would be read as text.
fn encode_cp932(text: &str, out: &mut Vec<u8>) {
    let mut one = [0; 4];
    for c in text.chars() {
        let (bytes, _, lacking) = SHIFT_JIS.encode(c.encode_utf8(&mut one));
        out.extend_from_slice(if lacking { b"?" } else { &bytes });
    }
}

/// A spreadsheet takes a cell that begins so for a formula. Source: OWASP, CSV injection.
fn is_formula(cell: &str) -> bool {
    cell.starts_with(['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠'])
}

fn guard(cell: &str) -> Cow<'_, str> {
    // One more is put before a cell that begins with one already, so that reading takes exactly one away.
    let quoted = cell.strip_prefix('\'').is_some_and(|rest| is_formula(rest) || rest.starts_with('\''));
    if is_formula(cell) || quoted { Cow::Owned(format!("'{cell}")) } else { Cow::Borrowed(cell) }
}

/// Takes away what [`line`] put in front of a cell.
pub fn unguard(cell: &str) -> &str {
    match cell.strip_prefix('\'') {
        Some(rest) if is_formula(rest) || rest.starts_with('\'') => rest,
        _ => cell,
    }
}

fn quote(cell: &str, text: &mut String) {
    if cell.contains([',', '"', '\r', '\n']) {
        text.push('"');
        text.push_str(&cell.replace('"', "\"\""));
        text.push('"');
    } else {
        text.push_str(cell);
    }
}

/// The text of a file in UTF-8, with or without byte order mark, or CP932.
///
/// # Errors
/// [`UnknownEncoding`].
pub fn decode(bytes: &[u8]) -> Result<String, UnknownEncoding> {
    let plain = bytes.strip_prefix(BOM).unwrap_or(bytes);
    if let Some(text) = UTF_8.decode_without_bom_handling_and_without_replacement(plain) {
        return Ok(text.into_owned());
    }
    SHIFT_JIS.decode_without_bom_handling_and_without_replacement(bytes).map(Cow::into_owned).ok_or(UnknownEncoding)
}

/// A file of every row of a list under its filter and in its order, sent while it is read: however long it is, two
/// stretches of rows are held at most, the one that is written and the one that is read meanwhile, and the text of one.
///
/// `cells` makes the cells of a row. The rows are those of one moment, and that is held no longer than they are read.
pub fn export<L>(
    app: &App,
    listing: L,
    asked: Asked,
    file: (&str, Encoding),
    heads: &[&str],
    cells: impl Fn(&L::Row, &mut dyn FnMut(Cow<'_, str>)) + Send + Sync + 'static,
) -> Response
where
    L: Listing + Send + 'static,
{
    let (name, encoding) = file;
    let mut first = begin(encoding);
    line(heads.iter().map(|head| Cow::Borrowed(*head)), encoding, &mut first);
    let reading = Reading { app: app.clone(), tx: None, listing, asked, over: false };
    let begun = Export { reading, rows: Some(Vec::new()), encoding, cells: Box::new(cells), chunk: first };
    let body = stream::try_unfold(begun, |mut export| async move {
        let chunk = export.next().await?;
        Ok::<_, crate::db::DbError>(chunk.map(|chunk| (chunk, export)))
    });
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, kind(encoding));
    headers.insert(header::CONTENT_DISPOSITION, attachment(&format!("{name}.csv")));
    response
}

/// Makes the cells of a row.
type Cells<L> = Box<dyn Fn(&<L as Listing>::Row, &mut dyn FnMut(Cow<'_, str>)) + Send + Sync>;

/// A file on its way.
struct Export<L: Listing> {
    reading: Reading<L>,
    /// Rows that were read and are to be written; none when the file is complete.
    rows: Option<Vec<L::Row>>,
    encoding: Encoding,
    cells: Cells<L>,
    /// What is written before the next row.
    chunk: Vec<u8>,
}

impl<L: Listing> Export<L> {
    /// Writes the rows that were read, while the database is at those behind them.
    async fn next(&mut self) -> DbResult<Option<Bytes>> {
        let Some(rows) = self.rows.take() else { return Ok(None) };
        let mut chunk = std::mem::take(&mut self.chunk);
        let (cells, encoding) = (&self.cells, self.encoding);
        let write = async {
            chunk.reserve(rows.len().saturating_mul(128));
            for row in rows {
                let mut texts: Vec<Cow<'static, str>> = Vec::new();
                cells(&row, &mut |cell| texts.push(Cow::Owned(cell.into_owned())));
                line(texts, encoding, &mut chunk);
            }
        };
        // The first of both is polled first: it asks the database, and then there is time to write.
        let (read, ()) = tokio::join!(biased; self.reading.next(), write);
        self.rows = read?;
        Ok(Some(Bytes::from(chunk)))
    }
}

/// The rows of a file.
struct Reading<L: Listing> {
    app: App,
    tx: Option<Tx>,
    listing: L,
    asked: Asked,
    over: bool,
}

impl<L: Listing> Reading<L> {
    async fn next(&mut self) -> DbResult<Option<Vec<L::Row>>> {
        if self.over {
            return Ok(None);
        }
        let mut tx = match self.tx.take() {
            Some(tx) => tx,
            None => self.app.db.read().await?,
        };
        let (rows, next) = super::stretch(&mut tx, &self.listing, &self.asked, STRETCH).await?;
        if let Some(cursor) = next {
            self.asked.from = From::After(cursor);
            self.tx = Some(tx);
        } else {
            self.over = true;
            // Whoever takes the rest of the file slowly keeps no connection from others.
            tx.commit().await?;
        }
        Ok(Some(rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(cells: &[&str], encoding: Encoding) -> Vec<u8> {
        let mut out = Vec::new();
        line(cells.iter().map(|cell| Cow::Borrowed(*cell)), encoding, &mut out);
        out
    }

    #[test]
    fn a_cell_that_a_spreadsheet_would_compute_becomes_text_and_comes_back() {
        assert_eq!(written(&["=1+1", "a,\"b\"\n", "-"], Encoding::Utf8), b"'=1+1,\"a,\"\"b\"\"\n\",'-\r\n");
        for cell in ["=1+1", "+81", "-5", "@x", "'=1", "''", "'quoted'", "plain", "", "＝1"] {
            assert_eq!(unguard(&guard(cell)), cell);
            assert!(!is_formula(&guard(cell)), "{cell}");
        }
    }

    #[test]
    fn both_encodings_are_read_and_what_is_neither_is_refused() {
        let cells = ["山田 太郎", "ﾔﾏﾀﾞ", "①〜"];
        for encoding in [Encoding::Utf8, Encoding::Cp932] {
            let file = written(&cells[..2], encoding);
            assert_eq!(decode(&file).unwrap(), "山田 太郎,ﾔﾏﾀﾞ\r\n");
        }
        assert_eq!(decode(b"\xEF\xBB\xBFa").unwrap(), "a");
        assert_eq!(decode(b"\x81"), Err(UnknownEncoding));
        assert_eq!(written(&["\u{1F600}"], Encoding::Cp932), b"?\r\n");
    }
}
