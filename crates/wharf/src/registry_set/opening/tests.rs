use std::error::Error;

use storage::StoreError;

use super::*;
use crate::config::Config;
use crate::registry_error::lines;

fn config(root: &Path) -> Config {
    let text = format!("[[registry]]\nname = \"a.example\"\nroot = {root:?}\n");
    Config::parse("wharf.toml", &text, &|_| None).unwrap()
}

#[tokio::test]
async fn a_start_waits_for_a_store_that_a_command_has_for_a_moment() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(&directory.path().join("a.example"));
    let capacity = policy::capacity::plan(None, &config.wanted, 1).unwrap();
    let metrics = Metrics::new(&["a.example".to_owned()]);
    let registries = [&config.registries[0]];
    let held = open_all(&registries, &metrics, &capacity, |_| false).await.unwrap();
    let release = async {
        // Meanwhile the other attempt begins on its own thread.
        for _ in 0..10_000 {
            tokio::task::yield_now().await;
        }
        drop(held);
    };
    let (opened, ()) = tokio::join!(open_all(&registries, &metrics, &capacity, |_| true), release);
    assert!(opened.is_ok(), "{opened:?}");
}

/// The operator reads advice; the caller can still find the store's error.
#[tokio::test]
async fn a_store_that_cannot_be_opened_keeps_the_error_of_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(&directory.path().join("a.example"));
    let capacity = policy::capacity::plan(None, &config.wanted, 1).unwrap();
    let metrics = Metrics::new(&["a.example".to_owned()]);
    let registries = [&config.registries[0]];
    let held = open_all(&registries, &metrics, &capacity, |_| false).await.unwrap();
    let errors = open_all(&registries, &metrics, &capacity, |_| false).await.unwrap_err();
    let cause = errors[0].source().and_then(|cause| cause.downcast_ref::<StoreError>()).unwrap();
    assert_eq!(cause.kind(), StoreErrorKind::Locked);
    let printed = lines(&errors, 2);
    assert!(printed.starts_with("a.example: another wharf uses "), "{printed}");
    assert!(!printed.contains('\n'), "{printed}");
    drop(held);
}
