//! Coverage-guided runs of [`fuzz::streams`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::streams(data));
