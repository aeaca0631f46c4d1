//! Coverage-guided runs of [`fuzz::hello`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::hello(data));
