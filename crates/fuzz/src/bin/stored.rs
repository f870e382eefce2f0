//! Searches for an input that breaks `properties::stored`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| properties::stored::check(input));
