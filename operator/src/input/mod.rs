//! The operator's pointer and keys on their way to the customer.
//!
//! `keymap` knows the keys, `collect` decides what is sent, `queue` holds it until the session takes it, `held` knows
//! what is down at the customer, `capture` says whose the keyboard is.

pub mod capture;
pub mod collect;
pub mod held;
pub mod keymap;
pub mod queue;
