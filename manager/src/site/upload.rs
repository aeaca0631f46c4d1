//! A form with a file: behind the same walls as [`super::Form`].

use axum::{
    body::Bytes,
    extract::{FromRequest, Multipart, Request, multipart::MultipartError},
    http::StatusCode,
};

use super::{form, problem::Problem};

/// The file of a form and its other fields. How much it may be is said by the route's body limit.
#[derive(Debug, Clone, Default)]
pub struct Upload {
    /// The bytes of the file; nothing when none was chosen.
    pub file: Bytes,
    fields: Vec<(String, String)>,
}

impl Upload {
    /// The value of a field; empty when there is none.
    pub fn text(&self, name: &str) -> &str {
        self.fields.iter().find(|(field, _)| field == name).map_or("", |(_, value)| value.as_str())
    }
}

impl<S: Send + Sync> FromRequest<S> for Upload {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !form::is_ours(request.headers()) {
            return Err(Problem::Forged);
        }
        let headers = request.headers().clone();
        let mut parts = Multipart::from_request(request, state).await.map_err(|_not_a_form| Problem::BadForm)?;
        let mut upload = Self::default();
        while let Some(part) = parts.next_field().await.map_err(|error| unreadable(&error))? {
            let name = part.name().unwrap_or_default().to_owned();
            if part.file_name().is_some() {
                upload.file = part.bytes().await.map_err(|error| unreadable(&error))?;
            } else {
                upload.fields.push((name, part.text().await.map_err(|error| unreadable(&error))?));
            }
        }
        if form::is_known(&headers, upload.text(form::TOKEN)) { Ok(upload) } else { Err(Problem::Stale) }
    }
}

fn unreadable(error: &MultipartError) -> Problem {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE { Problem::TooLarge } else { Problem::BadForm }
}
