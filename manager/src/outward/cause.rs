//! Why a request was not answered as it should be: its kind, which the page explains in its language, and what came back, as it came.

use std::{error::Error, io};

use reqwest::StatusCode;
use rustls::pki_types::InvalidDnsNameError;

use super::{AddressError, NotFound, NotPublic};
use crate::site::Words;

/// A kind of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It answered with a status that says no.
    Status,
    /// It answered with another address.
    Redirect,
    /// It answered 410.
    Gone,
    /// It did not answer in time.
    Timeout,
    /// Nobody listens there.
    Refused,
    /// There is no way to its network.
    Unreachable,
    /// The connection broke off before the answer.
    Cut,
    /// The name of the host is unknown.
    Name,
    /// The name leads to no address that may be called.
    Address,
    /// Its certificate is not trusted.
    Certificate,
    /// TLS did not come about.
    Tls,
    /// The secret was sealed under another signing key.
    Secret,
    /// Anything else.
    Other,
}

/// Why one request was not answered as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// Its kind.
    pub kind: Kind,
    /// What came back, or went wrong, as it was said.
    pub detail: String,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 13] = [
        Self::Status,
        Self::Redirect,
        Self::Gone,
        Self::Timeout,
        Self::Refused,
        Self::Unreachable,
        Self::Cut,
        Self::Name,
        Self::Address,
        Self::Certificate,
        Self::Tls,
        Self::Secret,
        Self::Other,
    ];

    /// The value of the column.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Redirect => "redirect",
            Self::Gone => "gone",
            Self::Timeout => "timeout",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Cut => "cut",
            Self::Name => "name",
            Self::Address => "address",
            Self::Certificate => "certificate",
            Self::Tls => "tls",
            Self::Secret => "secret",
            Self::Other => "other",
        }
    }

    /// Reads the value.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// What it means and what to do; `detail` is that of the cause.
    pub fn told(self, detail: &str, words: &'static Words) -> String {
        let w = &words.webhooks;
        let code = detail.split(' ').next().unwrap_or_default();
        match self {
            Self::Status => w.why_status(code),
            Self::Redirect => w.why_redirect(code),
            Self::Gone => w.why_gone.to_owned(),
            Self::Timeout => w.why_timeout.to_owned(),
            Self::Refused => w.why_refused.to_owned(),
            Self::Unreachable => w.why_unreachable.to_owned(),
            Self::Cut => w.why_cut.to_owned(),
            Self::Name => w.why_name.to_owned(),
            Self::Address => w.why_address.to_owned(),
            Self::Certificate => w.why_certificate.to_owned(),
            Self::Tls => w.why_tls.to_owned(),
            Self::Secret => w.why_secret.to_owned(),
            Self::Other => w.why_other.to_owned(),
        }
    }
}

impl Cause {
    /// A cause of a kind.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }

    /// An answer that is no yes.
    pub fn of_status(status: StatusCode) -> Self {
        let kind = if status == StatusCode::GONE {
            Kind::Gone
        } else if status.is_redirection() {
            Kind::Redirect
        } else {
            Kind::Status
        };
        Self::new(kind, status.to_string())
    }

    /// An address that was taken once and is no more, since the configuration changed.
    pub fn of_address(error: AddressError) -> Self {
        let kind = match error {
            AddressError::Private => Kind::Address,
            AddressError::Form => Kind::Other,
        };
        Self::new(kind, error.to_string())
    }

    /// No answer at all. The address, which stands beside it, is not in the detail.
    pub fn of_error(error: &reqwest::Error) -> Self {
        let kind = if error.is_timeout() { Some(Kind::Timeout) } else { causes(error).find_map(kind_of) };
        let detail = causes(error).last().map_or_else(|| "no connection".to_owned(), ToString::to_string);
        Self::new(kind.unwrap_or(Kind::Other), detail)
    }
}

/// What caused an error, and what caused that.
fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    let mut next = error.source();
    std::iter::from_fn(move || {
        let cause = next?;
        next = cause.source();
        Some(cause)
    })
}

/// The kind of an error, when it is one that has a kind. An error of input and output may hold another one.
fn kind_of(error: &(dyn Error + 'static)) -> Option<Kind> {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return error.get_ref().and_then(|inner| kind_of(inner)).or_else(|| of_io(error.kind()));
    }
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        let is_certificate = matches!(error, rustls::Error::InvalidCertificate(_));
        return Some(if is_certificate { Kind::Certificate } else { Kind::Tls });
    }
    if error.is::<NotPublic>() {
        Some(Kind::Address)
    } else if error.is::<NotFound>() || error.is::<InvalidDnsNameError>() {
        Some(Kind::Name)
    } else {
        None
    }
}

/// The kind of an error of a connection.
fn of_io(error: io::ErrorKind) -> Option<Kind> {
    use io::ErrorKind as E;

    let kinds = [
        (E::ConnectionRefused, Kind::Refused),
        (E::HostUnreachable, Kind::Unreachable),
        (E::NetworkUnreachable, Kind::Unreachable),
        (E::TimedOut, Kind::Timeout),
        (E::ConnectionReset, Kind::Cut),
        (E::ConnectionAborted, Kind::Cut),
        (E::BrokenPipe, Kind::Cut),
        (E::UnexpectedEof, Kind::Cut),
    ];
    kinds.into_iter().find(|(known, _)| *known == error).map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::Lang;

    #[test]
    fn every_kind_is_explained_in_both_languages() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.as_str()), Some(kind));
            let [ja, en] = [Lang::Ja, Lang::En].map(|lang| kind.told("503 Service Unavailable", Words::of(lang)));
            assert!(ja != en && !ja.is_empty() && !en.is_empty(), "{kind:?}");
            let has_code = matches!(kind, Kind::Status | Kind::Redirect);
            assert_eq!((ja.contains("503"), en.contains("503")), (has_code, has_code), "{kind:?}");
        }
        assert_eq!(Kind::parse(""), None);
    }

    #[test]
    fn an_error_inside_errors_of_input_and_output_has_its_own_kind() {
        let tls = |error: rustls::Error| io::Error::other(io::Error::new(io::ErrorKind::InvalidData, error));
        let expired = rustls::Error::InvalidCertificate(rustls::CertificateError::Expired);

        assert_eq!(kind_of(&tls(expired)), Some(Kind::Certificate));
        assert_eq!(kind_of(&tls(rustls::Error::DecryptError)), Some(Kind::Tls));
        assert_eq!(kind_of(&io::Error::other(NotPublic)), Some(Kind::Address));
        assert_eq!(kind_of(&io::Error::other(InvalidDnsNameError)), Some(Kind::Name));
        assert_eq!(kind_of(&io::Error::from(io::ErrorKind::ConnectionReset)), Some(Kind::Cut));
        assert_eq!(kind_of(&io::Error::new(io::ErrorKind::UnexpectedEof, "tls handshake eof")), Some(Kind::Cut));
        assert_eq!(kind_of(&io::Error::other("x")), None);
    }
}
