//! Coverage-guided runs of [`fuzz::sealed_frame`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::sealed_frame(data));
