//! Searches for an input that breaks `properties::host`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| properties::host::check(input));
