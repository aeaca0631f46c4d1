//! Notices, maintenance windows and incidents: what the service tells its companies, and when.
//!
//! Guarantees: a maintenance window begins at least seven days after it was announced, unless it is an emergency with
//! its reason; its notice, its mails and its row in the audit chain are stored in one transaction, so the chain proves
//! when it was announced; the time of planned stops is a metric, so that availability can leave it out; who says that
//! the work is finished ends the window, its notice and its planned stop before the announced end; of every incident it
//! is known until when companies must be told, by the Japanese calendar, and whether they were.
//! A company sees the notices of the service that are for it, those of its partner, and its own. A partner tells its own
//! companies only: whose partner it is no more sees its notices no more. A body is plain text in which addresses of pages
//! are links.

pub mod edit;
pub mod holiday;
pub mod incident;
pub mod list;
pub mod maintenance;
pub mod page;
pub mod publish;
pub mod published;
pub mod store;
pub mod sweep;
pub mod system;

mod form;
mod metrics;
mod planned;
mod record;
mod send;
mod text;
mod windows;

pub use self::{
    metrics::NoticeMetrics,
    store::{Running, outside, running},
    sweep::run,
    text::{Piece, pieces},
};

/// What a notice is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A planned stop.
    Maintenance,
    /// Something does not work.
    Incident,
    /// Something is new.
    Release,
    /// Anything else.
    Other,
}

impl Class {
    /// Every class, in the order of the filter.
    pub const ALL: [Self; 4] = [Self::Maintenance, Self::Incident, Self::Release, Self::Other];

    /// The value of the column.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Maintenance => "maintenance",
            Self::Incident => "incident",
            Self::Release => "release",
            Self::Other => "other",
        }
    }

    /// Reads the value.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == text)
    }
}
