//! Coverage-guided runs of [`fuzz::frame_reader`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::frame_reader(data));
