//! Limits on bytes per second, on paused time.

use std::num::NonZeroU64;

use oci::{Algorithm, Digest};
use tokio::time::Instant;

use crate::world::{World, noise};

const RATE: Option<NonZeroU64> = NonZeroU64::new(1_000_000);

#[tokio::test(start_paused = true)]
async fn all_transfers_of_a_registry_together_stay_below_the_limit_and_none_counts_as_slow() {
    let world = World::with(|settings| settings.upstream_bandwidth = RATE);
    let blobs: Vec<_> = (0..4).map(|number| noise(5_000_000 + number)).collect();
    let digests: Vec<_> = blobs.iter().map(|blob| world.upstream.put_blob(blob)).collect();
    let began = Instant::now();
    let pulls = digests.iter().map(|digest| world.pull(digest));
    let pulled = futures_util::future::join_all(pulls).await;
    let seconds = began.elapsed().as_secs();
    for (pulled, blob) in pulled.into_iter().zip(&blobs) {
        assert!(pulled.is_ok_and(|body| body == *blob));
    }
    assert!((18..=22).contains(&seconds), "{seconds} s for 20 MB at 1 MB/s");
    assert_eq!(world.upstream.count("GET blob"), 4, "one connection for each");
    let began = Instant::now();
    world.pull(&digests[0]).await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 0, "a hit does not wait");
}

#[tokio::test(start_paused = true)]
async fn a_limit_far_below_the_floor_of_a_slow_upstream_cuts_no_transfer() {
    let world = World::with(|settings| settings.upstream_bandwidth = NonZeroU64::new(500));
    let blob = noise(300_000);
    let digest = world.upstream.put_blob(&blob);
    assert!(world.pull(&digest).await.is_ok_and(|body| body == blob));
    assert_eq!(world.upstream.count("GET blob"), 1);
}

#[tokio::test(start_paused = true)]
async fn all_answers_to_clients_together_stay_below_the_limit_hits_too() {
    let world = World::with(|settings| settings.client_bandwidth = RATE);
    let blob = noise(3_000_000);
    let digest = world.upstream.put_blob(&blob);
    world.pull(&digest).await.unwrap();
    world.settle().await;
    let began = Instant::now();
    let pulls = (0..4).map(|_| world.pull(&digest));
    for pulled in futures_util::future::join_all(pulls).await {
        assert!(pulled.is_ok_and(|body| Digest::of(Algorithm::Sha256, &body) == digest));
    }
    let seconds = began.elapsed().as_secs();
    assert!((10..=14).contains(&seconds), "{seconds} s for 12 MB at 1 MB/s");
    assert_eq!(world.upstream.count("GET blob"), 1);
}
