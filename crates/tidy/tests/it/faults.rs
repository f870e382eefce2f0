//! The table of faults names tests that exist, and every test that carries an id stands in it.

use std::collections::BTreeSet;
use std::fs;

use crate::tree;

#[test]
fn the_table_of_faults_and_the_tests_agree() {
    let table =
        fs::read_to_string(tree::root().join("docs/reference/faults.md")).expect("the table of faults");
    let named: BTreeSet<&str> = table
        .lines()
        .filter(|line| line.starts_with("| F") || line.starts_with("| S"))
        .flat_map(|line| line.rsplit(" | ").next().unwrap_or_default().split('`').skip(1).step_by(2))
        .collect();
    let sources = tree::files("crates", "rs");
    let written: BTreeSet<&str> = sources.iter().flat_map(|(_, text)| functions(text)).collect();
    let missing: Vec<_> = named.difference(&written).collect();
    assert!(missing.is_empty(), "named in the table, and not written: {missing:#?}");
    let unnamed: Vec<_> = written.iter().filter(|name| has_id(name) && !named.contains(*name)).collect();
    assert!(unnamed.is_empty(), "written, and not named in the table: {unnamed:#?}");
}

/// The names of the functions in a source text.
fn functions(text: &str) -> impl Iterator<Item = &str> {
    text.split("fn ").skip(1).filter_map(|rest| rest.split_once('(')).map(|(name, _)| name)
}

/// Whether a test's name begins with an id, such as `f05_` or `s01_`.
fn has_id(name: &str) -> bool {
    let mut bytes = name.bytes();
    matches!(bytes.next(), Some(b'f' | b's'))
        && bytes.next().is_some_and(|byte| byte.is_ascii_digit())
        && bytes.next().is_some_and(|byte| byte.is_ascii_digit())
        && bytes.next() == Some(b'_')
}
