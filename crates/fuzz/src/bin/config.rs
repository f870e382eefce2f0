//! Searches for a configuration that breaks a property of `config::fuzzing`.
#![no_main]

// The program has no library target, so its module is compiled in here.
#[path = "../../../wharf/src"]
mod program {
    #[allow(dead_code, unused_imports, reason = "the program uses what is not used here")]
    pub(crate) mod config;
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| program::config::fuzzing::check(input));
