//! Searches for an input that breaks `properties::location`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| properties::location::check(input));
