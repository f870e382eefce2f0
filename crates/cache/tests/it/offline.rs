//! The switch: at run time no request leaves, what is under way ends, and what is stored is served.

use std::sync::Arc;

use bytes::Bytes;
use cache::{OfflineSwitch, OfflineSwitches, Outcome, PullError, Want};
use oci::{Algorithm, Digest, Page, Reference, Tag};
use policy::offline::{Source, State, Switch};
use storage::{MemoryStore, RecordStore};
use tokio::sync::Semaphore;

use crate::upstream::Manner;
use crate::world::{World, next, noise, read, repository};

const MANIFEST: &str = r#"{"schemaVersion":2,"layers":[]}"#;

fn tag(name: &str) -> Reference {
    Reference::Tag(name.parse::<Tag>().unwrap())
}

async fn manifest(world: &World, reference: &Reference, want: Want) -> Result<Outcome, PullError> {
    world.backend.pull_manifest(&repository(), reference, want).await.map(|answer| answer.outcome)
}

async fn switch(world: &World, order: Option<Switch>) {
    world.backend.offline().set(order).await.unwrap();
}

fn is_offline<T: std::fmt::Debug>(result: &Result<T, PullError>) -> bool {
    matches!(result, Err(PullError::Offline))
}

#[tokio::test(start_paused = true)]
async fn switched_offline_no_request_of_any_kind_reaches_the_upstream_and_answers_come_at_once() {
    let world = World::new();
    let (layer, absent) = (noise(1_000_000), noise(2_000_000));
    let (held, missing) = (world.upstream.put_blob(&layer), world.upstream.put_blob(&absent));
    let digest = world.upstream.put_manifest(&repository(), "1", MANIFEST);
    world.upstream.put_manifest(&repository(), "2", r#"{"schemaVersion":2,"layers":[],"other":1}"#);
    manifest(&world, &tag("1"), Want::Get).await.unwrap();
    world.pull(&held).await.unwrap();
    world.backend.tags(&repository(), &Page::default()).await.unwrap();
    world.backend.referrers(&repository(), &digest, None, &Page::default()).await.unwrap();
    world.settle().await;
    let (before, began) = (world.upstream.asked().len(), tokio::time::Instant::now());
    switch(&world, Some(Switch::On)).await;
    assert_eq!(world.upstream.disconnect_count(), 1, "idle connections are closed");
    for want in [Want::Get, Want::Head] {
        assert_eq!(manifest(&world, &tag("1"), want).await, Ok(Outcome::Hit));
        assert_eq!(manifest(&world, &Reference::Digest(digest.clone()), want).await, Ok(Outcome::Hit));
        assert!(is_offline(&manifest(&world, &tag("2"), want).await));
        let absent = Digest::of(Algorithm::Sha256, b"absent");
        assert!(is_offline(&manifest(&world, &Reference::Digest(absent), want).await));
        let name = repository();
        assert!(world.backend.pull_blob(&name, &held, None, want).await.is_ok());
        assert!(is_offline(&world.backend.pull_blob(&name, &missing, None, want).await));
    }
    assert!(is_offline(&world.get_range(&missing, "bytes=5-9").await));
    assert!(is_offline(&world.get_range(&missing, "bytes=-9").await));
    assert_eq!(world.get_range(&held, "bytes=5-9").await.unwrap().outcome, Outcome::Hit);
    let seen = world.backend.tags(&repository(), &Page::default()).await.unwrap();
    assert!(seen.outcome == Outcome::Stale && seen.age.is_some(), "a list is marked");
    let seen = world.backend.referrers(&repository(), &digest, None, &Page::default()).await.unwrap();
    assert!(seen.outcome == Outcome::Stale && seen.age.is_some());
    let other = Page { n: Some(7), ..Page::default() };
    assert!(is_offline(&world.backend.tags(&repository(), &other).await));
    let referrers = world.backend.referrers(&repository(), &held, None, &Page::default()).await;
    assert!(matches!(referrers, Err(PullError::NotFound { .. })));
    world.settle().await;
    assert_eq!(world.upstream.asked().len(), before, "{:?}", &world.upstream.asked()[before..]);
    assert_eq!(began.elapsed().as_millis(), 0, "no answer waited");
    switch(&world, None).await;
    assert_eq!(world.pull(&missing).await.unwrap(), absent);
}

#[tokio::test(start_paused = true)]
async fn requests_under_way_end_when_the_switch_is_used_and_stored_content_stands_in() {
    let world = World::new();
    world.upstream.put_manifest(&repository(), "1", MANIFEST);
    world.upstream.put_manifest(&repository(), "2", r#"{"schemaVersion":2,"layers":[],"other":1}"#);
    manifest(&world, &tag("1"), Want::Get).await.unwrap();
    world.backend.tags(&repository(), &Page::default()).await.unwrap();
    let _gate = world.upstream.pause();
    let page = Page::default();
    let name = repository();
    let (one, two) = (tag("1"), tag("2"));
    let (held, absent, tags, ()) = tokio::join!(
        manifest(&world, &one, Want::Get),
        manifest(&world, &two, Want::Get),
        world.backend.tags(&name, &page),
        async {
            tokio::task::yield_now().await;
            while world.upstream.asked().len() < 6 {
                tokio::task::yield_now().await;
            }
            switch(&world, Some(Switch::On)).await;
        }
    );
    assert_eq!(held, Ok(Outcome::Stale));
    assert!(is_offline(&absent));
    assert_eq!(tags.unwrap().outcome, Outcome::Stale);
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn a_transfer_under_way_ends_and_its_bytes_are_kept_for_the_time_after() {
    let world = World::new();
    let content = noise(3_000_000);
    let digest = world.upstream.put_blob(&content);
    let gate = Arc::new(Semaphore::new(1));
    world.upstream.set_manner(Manner { gate: Some(gate.clone()), ..Manner::default() });
    let mut reader = world.get(&digest).await.unwrap().body.unwrap();
    let first = next(&mut reader).await.unwrap().unwrap();
    switch(&world, Some(Switch::On)).await;
    let (_, rest) = read(reader).await;
    assert_eq!(rest, Err(PullError::Offline), "the client learns that the body is not whole");
    world.settle().await;
    assert!(is_offline(&world.get(&digest).await.map(|_| ())));
    switch(&world, None).await;
    gate.add_permits(1_000_000);
    assert_eq!(world.pull(&digest).await.unwrap(), content);
    let fetched = world.upstream.blob_bytes();
    assert!(fetched < 3_000_000 + 1_000_000, "{fetched}: the first {} bytes come once", first.len());
}

#[tokio::test(start_paused = true)]
async fn the_configuration_ends_what_is_under_way_too() {
    let world = World::new();
    let digest = world.upstream.put_blob(&noise(3_000_000));
    let gate = Arc::new(Semaphore::new(1));
    world.upstream.set_manner(Manner { gate: Some(gate), ..Manner::default() });
    let reader = world.get(&digest).await.unwrap().body.unwrap();
    let offline = crate::succession::succeed(&world, |settings| settings.tags.offline = true);
    assert_eq!(read(reader).await.1, Err(PullError::Offline));
    assert_eq!(offline.backend.offline().state(), State { is_offline: true, source: Source::Configuration });
    offline.settle().await;
    let online = crate::succession::succeed(&offline, |_| {});
    assert!(!online.backend.offline().state().is_offline);
}

#[tokio::test(start_paused = true)]
async fn a_switch_outlives_a_change_of_the_configuration_and_a_restart() {
    let world = World::new();
    switch(&world, Some(Switch::On)).await;
    let changed = crate::succession::succeed(&world, |settings| settings.tags.offline = false);
    let switched = State { is_offline: true, source: Source::Registry };
    assert_eq!(changed.backend.offline().state(), switched);
    for order in [Some(Switch::Off), Some(Switch::On), None] {
        switch(&world, order).await;
        let again = reopened(&world.records).await;
        assert_eq!(again.state(), world.backend.offline().state(), "{order:?}");
    }
}

async fn reopened(records: &Arc<dyn RecordStore>) -> Arc<OfflineSwitch> {
    let all = OfflineSwitches::default();
    let switch = OfflineSwitch::open("memory.test", records.clone(), &all).await;
    all.take_over();
    switch
}

#[tokio::test]
async fn a_note_that_cannot_be_read_keeps_the_registry_offline() {
    for bytes in [&b""[..], b"\0\0\0\0", b"wharf-offline 1 own=off all="] {
        let store = Arc::new(MemoryStore::new());
        store.put_note("offline", &Bytes::from_static(bytes)).await.unwrap();
        let records: Arc<dyn RecordStore> = store;
        let switch = reopened(&records).await;
        assert_eq!(switch.state(), State { is_offline: true, source: Source::Registry });
        switch.set(None).await.unwrap();
        assert!(!reopened(&records).await.state().is_offline, "it can be taken back");
    }
}

#[tokio::test]
async fn the_order_for_all_covers_registries_that_are_added_later_and_the_newest_counts_after_a_restart() {
    let stores: Vec<Arc<dyn RecordStore>> =
        (0..3).map(|_| Arc::new(MemoryStore::new()) as Arc<dyn RecordStore>).collect();
    let all = OfflineSwitches::default();
    let one = OfflineSwitch::open("one.test", stores[0].clone(), &all).await;
    let two = OfflineSwitch::open("two.test", stores[1].clone(), &all).await;
    all.take_over();
    one.set(Some(Switch::Off)).await.unwrap();
    assert!(all.set(Some(Switch::On)).await.is_empty());
    let by_all = State { is_offline: true, source: Source::All };
    assert_eq!([one.state(), two.state()], [by_all; 2], "the order for all takes single orders back");
    let three = OfflineSwitch::open("three.test", stores[2].clone(), &all).await;
    assert_eq!(three.state(), by_all);
    assert_eq!(reopened(&stores[2]).await.state(), by_all, "its store knows it too");
    // Removed from the configuration, it does not learn the later order.
    drop(three);
    assert!(all.set(None).await.is_empty());
    assert!(!one.state().is_offline && !two.state().is_offline);
    let all = OfflineSwitches::default();
    let mut switches = Vec::new();
    for (name, store) in ["one.test", "two.test", "three.test"].into_iter().zip(&stores) {
        switches.push(OfflineSwitch::open(name, store.clone(), &all).await);
    }
    all.take_over();
    assert!(switches.iter().all(|switch| !switch.state().is_offline), "the newest order counts");
    assert!(all.set(Some(Switch::Off)).await.is_empty());
    assert!(switches.iter().all(|switch| switch.state().source == Source::Registry));
}
