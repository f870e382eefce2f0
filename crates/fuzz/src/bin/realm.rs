//! Searches for an input that breaks `properties::realm`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| properties::realm::check(input));
