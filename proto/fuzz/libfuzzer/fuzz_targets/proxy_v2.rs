//! Coverage-guided runs of [`fuzz::proxy_v2`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::proxy_v2(data));
