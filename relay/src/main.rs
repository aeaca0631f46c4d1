//! relay.
fn main() {}
