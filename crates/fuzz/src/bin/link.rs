//! Searches for an input that breaks `properties::link`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| properties::link::check(input));
