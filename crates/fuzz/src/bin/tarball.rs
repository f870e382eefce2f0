//! Searches for an input that breaks `properties::tarball`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| properties::tarball::check(input));
