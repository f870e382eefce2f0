use std::fs;

use super::*;

#[test]
fn f41_a_change_is_acted_on_once_it_has_settled() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("wharf.toml");
    fs::write(&path, "one").unwrap();
    let paths = [path.clone()];
    let mut watch = Watch::new(Prints::of(&paths));
    let mut look = || watch.look(Prints::of(&paths));
    assert!(!look());
    fs::write(&path, "half a fi").unwrap();
    assert!(!look(), "it may still be written");
    fs::write(&path, "half a file, and the rest").unwrap();
    assert!(!look(), "it was");
    assert!(look());
    // As long as nobody has read it, it is a change.
    assert!(look());
    let mut watch = Watch::new(Prints::of(&paths));
    assert!(!watch.look(Prints::of(&paths)));
}

#[test]
fn f41_a_change_that_is_taken_back_is_none() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key.pem");
    let paths = [path.clone()];
    let mut watch = Watch::new(Prints::of(&paths));
    fs::write(&path, "a key").unwrap();
    assert!(!watch.look(Prints::of(&paths)));
    fs::remove_file(&path).unwrap();
    assert!(!watch.look(Prints::of(&paths)));
    fs::write(&path, "a key").unwrap();
    assert!(!watch.look(Prints::of(&paths)), "it is looked at twice from here on");
    assert!(watch.look(Prints::of(&paths)));
}

/// The path stays, and so does every link on it but one: `wharf.toml` -> `..data/wharf.toml`, `..data` -> `..1`.
#[test]
fn f41_a_swapped_link_is_a_change_and_a_file_that_takes_another_s_place_as_well() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    for version in ["..1", "..2"] {
        fs::create_dir(at(version)).unwrap();
        fs::write(at(version).join("wharf.toml"), "the same text").unwrap();
    }
    std::os::unix::fs::symlink("..1", at("..data")).unwrap();
    std::os::unix::fs::symlink("..data/wharf.toml", at("wharf.toml")).unwrap();
    let paths = [at("wharf.toml")];
    let before = Prints::of(&paths);
    std::os::unix::fs::symlink("..2", at("..data_tmp")).unwrap();
    fs::rename(at("..data_tmp"), at("..data")).unwrap();
    assert_ne!(Prints::of(&paths), before);
    let before = Prints::of(&paths);
    fs::write(at("new"), "the same text").unwrap();
    fs::rename(at("new"), at("..2/wharf.toml")).unwrap();
    assert_ne!(Prints::of(&paths), before);
}
