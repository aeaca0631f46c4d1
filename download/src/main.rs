//! download.
fn main() {}
