//! Blobs that the upstream sends without a length.

use std::sync::Arc;

use bytes::Bytes;
use cache::{Outcome, PullError, Want};
use oci::{Digest, Reference};
use tokio::sync::Semaphore;

use crate::upstream::{Manner, PIECE};
use crate::world::{World, next, noise, read, repository};

const SIZE: usize = 1_000_000;

/// A world with a blob without a length, and the gate for each of its pieces.
fn untold() -> (World, Digest, Arc<Semaphore>) {
    let world = World::new();
    let digest = world.upstream.put_blob(&noise(SIZE));
    let gate = Arc::new(Semaphore::new(0));
    world.upstream.set_manner(Manner { no_size: true, gate: Some(gate.clone()), ..Manner::default() });
    (world, digest, gate)
}

/// Pulls a manifest that claims this size for the blob.
async fn pull_manifest(world: &World, digest: &Digest, size: usize) {
    let layer = format!(r#"{{"mediaType":"a/b","digest":"{digest}","size":{size}}}"#);
    world.upstream.put_manifest(&repository(), "1", &format!(r#"{{"schemaVersion":2,"layers":[{layer}]}}"#));
    let tag: Reference = "1".parse().unwrap();
    world.backend.pull_manifest(&repository(), &tag, Want::Get).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn t12_a_blob_of_untold_length_is_answered_while_it_flows() {
    for is_named in [true, false] {
        let (world, digest, gate) = untold();
        if is_named {
            world.upstream.hide_sizes();
            pull_manifest(&world, &digest, SIZE).await;
        }
        gate.add_permits(4);
        let answer = world.get(&digest).await.unwrap();
        assert_eq!((answer.size, answer.outcome), (Some(SIZE as u64), Outcome::Miss), "named: {is_named}");
        let mut body = answer.body.unwrap();
        let first = next(&mut body).await.unwrap().unwrap();
        assert_eq!(first, noise(SIZE)[..first.len()]);
        assert!(world.upstream.blob_bytes() <= 4 * PIECE as u64, "it was answered before it was all there");
        gate.add_permits(1000);
        let (_, rest) = read(body).await;
        assert_eq!([first, rest.unwrap()].concat(), noise(SIZE));
        assert_eq!(world.upstream.count("HEAD blob"), usize::from(!is_named), "one HEAD, where it is needed");
        world.settle().await;
        assert_eq!(world.get(&digest).await.unwrap().outcome, Outcome::Hit);
    }
}

#[tokio::test(start_paused = true)]
async fn t12_without_any_length_the_client_gets_an_error_at_once() {
    let (world, digest, gate) = untold();
    world.upstream.hide_sizes();
    gate.add_permits(20);
    let Err(PullError::UpstreamUnavailable { timed_out: false, detail }) = world.get(&digest).await else {
        panic!("it cannot be answered")
    };
    assert!(detail.contains("does not tell the blob's size"), "{detail}");
    assert!(world.upstream.blob_bytes() <= 20 * PIECE as u64, "it was refused before it was all there");
    // The transfer continues, and a later client gets the blob.
    gate.add_permits(1000);
    world.settle().await;
    assert_eq!(world.pull(&digest).await.unwrap(), noise(SIZE));
    assert_eq!(world.upstream.count("GET blob"), 1);
}

#[tokio::test(start_paused = true)]
async fn k9_a_head_of_a_blob_of_unknown_length_is_answered_without_one() {
    let (world, digest, gate) = untold();
    world.upstream.hide_sizes();
    let name = repository();
    let head = || world.backend.pull_blob(&name, &digest, None, Want::Head);
    let answer = head().await.unwrap();
    assert_eq!((answer.size, answer.partial, answer.outcome), (None, false, Outcome::Miss));
    assert!(answer.body.is_none());
    assert_eq!(world.upstream.blob_bytes(), 0, "a HEAD downloads nothing");
    // A manifest and a stored blob tell the size.
    pull_manifest(&world, &digest, SIZE).await;
    assert_eq!(head().await.unwrap().size, Some(SIZE as u64));
    gate.add_permits(1000);
    assert_eq!(world.pull(&digest).await.unwrap(), noise(SIZE));
    world.settle().await;
    let answer = head().await.unwrap();
    assert_eq!((answer.size, answer.outcome), (Some(SIZE as u64), Outcome::Hit));
    // A missing blob is missing, whatever length a manifest claims.
    let missing = oci::Digest::of(oci::Algorithm::Sha256, b"missing");
    let missing = world.backend.pull_blob(&name, &missing, None, Want::Head).await;
    assert!(matches!(missing, Err(PullError::NotFound { .. })), "{missing:?}");
}

#[tokio::test(start_paused = true)]
async fn t12_a_small_blob_of_untold_length_is_answered_once_it_is_there() {
    let (world, _, gate) = untold();
    world.upstream.hide_sizes();
    let small = Bytes::from_static(b"{}");
    let digest = world.upstream.put_blob(&small);
    gate.add_permits(1);
    assert_eq!(world.pull(&digest).await.unwrap(), small);
}

#[tokio::test(start_paused = true)]
async fn t12_a_wrong_length_ends_no_body_cleanly_and_stores_nothing_wrong() {
    for size in [SIZE - 1, SIZE + 1, 300_000, 2 * SIZE] {
        let (world, digest, gate) = untold();
        pull_manifest(&world, &digest, size).await;
        gate.add_permits(4);
        let answer = world.get(&digest).await.unwrap();
        assert_eq!(answer.size, Some(size as u64));
        gate.add_permits(1000);
        assert!(read(answer.body.unwrap()).await.1.is_err(), "{size}");
        world.settle().await;
        assert_eq!(world.pull(&digest).await.unwrap(), noise(SIZE), "{size}");
        assert_eq!(world.upstream.count("GET blob"), 1, "{size}");
    }
}
