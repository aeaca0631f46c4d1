//! Who has the keyboard: this machine, or the customer's.
//!
//! The window's event loop hands keys here before the toolkit sees them, so that Tab, Ctrl+C and the Japanese keys
//! reach the customer. Clicking the picture captures; the release chord (Ctrl+Alt+Shift+Esc), a click elsewhere or
//! losing the window gives the keyboard back.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{
    collect::{Act, Collector},
    queue::Queue,
};

/// The switch between both, shared by the event loop and the pages.
#[derive(Clone, Default)]
pub struct Capture(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    queue: Option<Queue>,
    collector: Collector,
    composing: bool,
    own_ime: bool,
}

impl Capture {
    /// Pointer and keys go to `queue` from now.
    pub fn start(&self, queue: &Queue) {
        let mut state = self.lock();
        state.composing = false;
        state.queue = Some(queue.clone());
    }

    /// Pointer and keys belong to this machine again; everything held is let go.
    pub fn stop(&self) {
        self.act(Act::FocusLost);
    }

    /// Whether pointer and keys go to the customer.
    pub fn is_on(&self) -> bool {
        self.lock().queue.is_some()
    }

    /// Takes an act; does nothing while the keyboard belongs to this machine.
    pub fn act(&self, act: Act) {
        let mut state = self.lock();
        let Some(queue) = state.queue.clone() else { return };
        if state.composing && matches!(act, Act::Key { pressed: true, .. }) {
            return;
        }
        let collected = state.collector.on(act);
        for input in collected.inputs {
            queue.push(input);
        }
        if collected.released {
            state.queue = None;
            state.composing = false;
        }
    }

    /// This machine's input method is composing; its keys are its own until it commits.
    pub fn set_composing(&self, composing: bool) {
        self.lock().composing = composing;
    }

    /// Whether this machine's input method is used; otherwise the customer's one gets the bare keys.
    pub fn own_ime(&self) -> bool {
        self.lock().own_ime
    }

    /// See [`Capture::own_ime`].
    pub fn set_own_ime(&self, own: bool) {
        self.lock().own_ime = own;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use proto::input::{Input, Key};

    use super::*;

    fn key(key: u16, pressed: bool) -> Act {
        Act::Key { key: Key(key), pressed }
    }

    #[test]
    fn nothing_is_sent_before_the_capture_and_after_the_chord() {
        let (capture, queue) = (Capture::default(), Queue::default());
        capture.act(key(4, true));
        assert_eq!(queue.take_all(), []);
        capture.start(&queue);
        for pressed in [0xE0, 0xE1, 0xE2] {
            capture.act(key(pressed, true));
        }
        capture.act(key(0x29, true));
        capture.act(key(0x29, false));
        capture.act(key(4, true));
        assert!(!capture.is_on());
        let sent = queue.take_all();
        assert_eq!(sent.len(), 4, "{sent:?}");
        assert_eq!(sent.last(), Some(&Input::ReleaseAll));
    }

    #[test]
    fn while_a_word_is_composed_its_keys_stay_here_and_the_word_is_sent() {
        let (capture, queue) = (Capture::default(), Queue::default());
        capture.start(&queue);
        capture.set_composing(true);
        capture.act(key(4, true));
        capture.act(key(4, false));
        capture.set_composing(false);
        capture.act(Act::Text("今日".to_owned()));
        assert_eq!(queue.take_all(), [Input::Text("今日".to_owned())]);
    }
}
