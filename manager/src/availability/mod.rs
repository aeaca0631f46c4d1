//! 稼働率: how much of each month the service was there, with planned stops left out.
//!
//! Guarantees: a planned stop is maintenance of managers or relays that was announced as long before as the rule asks
//! for ([`NOTICE_MIN`](crate::notice::maintenance::NOTICE_MIN)); such maintenance that was announced later, which
//! only an emergency is, the stop that is recorded of an incident, and a halt of the whole service are lost time.
//! Maintenance lasts until its announced end, or until somebody said before that its work is finished; what stands
//! still after the announced end is an incident.
//! Maintenance of downloads alone is neither. What overlaps is counted once, and as planned where it was planned.
//! Months are those of Japanese time, and begin with the first system administrator: of the time before nothing is
//! claimed.
//! What people record has minutes, and nothing finer.
//! A halt that a manager of before pressed and lifted, in an upgrade, is not known.
//! It counts what people recorded. What Prometheus measured is in `ops/prometheus`; the two are held against each other
//! by whoever writes the report.

pub mod page;
pub mod state;
pub mod store;

mod file;

pub use self::page::router;
