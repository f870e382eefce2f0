//! Searches for an input that breaks `properties::challenge`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| properties::challenge::check(input));
