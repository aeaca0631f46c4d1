//! The names of files that are saved from a page.

use axum::http::HeaderValue;

use crate::{company::is_hidden, list::params::encode};

/// The `Content-Disposition` of a file that is saved under `name`, whatever stands in it: never a path, a second field or
/// a letter that turns the rest around. Other letters than ASCII are told apart. Source: RFC 6266, 4.3 and RFC 8187, 3.2.
pub fn attachment(name: &str) -> HeaderValue {
    let is_part = |c: char| !is_hidden(c) && !['/', '\\', ':', '*', '?', '"', '<', '>', '|'].contains(&c);
    let whole: String = name.chars().map(|c| if is_part(c) { c } else { '_' }).collect();
    let whole = whole.trim_start_matches('.');
    let plain: String = whole
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c) { c } else { '_' })
        .collect();
    let more = if plain == whole { String::new() } else { format!("; filename*=UTF-8''{}", encode(whole)) };
    // What is left is ASCII that can be seen.
    HeaderValue::from_str(&format!("attachment; filename=\"{plain}\"{more}"))
        .unwrap_or(HeaderValue::from_static("attachment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_field_whatever_stands_in_it() {
        for (name, header) in [
            ("sessions.csv", "attachment; filename=\"sessions.csv\""),
            ("certificate-0af3.json", "attachment; filename=\"certificate-0af3.json\""),
            (
                "株式会社 A.csv",
                "attachment; filename=\"_____A.csv\"; \
                filename*=UTF-8''%E6%A0%AA%E5%BC%8F%E4%BC%9A%E7%A4%BE%20A.csv",
            ),
            ("a\"; filename=\"evil.exe", "attachment; filename=\"a___filename=_evil.exe\""),
            ("../../etc/passwd", "attachment; filename=\"_.._etc_passwd\""),
            ("a\r\nSet-Cookie: x", "attachment; filename=\"a__Set-Cookie__x\"; filename*=UTF-8''a__Set-Cookie_%20x"),
            ("gpj\u{202e}exe.csv", "attachment; filename=\"gpj_exe.csv\""),
            ("100%.csv", "attachment; filename=\"100_.csv\"; filename*=UTF-8''100%25.csv"),
        ] {
            let seen = attachment(name);
            assert!(seen.to_str().is_ok_and(|seen| seen.matches("filename=").count() == 1), "{seen:?}");
            if !name.contains("filename") {
                assert_eq!(seen, header);
            }
        }
    }
}
