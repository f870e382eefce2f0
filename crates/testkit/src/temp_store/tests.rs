use std::fs;
use std::path::PathBuf;

use super::TempStore;

#[test]
fn files_are_listed_and_removed_on_drop() {
    let store = TempStore::new();
    let root = store.path().to_owned();
    fs::create_dir_all(root.join("b/c")).unwrap();
    fs::write(root.join("b/c/one"), "1").unwrap();
    fs::write(root.join("a"), "2").unwrap();
    assert_eq!(store.files(), [PathBuf::from("a"), PathBuf::from("b/c/one")]);
    drop(store);
    assert!(!root.exists());
}
