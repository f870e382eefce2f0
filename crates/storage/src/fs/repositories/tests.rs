use std::fs;
use std::path::Path;

use futures_util::FutureExt;
use oci::{Algorithm, Digest, Repository};
use telemetry::Metrics;

use crate::fs::fault::{Call, Faults};
use crate::fs::levels::Levels;
use crate::fs::repositories::Sought;
use crate::fs::{FsStore, open, open_with};
use crate::record_store::RecordStore;

fn store(directory: &tempfile::TempDir) -> FsStore {
    open(directory.path(), Metrics::new(&["test".to_owned()]).registry("test")).unwrap()
}

fn listed(store: &FsStore, after: &str, count_max: usize) -> Vec<String> {
    let found = store.repositories_blocking(after, count_max, Sought::Content).unwrap();
    found.iter().map(|name| name.as_str().to_owned()).collect()
}

fn put(directory: &Path, name: &str) {
    let tags = directory.join("repositories").join(name).join("_tags");
    fs::create_dir_all(&tags).unwrap();
    fs::write(tags.join("latest"), "").unwrap();
}

#[test]
fn a_level_with_more_names_than_fit_in_memory_is_listed_whole() {
    for level_bytes_max in [1, 200, 5_000, 1 << 20] {
        let directory = tempfile::tempdir().unwrap();
        let mut store = store(&directory);
        store.set_levels(Levels::of_at_most(level_bytes_max));
        let mut names: Vec<String> = (0..300).map(|number| format!("r{number}")).collect();
        names.extend(["a/b".into(), "r7/deep".into(), "r7-x".into(), "z".into()]);
        names.iter().for_each(|name| put(directory.path(), name));
        names.sort();
        assert_eq!(listed(&store, "", usize::MAX), names);
        for (at, name) in names.iter().enumerate() {
            let end = names.len().min(at + 4);
            assert_eq!(listed(&store, name, 3), names[at + 1..end], "behind {name}");
        }
    }
}

/// The number of listings of the top directory for a page.
fn readings(faults: &Faults, directory: &Path) -> usize {
    let is_reading = |step: &&crate::fs::fault::Step| {
        step.call == Call::ReadDirectory && step.path == directory.join("repositories")
    };
    let count = faults.steps().iter().filter(is_reading).count();
    faults.reset();
    count
}

#[tokio::test]
async fn t08_a_page_does_not_list_a_level_again_that_was_read_lately() {
    let (directory, faults) = (tempfile::tempdir().unwrap(), Faults::default());
    let metrics = Metrics::new(&["test".to_owned()]).registry("test");
    let store = open_with(directory.path(), metrics, faults.clone(), None).unwrap();
    let mut names: Vec<String> = (0..500).map(|number| format!("r{number:03}")).collect();
    names.iter().for_each(|name| put(directory.path(), name));
    faults.reset();
    let mut found: Vec<String> = Vec::new();
    loop {
        let page = store.repositories(found.last().map(String::as_str), 100).await.unwrap();
        found.extend(page.iter().map(|name| name.as_str().to_owned()));
        if page.is_empty() {
            break;
        }
    }
    assert_eq!(found, names);
    assert_eq!(readings(&faults, directory.path()), 1);
    // A new repository is listed at once.
    let new: Repository = "r250-new".parse().unwrap();
    store.put_link(&new, &Digest::of(Algorithm::Sha256, b"")).await.unwrap();
    names.insert(251, new.as_str().to_owned());
    assert_eq!(listed(&store, "r249", 3), names[250..253]);
    assert_eq!(readings(&faults, directory.path()), 1);
    assert_eq!(listed(&store, "", usize::MAX), names);
    assert_eq!(readings(&faults, directory.path()), 0);
}

#[tokio::test]
async fn t08_pages_are_built_one_after_the_other() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory);
    put(directory.path(), "a");
    let turn = store.listing().lock().await;
    let mut page = store.repositories(None, 10).boxed();
    for _ in 0..100 {
        assert!((&mut page).now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    drop(turn);
    assert_eq!(page.await.unwrap().len(), 1);
}

#[tokio::test]
async fn t19_a_repository_whose_grants_are_all_gone_is_not_listed() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory);
    let digest = Digest::of(Algorithm::Sha512, b"x");
    let repository: Repository = "team/secret".parse().unwrap();
    store.put_link(&repository, &digest).await.unwrap();
    assert_eq!(listed(&store, "", 10), ["team/secret"]);
    store.remove_link(&repository, &digest).await.unwrap();
    assert_eq!(listed(&store, "", 10), [""; 0]);
    // The parent of another repository is as before.
    put(directory.path(), "team/secret/below");
    assert_eq!(listed(&store, "", 10), ["team/secret/below"]);
}

#[test]
fn other_directories_are_not_listed() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory);
    let repositories = directory.path().join("repositories");
    for path in ["UPPER", "-dash", "a", "_tags", "a/..b"] {
        put(directory.path(), path);
    }
    for path in ["empty", "a/b", "c/_tags", "d/_manifests/sha256", "e/_blobs/sha1"] {
        fs::create_dir_all(repositories.join(path)).unwrap();
    }
    fs::write(repositories.join("e/_blobs/sha1/x"), "").unwrap();
    fs::write(repositories.join("file"), "").unwrap();
    std::os::unix::fs::symlink(directory.path(), repositories.join("loop")).unwrap();
    assert_eq!(listed(&store, "", 100), ["a"]);
}
