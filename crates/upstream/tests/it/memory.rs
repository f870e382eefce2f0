//! Whole answers in memory draw on one budget, for as long as anybody holds them.

use budget::Memory;
use bytes::Bytes;
use oci::Page;
use testkit::{Auth, Behaviour, Fault, Kind, Rule};
use upstream::{Error, ErrorKind, ListPage, ListRequest, Upstream};

use crate::rig::{MANIFEST_TYPE, REPOSITORY, Rig, build, repository, settings};

const MIB: usize = 1 << 20;

/// A rig with 4 MiB for documents and as much for lists.
async fn rig() -> (Rig, Memory) {
    let memory = Memory::new(16 << 20);
    let behaviour = Behaviour { auth: Auth::Anonymous, ..Behaviour::default() };
    let registry = testkit::FakeRegistry::start_with(behaviour).await;
    let (upstream, metrics) = build(settings(&registry));
    (Rig { registry, upstream: upstream.with_memory(memory.clone()), metrics }, memory)
}

fn put(rig: &Rig, marker: u8, len: usize) -> String {
    rig.registry.put_manifest(REPOSITORY, None, MANIFEST_TYPE, Bytes::from(vec![marker; len]))
}

async fn tags(rig: &Rig) -> Result<ListPage, Error> {
    rig.upstream.list(&ListRequest::Tags { repository: repository(), page: Page::default() }).await
}

#[tokio::test]
async fn t05_manifests_that_are_held_take_no_more_than_their_budget() {
    let (rig, memory) = rig().await;
    let mut held = Vec::new();
    for marker in 0..3 {
        held.push(rig.get(&put(&rig, marker, MIB)).await.unwrap());
    }
    let small = put(&rig, 9, 1000);
    held.push(rig.get(&small).await.unwrap());
    assert_eq!(memory.documents.taken(), 3 * MIB as u64 + 1000);
    let one_too_many = put(&rig, 4, MIB);
    let refused = rig.get(&one_too_many).await.unwrap_err();
    assert_eq!((refused.kind(), refused.retryable()), (ErrorKind::Overloaded, false));
    assert_eq!(memory.documents.taken(), 3 * MIB as u64 + 1000, "what was refused takes nothing");
    let clone = held[0].bytes.clone();
    held.remove(0);
    assert_eq!(rig.get(&one_too_many).await.unwrap_err().kind(), ErrorKind::Overloaded, "a clone holds it");
    drop(clone);
    assert_eq!(rig.get(&one_too_many).await.unwrap().bytes.len(), MIB);
    drop(held);
    assert_eq!(memory.documents.taken(), 0);
}

#[tokio::test]
async fn t05_a_length_that_nobody_told_is_counted_as_it_comes() {
    let (rig, memory) = rig().await;
    let digest = put(&rig, 1, 3 * MIB);
    rig.registry.script(Rule::new(Kind::GetManifest, Fault::Chunked));
    let first = rig.get(&digest).await;
    // While it grows it takes up to twice as much, and afterwards what it has.
    let taken = memory.documents.taken();
    match first {
        Ok(body) => assert_eq!((body.bytes.len(), taken), (3 * MIB, 3 * MIB as u64)),
        Err(error) => assert_eq!((error.kind(), taken), (ErrorKind::Overloaded, 0)),
    }
    let small = put(&rig, 2, 100_000);
    let body = rig.get(&small).await.unwrap();
    assert_eq!(body.bytes.len(), 100_000);
    assert!(memory.documents.taken() <= taken + 100_000);
}

#[tokio::test]
async fn t05_lists_and_manifests_do_not_take_each_others_memory() {
    let (rig, memory) = rig().await;
    put(&rig, 1, 10);
    let list = Bytes::from(format!("{{\"tags\":[]{}}}", " ".repeat(MIB)));
    rig.registry.script(Rule::new(Kind::Tags, Fault::Body(list.clone())));
    let mut held = Vec::new();
    while let Ok(page) = tags(&rig).await {
        held.push(page);
        assert!(held.len() < 4, "{} pages of 1 MiB within 4 MiB", held.len());
    }
    assert_eq!(tags(&rig).await.unwrap_err().kind(), ErrorKind::Overloaded);
    assert_eq!(held.len(), 3);
    assert_eq!(memory.lists.taken(), 3 * list.len() as u64);
    assert!(rig.get(&put(&rig, 1, 3 * MIB)).await.is_ok());
    drop(held);
    assert_eq!((memory.lists.taken(), memory.documents.taken()), (0, 0));
}

#[tokio::test]
async fn t05_a_body_that_is_given_up_gives_its_memory_back() {
    let (rig, memory) = rig().await;
    let digest = put(&rig, 1, MIB);
    rig.registry.script(Rule::new(Kind::GetManifest, Fault::CutAt(500_000)));
    assert_eq!(rig.get(&digest).await.unwrap_err().kind(), ErrorKind::Interrupted);
    assert_eq!(memory.documents.taken(), 0);
}

#[tokio::test]
async fn t05_a_refusal_for_want_of_memory_is_no_failure_of_the_upstream() {
    let (rig, memory) = rig().await;
    let digest = put(&rig, 1, 10);
    let all = memory.documents.take(memory.documents.bytes_max()).unwrap();
    for _ in 0..20 {
        assert_eq!(rig.get(&digest).await.unwrap_err().kind(), ErrorKind::Overloaded);
    }
    drop(all);
    assert!(rig.get(&digest).await.is_ok(), "the breaker is closed");
}
