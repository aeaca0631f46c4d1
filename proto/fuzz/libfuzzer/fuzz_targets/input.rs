//! Coverage-guided runs of [`fuzz::input`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::input(data));
