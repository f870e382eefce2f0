//! Readiness names the stores that cannot be written, and stays ready: their hits are still served.

use std::sync::Arc;

use storage::{MemoryStore, Operation, StoreErrorKind};
use testkit::within;
use testlab::HUB;
use tokio_util::sync::CancellationToken;

use crate::{AdminLab, settings};

#[tokio::test]
async fn f31_a_store_that_cannot_be_written_is_named_and_takes_no_hits_away() {
    let lab = AdminLab::start(settings(None)).await;
    let store = MemoryStore::new();
    store.fail(Operation::TryWrite, 0, StoreErrorKind::Full);
    let snapshot = lab.control.snapshot();
    let hub = snapshot.routes.registries().iter().find(|it| it.name() == "docker.io").unwrap();
    let (health, metrics) = (Arc::clone(hub.store_health()), Arc::clone(hub.metrics()));
    let stop = CancellationToken::new();
    let watch = health.watch("docker.io".to_owned(), Arc::new(store), metrics, stop.clone());
    tokio::spawn(watch);
    let noticed = async {
        while hub.store_health().trouble().is_none() {
            tokio::task::yield_now().await;
        }
    };
    within("the trouble is noticed", noticed).await;
    let named = lab.ask_as("localhost", "GET", "/readyz", &[]).await;
    let text = "ok\nthe store of docker.io cannot be written: disk full\n";
    assert_eq!((named.status, named.text().as_str()), (200, text));
    let public = lab.get(HUB, "/readyz").await;
    assert_eq!((public.status, public.text().as_str()), (200, "ok\n1 of 2 stores cannot be written\n"));
    assert_eq!(lab.ask_as("localhost", "GET", "/livez", &[]).await.text(), "ok\n");
    stop.cancel();
}
