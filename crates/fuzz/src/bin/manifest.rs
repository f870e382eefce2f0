//! Searches for an input that breaks `properties::manifest`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| properties::manifest::check(input));
