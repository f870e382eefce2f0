//! One transfer for any number of clients.

use std::sync::Arc;

use cache::{Outcome, Piece, PullError, Want};
use futures_util::future::join_all;
use storage::BlobStore;
use telemetry::Metrics;
use tokio::sync::Semaphore;
use upstream::ErrorKind;

use crate::upstream::{Manner, PIECE};
use crate::world::{World, next, noise, read, repository};

#[tokio::test(start_paused = true)]
async fn the_second_pull_comes_from_the_store() {
    let world = World::new();
    let blob = noise(3 << 20);
    let digest = world.upstream.put_blob(&blob);
    let first = world.get(&digest).await.unwrap();
    assert_eq!((first.size, first.outcome), (Some(blob.len() as u64), Outcome::Miss));
    assert_eq!(read(first.body.unwrap()).await.1.unwrap(), blob);
    world.settle().await;
    let second = world.get(&digest).await.unwrap();
    assert_eq!(second.outcome, Outcome::Hit);
    assert_eq!(read(second.body.unwrap()).await.1.unwrap(), blob);
    assert_eq!(world.upstream.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn f23_many_clients_share_one_transfer() {
    let world = World::new();
    let blob = noise(2 << 20);
    let digest = world.upstream.put_blob(&blob);
    let bodies = join_all((0..100).map(|_| world.pull(&digest))).await;
    assert!(bodies.into_iter().all(|body| body.unwrap() == blob));
    assert_eq!(world.upstream.asked().len(), 1);
    assert_eq!(world.upstream.blob_bytes(), blob.len() as u64);
}

#[tokio::test(start_paused = true)]
async fn f11_headers_go_out_before_the_body_has_come() {
    let world = World::new();
    let gate = Arc::new(Semaphore::new(0));
    world.upstream.set_manner(Manner { gate: Some(gate.clone()), ..Manner::default() });
    let digest = world.upstream.put_blob(&noise(1 << 20));
    let answer = world.get(&digest).await.unwrap();
    assert_eq!(answer.size, Some(1 << 20));
    let mut reader = answer.body.unwrap();
    gate.add_permits(1);
    assert_eq!(next(&mut reader).await.unwrap().unwrap().len(), PIECE);
}

#[tokio::test(start_paused = true)]
async fn f25_a_fill_completes_after_every_client_left() {
    let world = World::new();
    let gate = Arc::new(Semaphore::new(8));
    world.upstream.set_manner(Manner { gate: Some(gate.clone()), ..Manner::default() });
    let blob = noise(2 << 20);
    let digest = world.upstream.put_blob(&blob);
    let mut reader = world.get(&digest).await.unwrap().body.unwrap();
    next(&mut reader).await.unwrap().unwrap();
    drop(reader);
    gate.add_permits(1_000);
    world.settle().await;
    assert!(world.holds(&digest).await);
    assert_eq!(world.pull(&digest).await.unwrap(), blob);
    assert_eq!(world.upstream.count("GET blob"), 1);
}

#[tokio::test(start_paused = true)]
async fn f24_a_client_that_leaves_before_the_headers_does_not_affect_the_others() {
    let world = World::new();
    let digest = world.upstream.put_blob(&noise(1 << 20));
    let leaver = world.get(&digest);
    assert!(futures_util::FutureExt::now_or_never(leaver).is_none());
    assert!(world.pull(&digest).await.is_ok());
    assert_eq!(world.upstream.count("GET blob"), 1);
}

#[tokio::test(start_paused = true)]
async fn f26_a_slow_client_does_not_slow_the_fill_or_another() {
    let world = World::new();
    let blob = noise(4 << 20);
    let digest = world.upstream.put_blob(&blob);
    let mut slow = world.get(&digest).await.unwrap().body.unwrap();
    next(&mut slow).await.unwrap().unwrap();
    assert_eq!(world.pull(&digest).await.unwrap(), blob);
    world.settle().await;
    assert!(world.holds(&digest).await);
    assert!(slow.remaining() > 0);
    assert!(read(slow).await.1.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_head_downloads_nothing() {
    let world = World::new();
    let digest = world.upstream.put_blob(&noise(1 << 20));
    let answer = world.backend.pull_blob(&repository(), &digest, None, Want::Head).await.unwrap();
    assert_eq!((answer.size, answer.outcome), (Some(1 << 20), Outcome::Miss));
    assert_eq!(world.upstream.count("GET"), 0);
}

#[tokio::test(start_paused = true)]
async fn an_empty_blob_and_a_blob_of_one_byte_arrive() {
    let world = World::new();
    for length in [0, 1, PIECE, 256 * 1024, 256 * 1024 + 1] {
        let blob = noise(length);
        let digest = world.upstream.put_blob(&blob);
        assert_eq!(world.pull(&digest).await.unwrap(), blob, "{length} bytes");
        world.settle().await;
        assert_eq!(world.pull(&digest).await.unwrap(), blob, "{length} bytes, stored");
    }
}

#[tokio::test(start_paused = true)]
async fn a_missing_blob_is_looked_up_once_in_a_few_seconds() {
    let world = World::new();
    let digest = oci::Digest::of(oci::Algorithm::Sha256, b"nobody has this");
    for _ in 0..3 {
        assert!(matches!(world.pull(&digest).await, Err(PullError::NotFound { .. })));
    }
    assert_eq!(world.upstream.asked().len(), 1);
    tokio::time::advance(std::time::Duration::from_secs(4)).await;
    assert!(world.pull(&digest).await.is_err());
    assert_eq!(world.upstream.asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn stored_content_is_served_while_the_upstream_is_down() {
    let world = World::new();
    let blob = noise(1 << 20);
    let digest = world.upstream.put_blob(&blob);
    world.pull(&digest).await.unwrap();
    world.settle().await;
    world.upstream.set_down(Some(ErrorKind::Unreachable));
    assert_eq!(world.pull(&digest).await.unwrap(), blob);
    let other = world.upstream.put_blob(&noise(7));
    assert!(matches!(world.pull(&other).await, Err(PullError::UpstreamUnavailable { .. })));
}

#[tokio::test(start_paused = true)]
async fn s15_another_repository_must_be_granted_the_blob_too_but_fetches_no_second_body() {
    let world = World::with(|settings| settings.links = true);
    let blob = noise(1 << 20);
    let digest = world.upstream.put_blob(&blob);
    let (granted, denied) = ("team/other".parse().unwrap(), "team/denied".parse().unwrap());
    world.upstream.deny(&denied);
    world.pull(&digest).await.unwrap();
    world.settle().await;
    let refused = world.backend.pull_blob(&denied, &digest, None, Want::Get).await;
    assert!(matches!(refused, Err(PullError::Denied { .. })));
    for _ in 0..2 {
        let answer = world.backend.pull_blob(&granted, &digest, None, Want::Get).await.unwrap();
        assert_eq!(read(answer.body.unwrap()).await.1.unwrap(), blob);
    }
    assert_eq!(world.upstream.count("GET blob"), 1);
    assert_eq!(world.upstream.count("HEAD blob"), 2, "one for each other repository");
}

#[tokio::test(start_paused = true)]
async fn s15_a_join_through_another_repository_is_granted_first() {
    let world = World::with(|settings| settings.links = true);
    let gate = Arc::new(Semaphore::new(4));
    world.upstream.set_manner(Manner { gate: Some(gate.clone()), ..Manner::default() });
    let digest = world.upstream.put_blob(&noise(2 << 20));
    let denied = "team/denied".parse().unwrap();
    world.upstream.deny(&denied);
    let reader = world.get(&digest).await.unwrap().body.unwrap();
    let refused = world.backend.pull_blob(&denied, &digest, None, Want::Get).await;
    assert!(matches!(refused, Err(PullError::Denied { .. })));
    gate.add_permits(1_000);
    assert!(read(reader).await.1.is_ok());
}

#[tokio::test(start_paused = true)]
async fn s15_a_refusal_for_one_repository_is_asked_again_for_another() {
    let world = World::with(|settings| settings.links = true);
    let blob = noise(1 << 20);
    let digest = world.upstream.put_blob(&blob);
    let denied = "team/denied".parse().unwrap();
    world.upstream.deny(&denied);
    let (refused, granted) =
        tokio::join!(world.backend.pull_blob(&denied, &digest, None, Want::Get), world.get(&digest),);
    assert!(matches!(refused, Err(PullError::Denied { .. })));
    assert!(read(granted.unwrap().body.unwrap()).await.1.is_ok_and(|body| body == blob));
}

#[tokio::test(start_paused = true)]
async fn offline_is_no_absence() {
    let world = World::with(|settings| settings.tags.offline = true);
    let digest = world.upstream.put_blob(&noise(7));
    assert_eq!(world.pull(&digest).await, Err(PullError::Offline));
    assert!(world.upstream.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_clean_transfer_ends_at_once_and_is_not_resumed() {
    let world = World::new();
    for length in [0, 1, 100_000, 3 << 20] {
        let digest = world.upstream.put_blob(&noise(length));
        let before = tokio::time::Instant::now();
        world.pull(&digest).await.unwrap();
        assert_eq!(before.elapsed(), std::time::Duration::ZERO, "{length} bytes");
    }
    assert!(!world.metrics_text().contains("wharf_resumed_total{registry=\"memory.test\"} 1"));
}

#[tokio::test]
async fn small_pieces_of_a_stored_blob_are_files_too() {
    let directory = tempfile::tempdir().unwrap();
    let metrics = Metrics::new(&["memory.test".to_owned()]).registry("memory.test");
    let store = Arc::new(storage::fs::open(&directory.path().join("store"), metrics).unwrap());
    let world = World::over(Arc::default(), store.clone(), store.clone(), |_| {});
    let digest = world.upstream.put_blob(&noise((1 << 19) + 10));
    world.pull(&digest).await.unwrap();
    world.settle().await;
    if store.open(&digest).await.unwrap().unwrap().as_file().is_none() {
        println!("skipped: files of {} cannot be sent", directory.path().display());
        return;
    }
    for (range, expected) in [("bytes=0-", vec![1 << 19, 10]), ("bytes=7-7", vec![1])] {
        let mut reader = world.get_range(&digest, range).await.unwrap().body.unwrap();
        let mut pieces = Vec::new();
        while let Some(piece) = std::future::poll_fn(|context| reader.poll_piece(context)).await {
            let Piece::File(piece) = piece.unwrap() else { panic!("{range}: bytes are copied") };
            pieces.push(piece.length);
        }
        assert_eq!(pieces, expected, "{range}");
    }
}
