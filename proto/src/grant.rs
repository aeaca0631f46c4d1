//! What a customer allows: asked for by the operator, given and taken back by the customer, enforced in the client tool.

use serde::{Deserialize, Serialize};

/// One kind of permission, the unit of consent, of logs and of tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GrantKind {
    /// See the screen.
    View,
    /// Use pointer and keyboard.
    Control,
    /// Read facts about the device, which are shown to the customer first.
    Device,
}

impl GrantKind {
    /// Every kind.
    pub const ALL: &[Self] = &[Self::View, Self::Control, Self::Device];

    /// The name in logs, the API and the headless mode.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Control => "control",
            Self::Device => "device",
        }
    }

    /// The kind for a name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == name)
    }
}

/// A set of grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Grants(u8);

impl Grants {
    /// Nothing is granted.
    pub const NONE: Self = Self(0);

    /// Whether `kind` is in the set.
    pub const fn has(self, kind: GrantKind) -> bool {
        self.0 & Self::bit(kind) != 0
    }

    /// The set with `kind`.
    pub const fn with(self, kind: GrantKind) -> Self {
        Self(self.0 | Self::bit(kind))
    }

    /// The set without `kind`.
    pub const fn without(self, kind: GrantKind) -> Self {
        Self(self.0 & !Self::bit(kind))
    }

    /// What is in both sets: a ceiling can narrow, never widen.
    pub const fn within(self, ceiling: Self) -> Self {
        Self(self.0 & ceiling.0)
    }

    /// The kinds in the set, in their order.
    pub fn iter(self) -> impl Iterator<Item = GrantKind> {
        GrantKind::ALL.iter().copied().filter(move |kind| self.has(*kind))
    }

    const fn bit(kind: GrantKind) -> u8 {
        match kind {
            GrantKind::View => 1,
            GrantKind::Control => 2,
            GrantKind::Device => 4,
        }
    }
}

impl FromIterator<GrantKind> for Grants {
    fn from_iter<I: IntoIterator<Item = GrantKind>>(kinds: I) -> Self {
        kinds.into_iter().fold(Self::NONE, Self::with)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_kind_has_one_name() {
        for kind in GrantKind::ALL {
            assert_eq!(GrantKind::from_name(kind.as_str()), Some(*kind));
            assert_eq!(serde_json::to_string(kind).unwrap(), format!("\"{}\"", kind.as_str()));
        }
        assert_eq!(GrantKind::from_name("files"), None);
    }

    proptest! {
        #[test]
        fn a_set_holds_what_was_put_in_and_not_taken_out(
            steps in prop::collection::vec((prop::sample::select(GrantKind::ALL), any::<bool>()), 0..20),
        ) {
            let mut expected = std::collections::BTreeSet::new();
            let mut grants = Grants::NONE;
            for (kind, give) in steps {
                grants = if give { grants.with(kind) } else { grants.without(kind) };
                if give { expected.insert(kind); } else { expected.remove(&kind); }
            }
            prop_assert!(grants.iter().eq(expected.iter().copied()));
            prop_assert_eq!(grants, expected.into_iter().collect());
        }

        #[test]
        fn a_ceiling_narrows_and_never_widens(
            asked in prop::collection::vec(prop::sample::select(GrantKind::ALL), 0..4),
            ceiling in prop::collection::vec(prop::sample::select(GrantKind::ALL), 0..4),
        ) {
            let (asked, ceiling) = (Grants::from_iter(asked), Grants::from_iter(ceiling));
            for kind in GrantKind::ALL {
                prop_assert_eq!(asked.within(ceiling).has(*kind), asked.has(*kind) && ceiling.has(*kind));
            }
        }
    }
}
