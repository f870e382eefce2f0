use std::error::Error;

use storage::StoreError;
use telemetry::Metrics;

use super::*;
use crate::config::Config;
use crate::registry_error::lines;
use crate::registry_set::shared::NewStores;

fn config(root: &Path) -> Config {
    let text = format!("[[registry]]\nname = \"a.example\"\nroot = {root:?}\n");
    Config::parse("wharf.toml", &text, &|_| None).unwrap()
}

fn shared(config: &Config, capacity: &Capacity, new_stores: NewStores) -> Shared {
    let metrics = Arc::new(Metrics::new(&["a.example".to_owned()]));
    Shared::new(config, capacity, &metrics, (Upkeep::Off, new_stores))
}

#[tokio::test]
async fn a_start_waits_for_a_store_that_a_command_has_for_a_moment() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(&directory.path().join("a.example"));
    let capacity = policy::capacity::plan(None, &config.wanted, 1).unwrap();
    let shared = shared(&config, &capacity, NewStores::All);
    let registries = [&config.registries[0]];
    let held = open_all(&registries, &shared, &capacity, |_| false).await.unwrap();
    let release = async {
        // Meanwhile the other attempt begins on its own thread.
        for _ in 0..10_000 {
            tokio::task::yield_now().await;
        }
        drop(held);
    };
    let (opened, ()) = tokio::join!(open_all(&registries, &shared, &capacity, |_| true), release);
    assert!(opened.is_ok(), "{opened:?}");
}

/// The operator reads advice; the caller can still find the store's error.
#[tokio::test]
async fn a_store_that_cannot_be_opened_keeps_the_error_of_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(&directory.path().join("a.example"));
    let capacity = policy::capacity::plan(None, &config.wanted, 1).unwrap();
    let shared = shared(&config, &capacity, NewStores::All);
    let registries = [&config.registries[0]];
    let held = open_all(&registries, &shared, &capacity, |_| false).await.unwrap();
    let errors = open_all(&registries, &shared, &capacity, |_| false).await.unwrap_err();
    let cause = errors[0].source().and_then(|cause| cause.downcast_ref::<StoreError>()).unwrap();
    assert_eq!(cause.kind(), StoreErrorKind::Locked);
    let printed = lines(&errors, 2);
    assert!(printed.starts_with("a.example: another wharf uses "), "{printed}");
    assert!(!printed.contains('\n'), "{printed}");
    drop(held);
}

#[tokio::test]
async fn a_store_that_is_not_made_is_empty_and_leaves_the_disk_alone() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("a.example");
    let config = config(&root);
    let capacity = policy::capacity::plan(None, &config.wanted, 1).unwrap();
    let registries = [&config.registries[0]];
    for is_made in [false, true, false] {
        let new_stores = if is_made { NewStores::All } else { NewStores::none() };
        let existed = root.exists();
        let shared = shared(&config, &capacity, new_stores);
        let stores = open_all(&registries, &shared, &capacity, |_| false).await.unwrap();
        assert!(stores[0].repositories(None, 1).await.unwrap().is_empty());
        assert_eq!(root.exists(), existed || is_made);
    }
}

/// Such as one below a directory that the user may not read: no answer may say that it is empty.
#[tokio::test]
async fn a_store_that_cannot_be_looked_at_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let config = config(&file.join("a.example"));
    let capacity = policy::capacity::plan(None, &config.wanted, 1).unwrap();
    let shared = shared(&config, &capacity, NewStores::none());
    assert!(open_all(&[&config.registries[0]], &shared, &capacity, |_| false).await.is_err());
}
