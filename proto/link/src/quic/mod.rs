//! QUIC, beside TLS over TCP: the same ALPN name, pin, proof and frames, with one stream for each lane.
//!
//! The tool opens four streams at once; the first byte of each is the code of its lane, and frames follow. So a lost
//! packet of a picture holds up no key press, and both ends send urgent lanes first. What is not sealed (hello, words of
//! the relay, pings, the key exchange, `Resume`) is on the stream of the control lane.
//!
//! Guarantees: a frame whose lane is not that of its stream is refused, and so is a fifth stream; there are no streams
//! in one direction only, no datagrams and no early data. Lanes keep no order among each other: whoever needs one says
//! so on one lane. A connection may go on from another address of the tool, without a word of ours.
//!
//! The reading and writing halves stand in `reader.rs` and `writer.rs`; the tool's end is `dial.rs`, the relay's
//! `served.rs`.

pub mod limits;

pub(crate) mod pace;

mod config;

pub mod unread;

mod reader;

mod writer;

mod refusals;

mod dial;

pub mod served;

pub use self::{
    dial::{LaneIo, connect, connect_any, endpoint},
    reader::LaneReader,
    writer::{LaneWriter, Room},
};

use proto::frame::Lane;
use quinn::VarInt;

/// The connection is closed after everything was said.
const DONE: VarInt = VarInt::from_u32(0);
/// The connection is cut.
const CUT: VarInt = VarInt::from_u32(1);
/// The other end broke the rules of the streams.
const BROKEN: VarInt = VarInt::from_u32(2);

/// Urgent lanes first.
fn priority(lane: Lane) -> i32 {
    3 - i32::from(lane.code())
}

#[cfg(test)]
mod tests;
