use std::fs;

use telemetry::Metrics;

use super::BATCH_COUNT_MAX;
use crate::fs::{FsStore, open};

fn store(directory: &tempfile::TempDir) -> FsStore {
    open(directory.path(), Metrics::new(&["test".to_owned()]).registry("test")).unwrap()
}

fn listed(store: &FsStore, after: &str, count_max: usize) -> Vec<String> {
    let found = store.repositories_now(after, count_max).unwrap();
    found.iter().map(|name| name.as_str().to_owned()).collect()
}

#[test]
fn a_level_with_more_names_than_are_held_at_once_is_listed_whole() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory);
    let mut names: Vec<String> = (0..BATCH_COUNT_MAX + 500).map(|number| format!("r{number}")).collect();
    names.extend(["a/b".into(), "r7/deep".into(), "z".into()]);
    for name in &names {
        fs::create_dir_all(directory.path().join("repositories").join(name).join("_tags")).unwrap();
    }
    names.sort();
    assert_eq!(listed(&store, "", usize::MAX), names);
    let middle = names.len() / 2;
    assert_eq!(listed(&store, &names[middle], 1000), names[middle + 1..middle + 1001]);
    assert_eq!(listed(&store, names.last().unwrap(), 10), [""; 0]);
}

#[test]
fn what_is_no_repository_is_not_listed() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory);
    let repositories = directory.path().join("repositories");
    for path in ["empty", "UPPER/_tags", "-dash/_tags", "a/_tags", "a/b", "_tags/_tags", "a/..b/_blobs"] {
        fs::create_dir_all(repositories.join(path)).unwrap();
    }
    fs::write(repositories.join("file"), "").unwrap();
    std::os::unix::fs::symlink(directory.path(), repositories.join("loop")).unwrap();
    assert_eq!(listed(&store, "", 100), ["a"]);
}
