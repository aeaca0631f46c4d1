//! The load: sessions of a recorded mix over any way, checked frame by frame.
//!
//! Reading order: [`mix`] says what a session says and when; [`payload`] is a frame that knows when it was due and can
//! be checked; [`check`] counts what is lost, doubled, out of order or altered; [`tls`] is the TLS of every end;
//! [`road`] makes both ends of a session over a relay, a proxy or directly; [`pace`] knows the time to the microsecond;
//! [`session`] runs one session, [`generator`] many, on a thread of their own.
//!
//! Arrival is open-loop: a frame is due at a time that nothing delays, and its latency counts from there. So a server
//! that makes the generator wait cannot hide it.

pub mod mix;

pub mod payload;

pub mod check;

pub mod tls;

pub mod road;

pub mod pace;

pub mod session;

pub mod generator;
