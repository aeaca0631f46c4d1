//! manager.
fn main() {}
