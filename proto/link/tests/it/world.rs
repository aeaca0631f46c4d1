//! Messages for tests.

use link::sealed::{SealedEvent, SealedReceiver};
use proto::{close::CloseReason, input::Input, message::Message};

/// A small message on the input lane, with a number to know it by.
pub(crate) fn key(number: u16) -> Message {
    Message::Input(Input::Pointer { monitor: 0, x: number, y: 0 })
}

/// A message on the control lane.
pub(crate) fn word() -> Message {
    Message::ResetScreen
}

/// A picture of about `len` bytes.
pub(crate) fn picture(len: usize, fill: u8) -> Message {
    Message::Screen(vec![fill; len])
}

/// Everything up to the end, and the end.
pub(crate) async fn all(receiver: &mut SealedReceiver) -> (Vec<Message>, CloseReason) {
    let mut messages = Vec::new();
    loop {
        match receiver.recv().await {
            SealedEvent::Message(message) => messages.push(message),
            SealedEvent::Switching | SealedEvent::Resumed | SealedEvent::PeerRestarted => {}
            SealedEvent::Ended(reason) => return (messages, reason),
        }
    }
}
