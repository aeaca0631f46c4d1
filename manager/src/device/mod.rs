//! Devices that a device management (MDM) knows, and receptions that it starts for them.
//!
//! A start has a number at once, whose four secret digits the device management draws itself and sends to no server: it
//! hands the whole number to an operator and to the device. It waits until an operator's tool takes the number with a key
//! of its own; from then on it is a reception as any other, under the same id.
//! Guarantees: of any number of operators one takes it; a device waits with one number at a time; the device is known
//! again by the id that its company's device management has for it; what was told of the device and its applications goes
//! with the sessions of the company. Nothing of a screen is ever in it: a field that is not known is refused.

pub mod start;
pub mod state;
pub mod store;
pub mod sweep;

pub use self::state::{Application, Device, Start, StartState};
