//! How it is carried: the only code that puts frames on sockets.
//!
//! A link is one TLS 1.3 connection from a tool to a relay, with frames of four lanes on it. [`meet::meet`] dials the
//! relays of a pairing, is admitted, waits for the other tool, proves the secret with it, and gives a
//! [`sealed::Sealed`]: messages in, messages out, unreadable to everybody between.
//!
//! Guarantees: every wait has a deadline, every queue and buffer a bound, and what a peer may send is never a panic.
//! The modules stand in reading order. The relay uses the lower ones (`tls` to `tcp`), the tools the upper ones.
//! [`quic`] stands beside [`tcp`]: everything above them knows only a [`framed::FrameReader`] and a byte sink.
#![forbid(unsafe_code)]

/// A future on the heap, for what is handed in from outside.
pub type BoxFuture<T> = std::pin::Pin<Box<dyn Future<Output = T> + Send>>;

pub mod tls;

pub mod framed;

pub mod record;

pub mod served;

pub mod stall;

pub mod lanes;

pub mod credit;

pub mod keepalive;

pub mod line;

pub mod transport;

pub mod proxy;

pub mod tcp;

pub mod quic;

pub mod race;

pub mod join;

pub mod roam;

mod beside;
mod path;

pub mod meet;

pub mod sealed;

pub mod api;

pub mod testing;
