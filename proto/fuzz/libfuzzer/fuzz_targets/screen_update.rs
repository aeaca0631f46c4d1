//! Coverage-guided runs of [`fuzz::screen_update`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::screen_update(data));
