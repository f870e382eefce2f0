use std::error::Error;

use super::*;

#[test]
fn a_file_that_cannot_be_read_keeps_the_system_s_error_and_prints_it_once() {
    let path = PathBuf::from("/nonexistent/wharf.toml");
    let options = ConfigOptions { config: Some(path.clone()), set: Vec::new() };
    let error = options.load(crate::config::PairRule::Each).unwrap_err();
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>()).unwrap();
    assert_eq!(cause.kind(), io::ErrorKind::NotFound);
    assert_eq!(
        describe(&error, "; nothing was started"),
        "cannot read the configuration /nonexistent/wharf.toml: No such file or directory (os error 2)"
    );
    assert_eq!(files_of(&error), [path], "a reload waits for it");
}

/// A certificate or a file that was replaced while wharf opened its stores was never loaded.
#[test]
fn f41_a_file_that_changes_during_a_start_is_a_change_afterwards() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("wharf.toml");
    let write = |ttl: &str| {
        let text = format!("[[registry]]\nname = \"docker.io\"\ntag_ttl = \"{ttl}\"\n");
        std::fs::write(&path, text).unwrap();
    };
    write("1s");
    let options = ConfigOptions { config: Some(path.clone()), set: Vec::new() };
    let count = std::cell::Cell::new(0);
    let loaded = Loaded::by(|| {
        let loaded = options.load(PairRule::Each);
        count.set(count.get() + 1);
        // Behind the first read, and behind the second one.
        write(if count.get() == 1 { "22s" } else { "333s" });
        loaded
    });
    let loaded = loaded.unwrap();
    let ttl = |config: &Config| {
        config.settings.iter().find(|it| it.key.ends_with(".tag_ttl")).unwrap().value.clone()
    };
    assert_eq!(ttl(&loaded.config), "\"22s\"", "the second read counts");
    assert_eq!(loaded.read.paths(), [path]);
    assert_ne!(loaded.read, FileStates::of(&loaded.read.paths()), "a change behind the second read shows");
}
