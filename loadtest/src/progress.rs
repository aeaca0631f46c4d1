//! Lines for the person who waits, on standard error.

/// Says how far a run is.
#[expect(clippy::print_stderr, reason = "standard output is for the result")]
pub fn tell(text: &str) {
    eprintln!("{text}");
}
