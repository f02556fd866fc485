#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| castoff_fuzz::keeper_frames(data));
