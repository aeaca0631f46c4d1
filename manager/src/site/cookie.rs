//! Cookies of the site: of this host only, over TLS only, out of the reach of scripts.

use axum::http::{HeaderMap, HeaderValue, header};

/// Names a login of a company account.
pub const LOGIN: &str = "__Host-uketsuke";
/// Names a login of a system administrator.
pub const SYSTEM: &str = "__Host-uketsuke-system";
/// Names a visit before there is a login, for the token of its forms.
pub const VISIT: &str = "__Host-uketsuke-visit";
/// Keeps the language.
pub const LANG: &str = "__Host-uketsuke-lang";
/// Tells a browser that logged in before from a stranger's.
pub const DEVICE: &str = "__Host-uketsuke-device";
/// Binds the way to an identity provider and back to this browser.
pub const PROVIDER: &str = "__Host-uketsuke-provider";
/// Says once that something was done.
pub const FLASH: &str = "__Host-uketsuke-flash";

/// How long a browser keeps a cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// Until it is closed.
    Browser,
    /// This many seconds.
    Secs(u64),
    /// No longer.
    Over,
}

/// The value of a cookie that came with a request.
pub fn find<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(|(found, _)| *found == name).map(|(_, value)| value).next()
}

/// `Set-Cookie`; `None` when the value cannot stand in a header, which no value of ours causes.
pub fn set(name: &str, value: &str, life: Life) -> Option<HeaderValue> {
    let age = match life {
        Life::Browser => String::new(),
        Life::Secs(secs) => format!("; Max-Age={secs}"),
        Life::Over => "; Max-Age=0".to_owned(),
    };
    // Lax: who comes from a link in a mail is logged in; a form of another site sends no cookie.
    HeaderValue::from_str(&format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax{age}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_among_others_by_its_whole_name() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=1; x__Host-uketsuke=no"));
        headers.append(header::COOKIE, HeaderValue::from_static("__Host-uketsuke=yes; b=2"));

        assert_eq!(find(&headers, LOGIN), Some("yes"));
        assert_eq!(find(&headers, SYSTEM), None);
    }
}
