//! What a browser brings back from a provider. Source: RFC 6749, 4.1.2; RFC 9207.

/// The query of the address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// Which way it belongs to.
    pub(super) state: String,
    /// Who answers, when the provider says so.
    pub(super) iss: Option<String>,
    /// The code, or the word of a refusal.
    pub(super) result: Result<String, String>,
}

impl Answer {
    /// Reads it; `None` when something is there twice, or neither a code nor a refusal.
    pub(super) fn read(query: &str) -> Option<Self> {
        let pairs: Vec<(String, String)> = serde_html_form::from_str(query).ok()?;
        let one = |wanted: &str| {
            let mut values = pairs.iter().filter(|(name, _)| name == wanted).map(|(_, value)| value.clone());
            let first = values.next();
            if values.next().is_none() { Ok(first) } else { Err(()) }
        };
        let (Ok(Some(state)), Ok(iss), Ok(code), Ok(error)) = (one("state"), one("iss"), one("code"), one("error"))
        else {
            return None;
        };
        let result = match (code, error) {
            (_, Some(error)) => Err(error),
            (Some(code), None) => Ok(code),
            (None, None) => return None,
        };
        Some(Self { state, iss, result })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_each_thing_once() {
        let read = |query: &str| Answer::read(query).map(|answer| (answer.state, answer.iss, answer.result));

        assert_eq!(read("state=s&code=c&session_state=x"), Some(("s".to_owned(), None, Ok("c".to_owned()))));
        let denied = read("error=access_denied&error_description=%3Cb%3E&state=s&iss=https%3A%2F%2Fid.example");
        assert_eq!(
            denied,
            Some(("s".to_owned(), Some("https://id.example".to_owned()), Err("access_denied".to_owned())))
        );
        assert_eq!(read("code=c&error=e&state=s").map(|read| read.2), Some(Err("e".to_owned())));
        for bad in
            ["", "code=c", "state=s", "state=s&state=s&code=c", "state=s&code=c&code=d", "state=s&code=%ff&code="]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
