//! Coverage-guided runs of [`fuzz::rejoin`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::rejoin(data));
