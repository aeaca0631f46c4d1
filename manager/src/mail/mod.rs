//! Mail: an outbox in the database, and the task that hands it to an SMTP server.
//!
//! Guarantees: a mail is stored in the transaction of the change it tells of, so there is none without the change and
//! no change without its mail; two managers never hand over one mail at the same time; a mail is handed over at least
//! once, every time with the same Message-ID, so that a mailbox can drop the second; a refusal for good, or none but
//! failed tries for days, is shown in the list and in the operation log. A mail that tells of something that is over is
//! not sent. It does not know what becomes of a mail after the server took it: late refusals go to `mail.from`.
//! Every mail is plain text in both languages, the one of the recipient first; no text of anybody reaches a header
//! other than the subject, which has no control character.

pub mod config;
pub mod list;
pub mod page;
pub mod store;
pub mod sweep;

mod metrics;
mod smtp;
mod text;

pub use self::{
    config::Config,
    metrics::MailMetrics,
    smtp::{MailSetupError, Smtp},
    store::{NewMail, queue},
    sweep::run,
    text::{Text, bilingual},
};

/// What a mail is about; its name in the database and in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A link with which the owner of an account sets a new password.
    PasswordReset,
    /// A link with which the owner of a new account sets the first password.
    Invitation,
    /// The password was changed by a link.
    PasswordChanged,
    /// The account was bound to somebody at the identity provider.
    ProviderLinked,
    /// A maintenance window was announced, changed or called off.
    Maintenance,
    /// An incident.
    Incident,
}

impl Kind {
    /// Every kind, in the order of the filter.
    pub const ALL: [Self; 6] = [
        Self::PasswordReset,
        Self::Invitation,
        Self::PasswordChanged,
        Self::ProviderLinked,
        Self::Maintenance,
        Self::Incident,
    ];

    /// The value of the column.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PasswordReset => "password_reset",
            Self::Invitation => "invitation",
            Self::PasswordChanged => "password_changed",
            Self::ProviderLinked => "provider_linked",
            Self::Maintenance => "maintenance",
            Self::Incident => "incident",
        }
    }
}
