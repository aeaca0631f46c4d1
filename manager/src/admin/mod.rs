//! System administrators: they create companies and relays. The first one is made at the command line only.

pub mod store;
