//! What a link holds under one set of keys. It is thrown away as a whole when the other tool was started again. Pure:
//! the time is an argument.

use std::collections::VecDeque;

use bytes::Bytes;
use proto::{
    frame::Lane,
    role::Role,
    seal::{Opener, Sealer, SessionKeys},
};
use tokio::time::Instant;

use super::{assembly::Assembly, doubt::Doubt, keeper::Keeper};
use crate::roam::PathId;

/// See the module.
pub(super) struct Life {
    pub(super) sealer: Sealer,
    pub(super) opener: Opener,
    pub(super) assembly: Assembly,
    pub(super) keeper: Keeper,
    /// Frames that are sent again before anything new.
    pub(super) again: VecDeque<[Bytes; 2]>,
    pub(super) copies: Copies,
    pub(super) doubt: Doubt,
}

/// Which frames of the input lane went over the spare path, too.
#[derive(Debug, Default)]
pub(super) struct Copies {
    /// That path, and the number of the frame that goes next.
    on: Option<(PathId, u64)>,
    /// The last ones go once more: from this number on, at this time.
    again: Option<(u64, Instant)>,
}

impl Life {
    /// Begins: nothing was said and nothing heard.
    pub(super) fn new(keys: SessionKeys, role: Role) -> Self {
        let (sealer, opener) = keys.split(role);
        let keeper = Keeper::new(sealer.due());
        Self {
            sealer,
            opener,
            assembly: Assembly::default(),
            keeper,
            again: VecDeque::new(),
            copies: Copies::default(),
            doubt: Doubt::default(),
        }
    }
}

impl Copies {
    /// The lane whose frames may have arrived by their copies.
    pub(super) fn lane(&self) -> Option<Lane> {
        self.on.map(|_| Lane::Input)
    }

    /// The number of the frame that goes next over a path; 0 over one over which none went yet.
    pub(super) fn next(&self, id: PathId) -> u64 {
        self.on.filter(|(path, _)| *path == id).map_or(0, |(_, next)| next)
    }

    /// The frames from `first` on went over a path, as all before them had, and `next` is due; they go once more then.
    pub(super) const fn went(&mut self, id: PathId, [first, next]: [u64; 2], again_at: Instant) {
        self.on = Some((id, next));
        self.again = Some((first, again_at));
    }

    /// When something goes once more.
    pub(super) fn again_at(&self) -> Option<Instant> {
        self.again.map(|(_, at)| at)
    }

    /// The number from which on something goes once more by now; it is given once.
    pub(super) fn take_again(&mut self, now: Instant) -> Option<u64> {
        self.again.take_if(|(_, at)| *at <= now).map(|(number, _)| number)
    }

    /// What went over this path may not have arrived.
    pub(super) fn forget(&mut self, id: PathId) {
        self.on.take_if(|(path, _)| *path == id);
    }
}
