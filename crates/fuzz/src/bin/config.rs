//! Searches for a configuration that breaks what `config::fuzzing` promises.
#![no_main]

// The program is no library, so that nothing outside can lean on its inside; its module is compiled in here.
#[path = "../../../wharf/src"]
mod program {
    #[allow(dead_code, unused_imports, reason = "the program uses what is not used here")]
    pub(crate) mod config;
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| program::config::fuzzing::check(input));
