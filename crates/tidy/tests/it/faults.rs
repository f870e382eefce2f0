//! The tables of faults and of guarantees name tests that exist, every test that carries an id stands in the
//! table of faults, and no row of it is without a test unless it says that it is open.

use std::collections::BTreeSet;
use std::fs;

use crate::tree;

#[test]
fn the_table_of_faults_and_the_tests_agree() {
    let table = page("docs/reference/faults.md");
    let named: BTreeSet<&str> = rows(&table).flat_map(|line| quoted(last_cell(line))).collect();
    let sources = tree::files("crates", "rs");
    let written: BTreeSet<&str> = sources.iter().flat_map(|(_, text)| functions(text)).collect();
    let missing: Vec<_> = named.difference(&written).collect();
    assert!(missing.is_empty(), "named in the table, and not written: {missing:#?}");
    let unnamed: Vec<_> = written.iter().filter(|name| has_id(name) && !named.contains(*name)).collect();
    assert!(unnamed.is_empty(), "written, and not named in the table: {unnamed:#?}");
}

#[test]
fn every_id_has_a_row_and_every_row_a_test_or_a_word_about_why_not() {
    let table = page("docs/reference/faults.md");
    let ids: Vec<&str> = rows(&table).filter_map(|line| line.get(2..5)).collect();
    let faults = (1..=49).map(|number| format!("F{number:02}"));
    let wanted: Vec<String> = faults.chain((1..=39).map(|number| format!("S{number:02}"))).collect();
    assert_eq!(ids, wanted, "the ids of docs/reference/faults.md");
    let bare: Vec<_> = rows(&table)
        .filter(|line| quoted(last_cell(line)).next().is_none() && !line.contains("*open*"))
        .collect();
    assert!(bare.is_empty(), "rows without a test: {bare:#?}");
}

#[test]
fn every_guarantee_names_tests_that_exist() {
    let guarantees = page("docs/reference/guarantees.md");
    let sources = tree::files("crates", "rs");
    let written: BTreeSet<&str> = sources.iter().flat_map(|(_, text)| functions(text)).collect();
    let rows = guarantees.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| promise"));
    let rows = rows.filter(|line| !line.starts_with("| ---"));
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        let [promise, shown_by, _] = cells[..] else { panic!("not three cells: {row}") };
        let named: Vec<&str> = quoted(shown_by).filter(|name| !name.contains(['/', '.'])).collect();
        assert!(!named.is_empty(), "no test shows that {promise}");
        let missing: Vec<_> = named.iter().filter(|name| !written.contains(*name)).collect();
        assert!(missing.is_empty(), "named as a test, and not written: {missing:?}");
    }
}

fn page(path: &str) -> String {
    fs::read_to_string(tree::root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The rows of the tables of faults and of attacks.
fn rows(table: &str) -> impl Iterator<Item = &str> {
    table.lines().filter(|line| line.starts_with("| F") || line.starts_with("| S"))
}

fn last_cell(row: &str) -> &str {
    row.rsplit(" | ").next().unwrap_or_default()
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
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
