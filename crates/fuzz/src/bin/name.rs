//! Searches for an input that breaks `properties::name`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| properties::name::check(input));
