//! What a link holds under one set of keys. It is thrown away as a whole when the other tool was started again. Pure.

use std::collections::VecDeque;

use bytes::Bytes;
use proto::{
    role::Role,
    seal::{Opener, Sealer, SessionKeys},
};

use super::{assembly::Assembly, keeper::Keeper};

/// See the module.
pub(super) struct Life {
    pub(super) sealer: Sealer,
    pub(super) opener: Opener,
    pub(super) assembly: Assembly,
    pub(super) keeper: Keeper,
    /// Frames that are sent again before anything new.
    pub(super) again: VecDeque<[Bytes; 2]>,
}

impl Life {
    /// Begins: nothing was said and nothing heard.
    pub(super) fn new(keys: SessionKeys, role: Role) -> Self {
        let (sealer, opener) = keys.split(role);
        let keeper = Keeper::new(sealer.due());
        Self { sealer, opener, assembly: Assembly::default(), keeper, again: VecDeque::new() }
    }
}
