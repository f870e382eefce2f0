//! Searches for an input that breaks `properties::request`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| properties::request::check(input));
