//! Replays every input that is kept in the corpus.

#![allow(clippy::unwrap_used, reason = "a test: every failure is to be loud")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use properties::CHECKS;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus")
}

#[test]
fn every_kept_input_keeps_its_promise() {
    for (name, check) in CHECKS {
        let mut count = 0;
        let mut broken = Vec::new();
        for entry in fs::read_dir(corpus().join(name)).unwrap() {
            let path = entry.unwrap().path();
            let input = fs::read(&path).unwrap();
            if std::panic::catch_unwind(|| check(&input)).is_err() {
                broken.push(path);
            }
            count += 1;
        }
        assert!(broken.is_empty(), "{broken:#?}");
        assert!(count >= 12, "{name} has but {count} inputs");
    }
}

/// A property that nobody searches, or a folder that nothing replays, would prove nothing.
#[test]
fn every_check_has_its_program_and_every_folder_its_check() {
    let names = |folder: PathBuf| -> BTreeSet<String> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
    };
    // The configuration is private to the program, whose own tests replay it.
    let mut checks: BTreeSet<String> = CHECKS.iter().map(|(name, _)| (*name).to_owned()).collect();
    checks.insert("config".to_owned());
    assert_eq!(names(corpus()), checks);
    assert_eq!(names(Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/src/bin")), checks);
}
