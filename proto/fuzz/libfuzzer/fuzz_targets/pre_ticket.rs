//! Coverage-guided runs of [`fuzz::pre_ticket`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::pre_ticket(data));
