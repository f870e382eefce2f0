use oci::Algorithm;

use bytes::Bytes;
use oci::Hasher;
use telemetry::BypassReason;

use super::*;
use crate::fill::relay::Pushed;

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

/// Its writer is about to end the fill with an error, which concerns no client.
#[tokio::test]
async fn f31_who_comes_for_a_relay_that_its_clients_have_left_gets_a_fill_of_its_own() {
    let table = FillTable::new(Memory::default());
    let mut writers = Vec::new();
    let hasher = Hasher::new(Algorithm::Sha256);
    let joined = table.join_or_start(&digest(), &repository(), |writer| writers.push(writer));
    let fill = Arc::clone(&joined.fill);
    fill.begin_relay(0, hasher.clone(), BypassReason::StoreFailed);
    let chunk = Bytes::from_static(b"a");
    assert_eq!(fill.push_to_relay(&chunk, &hasher).0, Pushed::Taken);
    let second = table.join_or_start(&digest(), &repository(), drop);
    drop(joined);
    assert_eq!(fill.push_to_relay(&chunk, &hasher).0, Pushed::Taken, "a client came in time");
    drop(second);
    assert_eq!(fill.push_to_relay(&chunk, &hasher).0, Pushed::Unneeded);
    assert!(table.join_or_start(&digest(), &repository(), |writer| writers.push(writer)).is_first);
}
