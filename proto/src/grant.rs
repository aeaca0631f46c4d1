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
