//! What is done to the data of a company, by two persons of the data role: its erasure, and its disclosure to those who
//! may ask for it by law.
//!
//! Guarantees: nobody agrees to what they asked for, and nobody agrees in the day after somebody else held what opens
//! their account; an erasure begins only after the contract has ended, a month later or at the company's own request,
//! and goes on after a crash where it stood; it ends with a certificate, once no row of the company is found any more;
//! everything of it is in the chain.

pub mod decide;
pub mod disclosure;
pub mod erase;
pub mod page;
pub mod store;

mod scan;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequestKind {
    /// Everything the company owns goes.
    Erase,
    /// What it did is handed out.
    Disclose,
}

/// Where a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequestState {
    /// It waits for a second person.
    Asked,
    /// The second person agreed; it is under way.
    Agreed,
    /// It is done.
    Done,
    /// The second person refused.
    Refused,
    /// Who asked took it back.
    Withdrawn,
}

impl RequestKind {
    /// The value of the column.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Erase => "erase",
            Self::Disclose => "disclose",
        }
    }

    /// Reads the column and the form.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Erase, Self::Disclose].into_iter().find(|kind| kind.as_str() == text)
    }
}

impl RequestState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Asked, Self::Agreed, Self::Done, Self::Refused, Self::Withdrawn];

    /// The value of the column.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Agreed => "agreed",
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// Reads the column; what is unknown cannot be agreed to.
    pub fn stored(text: &str) -> Self {
        Self::ALL.into_iter().find(|state| state.as_str() == text).unwrap_or(Self::Refused)
    }
}
