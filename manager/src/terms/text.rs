//! The text of a revision: plain text in which the beginning of a line says what it is.

use crate::notice::{Piece, pieces};

/// Digits of the number of an item.
const NUMBER_LEN_MAX: usize = 3;

/// A part of a text, as a page shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Block {
    /// A line that begins with `# `.
    Heading(String),
    /// A line that begins with `## `.
    Subheading(String),
    /// Lines that begin with `- ` or `・`.
    List(Vec<Vec<Piece>>),
    /// Lines that begin with a number, such as `1. `, under the numbers that were typed.
    Numbered(Vec<(u32, Vec<Piece>)>),
    /// Other lines, up to an empty one.
    Paragraph(Vec<Piece>),
}

/// What a line is by its beginning.
enum Line<'a> {
    Empty,
    Heading(&'a str),
    Subheading(&'a str),
    Item(&'a str),
    Numbered(u32, &'a str),
    Text(&'a str),
}

impl<'a> Line<'a> {
    fn read(line: &'a str) -> Self {
        let line = line.trim();
        if line.is_empty() {
            return Self::Empty;
        }
        if let Some(text) = line.strip_prefix("# ") {
            return Self::Heading(text);
        }
        if let Some(text) = line.strip_prefix("## ") {
            return Self::Subheading(text);
        }
        if let Some(text) = line.strip_prefix("- ").or_else(|| line.strip_prefix('・')) {
            return Self::Item(text);
        }
        numbered(line).map_or(Self::Text(line), |(number, text)| Self::Numbered(number, text))
    }
}

/// The number of a line such as `12. Text`, and its text.
fn numbered(line: &str) -> Option<(u32, &str)> {
    let (number, text) = line.split_once(". ")?;
    let is_number = number.len() <= NUMBER_LEN_MAX && number.bytes().all(|byte| byte.is_ascii_digit());
    let number = is_number.then(|| number.parse().ok())??;
    Some((number, text))
}

/// The parts of a text, in order.
pub fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut paragraph: Vec<&str> = Vec::new();
    for line in text.lines() {
        let line = Line::read(line);
        if !matches!(line, Line::Text(_)) {
            end(&mut paragraph, &mut blocks);
        }
        match line {
            Line::Empty => {}
            Line::Heading(text) => blocks.push(Block::Heading(text.to_owned())),
            Line::Subheading(text) => blocks.push(Block::Subheading(text.to_owned())),
            Line::Item(text) => {
                if let Some(Block::List(items)) = blocks.last_mut() {
                    items.push(pieces(text));
                } else {
                    blocks.push(Block::List(vec![pieces(text)]));
                }
            }
            Line::Numbered(number, text) => {
                if let Some(Block::Numbered(items)) = blocks.last_mut() {
                    items.push((number, pieces(text)));
                } else {
                    blocks.push(Block::Numbered(vec![(number, pieces(text))]));
                }
            }
            Line::Text(text) => paragraph.push(text),
        }
    }
    end(&mut paragraph, &mut blocks);
    blocks
}

/// Ends the paragraph that is under way.
fn end(paragraph: &mut Vec<&str>, blocks: &mut Vec<Block>) {
    if !paragraph.is_empty() {
        blocks.push(Block::Paragraph(pieces(&paragraph.join("\n"))));
        paragraph.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Vec<Piece> {
        vec![Piece::Text(text.to_owned())]
    }

    #[test]
    fn a_line_is_what_its_beginning_says() {
        let text =
            "# 第1条\n本サービスは\n次のとおりとします。\n\n1. 一つ目\n\n2. 二つ目\n- 点\n・別の点\n## 細則\n#5. 5";

        assert_eq!(
            blocks(text),
            [
                Block::Heading("第1条".to_owned()),
                Block::Paragraph(plain("本サービスは\n次のとおりとします。")),
                Block::Numbered(vec![(1, plain("一つ目")), (2, plain("二つ目"))]),
                Block::List(vec![plain("点"), plain("別の点")]),
                Block::Subheading("細則".to_owned()),
                Block::Paragraph(plain("#5. 5")),
            ]
        );
        assert_eq!(blocks(" \n\n"), []);
    }

    #[test]
    fn what_looks_like_html_stays_text_and_large_numbers_are_no_items() {
        assert_eq!(blocks("<h2>a</h2>"), [Block::Paragraph(plain("<h2>a</h2>"))]);
        assert_eq!(blocks("2026. a"), [Block::Paragraph(plain("2026. a"))]);
        assert_eq!(blocks(". a"), [Block::Paragraph(plain(". a"))]);
    }
}
