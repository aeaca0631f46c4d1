//! The task's part when a tool was started again: this one, the other one, or both.

use bytes::Bytes;
use proto::{
    close::CloseReason,
    frame::{Frame, FrameType, Lane},
    seal::Copied,
};
use tokio::time::Instant;

use super::{Actor, Life, PathEvent, PathId, WireFrame, framed};
use crate::sealed::exchange::Heard;

/// What is done with a sealed frame.
pub(super) enum Fate {
    Open,
    /// It is a copy that came before the frame itself.
    OpenCopy,
    /// It waits until the session goes on over its path.
    Hold,
    /// It is from before, or nobody can open it.
    Drop,
}

impl Actor {
    /// Whether this tool was started again and the other one was not heard yet.
    pub(super) fn is_reborn(&self) -> bool {
        self.exchange.as_ref().is_some_and(|exchange| exchange.is_reborn)
    }

    /// What is done with a sealed frame of the other side.
    pub(super) fn fate(&mut self, id: PathId, frame: &Frame) -> Fate {
        let (is_active, is_reborn) = (self.roam.active() == Some(id), self.is_reborn());
        let Some(life) = self.life.as_mut().filter(|_| !is_reborn) else {
            // Before its call is confirmed nothing can be for this tool.
            let is_confirmed = self.exchange.as_ref().is_some_and(|exchange| exchange.is_confirmed(id));
            return if is_confirmed { Fate::Hold } else { Fate::Drop };
        };
        if life.opener.is_foreign(frame) {
            // Without a rejoin there is no frame from before.
            return if is_active && life.opener.is_first() { Fate::Open } else { Fate::Drop };
        }
        if is_active {
            return Fate::Open;
        }
        if frame.lane != Lane::Input {
            return Fate::Hold;
        }
        match life.opener.copied(frame) {
            Copied::Old => Fate::Drop,
            Copied::Due => Fate::OpenCopy,
            Copied::Early => Fate::Hold,
        }
    }

    /// Calls the other tool over the path that was chosen. Whatever an earlier call has made is void: the other tool may
    /// never have heard of it.
    pub(super) fn call(&mut self, id: PathId) {
        self.life = None;
        if let Some(payload) = self.exchange.as_mut().and_then(|exchange| exchange.call(id)) {
            self.say_rejoin(id, payload);
        }
    }

    /// Takes a step of the other tool.
    pub(super) fn on_rejoin(&mut self, id: PathId, frame: &WireFrame) {
        if self.shared.lock().closing().is_some() || !self.paths.contains_key(&id) {
            return;
        }
        let Some(exchange) = &mut self.exchange else { return self.lose(id, CloseReason::Malformed) };
        let role = exchange.role;
        match exchange.on(id, &frame.payload()) {
            Heard::Nothing => {}
            Heard::Say(payload) => {
                self.say_rejoin(id, payload);
                self.roam.wait_on(id, Instant::now());
            }
            Heard::Made(keys, payload) => {
                self.say_rejoin(id, payload);
                self.life = Some(Life::new(keys, role));
                self.roam.wait_on(id, Instant::now());
            }
            Heard::Anew(keys) => {
                exchange.end();
                let life = Life::new(keys, role);
                self.timers.begin_anew(life.opener.due());
                self.life = Some(life);
                self.held.forget_others(id);
                self.shared.lock().begin_anew();
                self.shared.room.notify_waiters();
                self.shared.arrived.notify_one();
                tracing::info!(event = "session.peer_restarted", "The other tool was started again");
                self.roam(id, PathEvent::Rejoined);
            }
            // Whoever made this up is the relay.
            Heard::Malformed => self.lose(id, CloseReason::Malformed),
        }
    }

    /// This tool was started again, and the other one has been heard under the keys of its call.
    pub(super) fn end_rejoin(&mut self) {
        if let Some(exchange) = &mut self.exchange {
            exchange.end();
        }
        if let Some(life) = &self.life {
            self.timers.begin_anew(life.opener.due());
        }
    }

    /// The session goes on: a tool that was started again has met the other one.
    pub(super) fn note_met(&self) {
        let is_new = !std::mem::replace(&mut self.shared.lock().is_met, true);
        if is_new {
            self.shared.arrived.notify_one();
        }
    }

    fn say_rejoin(&self, id: PathId, payload: Bytes) {
        if let Some(path) = self.paths.get(&id)
            && let Ok(frame) = Frame::plain(FrameType::Rejoin, payload)
        {
            path.enliven();
            path.give(vec![framed::to_wire(&frame)]);
        }
    }
}
