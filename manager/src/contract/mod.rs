//! Contracts: companies as system administrators see and run them.
//!
//! Guarantees: only operations changes a contract; whoever is bound to a partner sees that partner's companies and no
//! other; a suspended or ended company is out of every page at the next request, and its sessions end within seconds
//! (`session/sweep.rs`); of two people who change one contract, the second is told.

pub mod edit;
pub mod list;
pub mod page;
pub mod partner;

mod fields;

/// Where a contract stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Its accounts may log in.
    Active,
    /// They may not for a while.
    Suspended,
    /// It is over; what the company owns is still there.
    Ended,
    /// What it owned was erased.
    Erased,
}

impl State {
    /// Every state, in the order of the filter.
    pub const ALL: [Self; 4] = [Self::Active, Self::Suspended, Self::Ended, Self::Erased];

    /// The value of the column.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Ended => "ended",
            Self::Erased => "erased",
        }
    }

    /// Reads the column; what is unknown lets nobody in.
    pub fn stored(text: &str) -> Self {
        Self::ALL.into_iter().find(|state| state.as_str() == text).unwrap_or(Self::Suspended)
    }

    /// Whether a contract may go from here to there.
    pub const fn leads_to(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Active, Self::Suspended | Self::Ended)
                | (Self::Suspended, Self::Active | Self::Ended)
                | (Self::Ended, Self::Active)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_erased_company_never_comes_back_and_is_never_erased_by_a_button() {
        for state in State::ALL {
            assert_eq!(State::stored(state.as_str()), state);
            assert!(!State::Erased.leads_to(state) && !state.leads_to(State::Erased) && !state.leads_to(state));
        }
        assert_eq!(State::stored("of the future"), State::Suspended);
    }
}
