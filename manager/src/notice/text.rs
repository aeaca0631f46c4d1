//! The body of a notice: plain text, in which addresses of pages are links.

/// A piece of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Text as it was typed.
    Text(String),
    /// An address that begins with `https://` or `http://`.
    Link(String),
}

/// What ends an address that stands in a sentence.
const TRAILING: &[char] = &['.', ',', ';', ':', '!', '?', ')', ']', '"', '\''];

/// The pieces of a body, in order.
pub fn pieces(body: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = body;
    while let Some(at) = next_link(rest) {
        let (before, link) = rest.split_at(at);
        // Japanese text goes on without a space, so an address ends with its ASCII.
        let end = link.find(|c: char| !c.is_ascii_graphic() || matches!(c, '<' | '>')).unwrap_or(link.len());
        let (link, after) = link.split_at(end);
        let trimmed = link.trim_end_matches(TRAILING);
        let (link, tail) = link.split_at(trimmed.len());
        if !before.is_empty() {
            pieces.push(Piece::Text(before.to_owned()));
        }
        pieces.push(Piece::Link(link.to_owned()));
        if !tail.is_empty() {
            pieces.push(Piece::Text(tail.to_owned()));
        }
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    pieces
}

fn next_link(text: &str) -> Option<usize> {
    let found = ["https://", "http://"].into_iter().filter_map(|scheme| text.find(scheme));
    found.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_pages_become_links() {
        let text = |text: &str| Piece::Text(text.to_owned());
        let link = |text: &str| Piece::Link(text.to_owned());

        assert_eq!(
            pieces("詳しくはhttps://a.example/b?c=d。\nまた (http://e.example)."),
            [
                text("詳しくは"),
                link("https://a.example/b?c=d"),
                text("。\nまた ("),
                link("http://e.example"),
                text(").")
            ]
        );
        let attack = "javascript:alert(1) <a href=x>";
        assert_eq!(pieces(attack), [text(attack)]);
        assert_eq!(pieces("https://a<script>"), [link("https://a"), text("<script>")]);
        assert_eq!(pieces(""), []);
    }
}
