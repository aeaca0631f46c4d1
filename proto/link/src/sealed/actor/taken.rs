//! What the other tool said: the link's own words, and the program's.

use proto::{close::CloseReason, frame::Lane, message::Message};

use crate::sealed::{keeper::Keeper, life::Life, state::State};

/// What a message was.
pub(super) enum Taken {
    /// The link's own.
    Own,
    /// The link's own, and there is room to send more.
    Room,
    /// The program's.
    Delivered,
    /// The other tool ends the session.
    End(CloseReason),
    /// Not what a message may be.
    Malformed,
}

/// Whether a message says that what went out over the active path arrives. What went over the spare one, too, says
/// nothing of it: a network that passes one direction only would seem to pass both.
#[expect(clippy::wildcard_enum_match_arm, reason = "nothing else tells what has arrived")]
pub(super) fn proves(message: &Message, life: &Life) -> bool {
    match message {
        Message::Echoed { .. } => true,
        Message::Received { next } => life.keeper.is_news(*next, life.copies.lane()),
        _ => false,
    }
}

/// Takes a message of the other tool: does what is the link's own, and delivers the rest to the program.
#[expect(clippy::wildcard_enum_match_arm, reason = "whatever is not the link's own is the program's")]
pub(super) fn take(state: &mut State, keeper: &mut Keeper, message: Message, bytes: &[u8], lane: Lane) -> Taken {
    match message {
        Message::End { reason } => return Taken::End(reason),
        Message::Echo { nonce } => state.echoed = Some(nonce),
        Message::Echoed { nonce } => {
            if let Some((_, asked_at)) = state.echo.take_if(|(asked, _)| *asked == nonce) {
                state.round_trip = Some(asked_at.elapsed());
            }
        }
        Message::Credit { lane, taken } => {
            return if state.credit.on_credit(lane, taken).is_ok() { Taken::Room } else { Taken::Malformed };
        }
        Message::Received { next } => {
            return if keeper.received(next).is_ok() { Taken::Own } else { Taken::Malformed };
        }
        message => {
            // A short one passed the assembly without credit, as the link's own words must.
            let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            if state.taking.check(lane, len).is_err() {
                return Taken::Malformed;
            }
            state.deliver(lane, bytes.len(), message);
            return Taken::Delivered;
        }
    }
    Taken::Own
}
