//! How long a file may be, what it may be called, what it may not contain.

use crate::tree;

/// The longest source file, in lines; tests apart.
const FILE_LINES_MAX: usize = 600;

/// The files that may hold `unsafe`, each block with its proof.
const MAY_BE_UNSAFE: &[&str] = &[];

#[test]
fn no_source_file_is_too_long_to_read_in_one_sitting() {
    let files = tree::files("crates", "rs").into_iter().filter(|(path, _)| !tree::is_test(path));
    let long: Vec<_> = files
        .map(|(path, text)| (text.lines().count(), path))
        .filter(|(lines, _)| *lines > FILE_LINES_MAX)
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn no_module_is_named_after_nothing() {
    let banned = ["utils", "util", "helpers", "helper", "common", "misc", "types", "manager", "mod"];
    let named: Vec<_> = tree::files("crates", "rs")
        .into_iter()
        .map(|(path, _)| path)
        .filter(|path| {
            let stem = path.rsplit('/').next().unwrap_or_default().trim_end_matches(".rs");
            banned.contains(&stem)
        })
        .collect();
    assert!(named.is_empty(), "{named:#?}");
}

#[test]
fn every_source_file_says_what_it_is() {
    let silent: Vec<_> = tree::files("crates", "rs")
        .into_iter()
        .filter(|(path, text)| !tree::is_test(path) && !text.starts_with("//!"))
        .map(|(path, _)| path)
        .collect();
    assert!(silent.is_empty(), "{silent:#?}");
}

/// The one place that may: it asks a daemon which is not ours, with growing pauses, whether it is ready.
const MAY_WAIT: &str = "crates/wharf/tests/clients/process.rs";

#[test]
fn no_test_waits_by_the_clock() {
    let waits: Vec<_> = tree::files("crates", "rs")
        .into_iter()
        .filter(|(path, _)| path.contains("/tests") && !path.starts_with("crates/tidy/") && path != MAY_WAIT)
        .flat_map(|(path, text)| {
            let lines = text.lines().enumerate().filter(|(_, line)| line.contains("thread::sleep("));
            lines.map(|(number, _)| format!("{path}:{}", number + 1)).collect::<Vec<_>>()
        })
        .collect();
    assert!(waits.is_empty(), "{waits:#?}");
}

#[test]
fn unsafe_code_lives_in_its_one_room() {
    let found: Vec<_> = tree::files("crates", "rs")
        .into_iter()
        .filter(|(path, _)| !MAY_BE_UNSAFE.contains(&path.as_str()) && !path.starts_with("crates/tidy/"))
        .filter(|(_, text)| {
            text.contains("unsafe {") || text.contains("unsafe fn") || text.contains("unsafe impl")
        })
        .map(|(path, _)| path)
        .collect();
    assert!(found.is_empty(), "{found:#?}");
}
