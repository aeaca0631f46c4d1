//! The exchanges by which a tool that was started again gets new keys with the other one, path by path. Pure but for the
//! random numbers.
//!
//! Who was started again calls on the path that `crate::roam` chose; who lives answers wherever it is called, and goes
//! on as if nothing had happened until the call turns out to be a true one. When both were started again, the operator
//! calls and the customer answers.

use std::collections::HashMap;

use bytes::Bytes;
use proto::{
    id::SessionId,
    role::Role,
    seal::{
        SessionKeys,
        rejoin::{Answer, Call, Kind, Rejoin, RejoinSecret},
    },
};
use rand_core::OsRng;

use crate::roam::PathId;

/// Calls that are answered on one path at most: a true caller calls once each time it finds the other side there.
const CALLS_MAX: u32 = 8;

/// See the module.
pub(super) struct Exchange {
    pub(super) role: Role,
    pub(super) session_id: SessionId,
    pub(super) introduction: String,
    pub(super) secret: RejoinSecret,
    /// This tool was started again, and the other one was not heard under new keys yet.
    pub(super) is_reborn: bool,
    call: Option<(PathId, Called)>,
    answers: HashMap<PathId, Answered>,
}

/// A call of this side.
enum Called {
    Waits(Call),
    /// It was answered and confirmed: the other side has the keys, or will.
    Confirmed,
}

/// What was answered on a path.
#[derive(Default)]
struct Answered {
    count: u32,
    newest: Option<Answer>,
}

/// What follows from a payload.
pub(super) enum Heard {
    /// Nothing.
    Nothing,
    /// This is to be said on the same path.
    Say(Bytes),
    /// The other side answered the call: these are the keys once it is heard under them, and this is to be said.
    Made(SessionKeys, Bytes),
    /// The other side was started again: these are the keys from now on.
    Anew(SessionKeys),
    /// Whoever made this up is the relay.
    Malformed,
}

impl Exchange {
    pub(super) fn new(role: Role, (session_id, introduction): (SessionId, String), secret: RejoinSecret) -> Self {
        Self { role, session_id, introduction, secret, is_reborn: false, call: None, answers: HashMap::new() }
    }

    /// The payload that calls the other side over a path; earlier calls are forgotten.
    pub(super) fn call(&mut self, id: PathId) -> Option<Bytes> {
        let (call, payload) = self.side().call(&mut OsRng).ok()?;
        self.call = Some((id, Called::Waits(call)));
        Some(payload)
    }

    /// Whether the call of this side was answered and confirmed on this path: the other side may have the keys already.
    pub(super) fn is_confirmed(&self, id: PathId) -> bool {
        matches!(&self.call, Some((path, Called::Confirmed)) if *path == id)
    }

    /// Takes a payload of the other side.
    pub(super) fn on(&mut self, id: PathId, payload: &[u8]) -> Heard {
        match Kind::of(payload) {
            Some(Kind::Call) => self.on_call(id, payload),
            Some(Kind::Answer) => self.on_answer(id, payload),
            Some(Kind::Confirmation) => {
                let answer = self.answers.get_mut(&id).and_then(|answered| answered.newest.take());
                match answer.map(|answer| answer.on(payload)) {
                    Some(Ok(keys)) => Heard::Anew(keys),
                    Some(Err(_)) | None => Heard::Malformed,
                }
            }
            None => Heard::Malformed,
        }
    }

    /// A path is gone.
    pub(super) fn forget(&mut self, id: PathId) {
        self.call.take_if(|(path, _)| *path == id);
        self.answers.remove(&id);
    }

    /// Both sides have the same keys: what is under way else counts no more.
    pub(super) fn end(&mut self) {
        self.is_reborn = false;
        self.call = None;
        self.answers.clear();
    }

    fn on_call(&mut self, id: PathId, payload: &[u8]) -> Heard {
        if self.is_reborn && self.role == Role::Operator {
            // Its own call is on the way.
            return Heard::Nothing;
        }
        let answer = self.side().answer(payload, &mut OsRng);
        let answered = self.answers.entry(id).or_default();
        answered.count = answered.count.saturating_add(1);
        match answer {
            Ok((answer, payload)) if answered.count <= CALLS_MAX => {
                answered.newest = Some(answer);
                Heard::Say(payload)
            }
            Ok(_) | Err(_) => Heard::Malformed,
        }
    }

    fn on_answer(&mut self, id: PathId, payload: &[u8]) -> Heard {
        let Some((_, Called::Waits(call))) = self.call.take_if(|(path, _)| *path == id) else {
            return Heard::Malformed;
        };
        match call.on(payload) {
            Ok((keys, confirmation)) => {
                self.call = Some((id, Called::Confirmed));
                Heard::Made(keys, confirmation)
            }
            Err(_) => Heard::Malformed,
        }
    }

    fn side(&self) -> Rejoin<'_> {
        let Self { role, session_id, introduction, secret, .. } = self;
        Rejoin { role: *role, session_id: *session_id, introduction, secret }
    }
}
