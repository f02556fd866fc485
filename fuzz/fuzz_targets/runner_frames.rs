#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| castoff_fuzz::runner_frames(data));
