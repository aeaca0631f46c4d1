//! operator.
fn main() {}
