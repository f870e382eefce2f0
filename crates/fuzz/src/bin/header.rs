//! Searches for an input that breaks `properties::header`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| properties::header::check(input));
