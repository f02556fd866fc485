#![no_main]

mod parser;

libfuzzer_sys::fuzz_target!(init: parser::may_panic(), |data: &[u8]| castoff_fuzz::judge(data));
