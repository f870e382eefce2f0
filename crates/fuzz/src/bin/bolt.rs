//! Searches for an input that breaks `properties::bolt`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| properties::bolt::check(input));
