use oci::Algorithm;

use super::*;

fn digest() -> Digest {
    Digest::of(Algorithm::Sha256, b"a blob")
}

fn repository() -> Repository {
    "library/app".parse().expect("a name")
}

#[tokio::test]
async fn f42_a_writer_that_vanishes_fails_its_readers_and_frees_the_digest() {
    let table = FillTable::new(Memory::default());
    let joined = table.join_or_start(&digest(), &repository(), drop);
    let ready = joined.fill.ready(0).await;
    assert!(matches!(ready, Err(PullError::UpstreamUnavailable { .. })), "{ready:?}");
    assert!(table.get(&digest()).is_none());
}

#[tokio::test]
async fn a_writer_that_ends_late_does_not_take_its_successor_off_the_table() {
    let table = FillTable::new(Memory::default());
    let mut writers = Vec::new();
    table.join_or_start(&digest(), &repository(), |writer| writers.push(writer));
    let first = writers.pop().expect("it was started");
    table.fills.remove(&digest());
    let second = table.join_or_start(&digest(), &repository(), |writer| writers.push(writer));
    drop(first);
    assert!(second.is_first);
    assert!(!table.join_or_start(&digest(), &repository(), drop).is_first);
}
