//! Room in the store: images that nobody pulls make room for others, and what does not fit is passed through.

use std::sync::Arc;
use std::time::Duration;

use cache::{Outcome, PullError, Want};
use inventory::{ImageCursor, Keeper};
use oci::{Digest, Page, Reference, Repository};
use policy::eviction::{Cap, Limits};
use storage::{Maintain, MemoryStore};
use tokio_util::sync::CancellationToken;
use upstream::ErrorKind;

use crate::upstream::Manner;
use crate::world::{World, noise, read, repository};

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const LAYER_BYTES: usize = 300_000;

/// Longer than an image that was used lately is kept in any case.
const LATER: Duration = Duration::from_secs(20 * 60);

/// A backend whose store is kept below a cap.
struct Kept {
    world: World,
    store: Arc<MemoryStore>,
    stop: CancellationToken,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn kept_below(bytes: usize) -> Kept {
    kept_reading_ahead(bytes, 0).await
}

async fn kept_reading_ahead(bytes: usize, count: usize) -> Kept {
    let store = Arc::new(MemoryStore::new());
    let world = World::evicting(store.clone(), |settings| settings.read_ahead_count = count);
    let limits = Limits { max: Some(Cap::Bytes(bytes as u64)), ..Limits::default() };
    let keeper = Keeper::new(world.inventory.clone(), limits);
    let stop = CancellationToken::new();
    tokio::spawn(keeper.run(stop.clone()));
    let kept = Kept { world, store, stop };
    kept.look().await;
    assert!(kept.world.inventory.is_complete());
    kept
}

impl Kept {
    /// Lets the keeper look at the store, at least twice.
    async fn look(&self) {
        self.look_after(Duration::from_secs(61)).await;
    }

    async fn look_after(&self, pause: Duration) {
        tokio::time::advance(pause).await;
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
    }

    fn put_image(&self, tag: &str, seed: usize) -> Digest {
        let layer = self.world.upstream.put_blob(&noise(LAYER_BYTES + seed));
        let described =
            format!(r#"{{"mediaType":"{LAYER}","digest":"{layer}","size":{}}}"#, LAYER_BYTES + seed);
        let manifest = format!(r#"{{"schemaVersion":2,"layers":[{described}]}}"#);
        self.world.upstream.put_manifest(&repository(), tag, &manifest);
        layer
    }

    async fn pull(&self, tag: &str, want: Want) -> Result<Outcome, PullError> {
        let reference: Reference = tag.parse().unwrap();
        self.world.backend.pull_manifest(&repository(), &reference, want).await.map(|answer| answer.outcome)
    }

    /// Pulls the manifest and the layer, and lets time pass.
    async fn pull_image(&self, tag: &str, layer: &Digest) {
        self.pull(tag, Want::Get).await.unwrap();
        self.world.pull(layer).await.unwrap();
        self.look().await;
        tokio::time::advance(LATER).await;
    }

    fn listed_tags(&self) -> Vec<String> {
        let images = self.world.inventory.images(ImageCursor::default(), 100).images;
        let mut tags: Vec<_> =
            images.iter().flat_map(|image| image.tags.iter().map(ToString::to_string)).collect();
        tags.sort();
        tags
    }
}

#[tokio::test(start_paused = true)]
async fn f37_the_least_recently_pulled_image_makes_room_and_the_next_pull_brings_it_again() {
    let kept = kept_below(2 * LAYER_BYTES + LAYER_BYTES / 2).await;
    let layers = [("a", 1), ("b", 2), ("c", 3)].map(|(tag, seed)| kept.put_image(tag, seed));
    kept.pull_image("a", &layers[0]).await;
    kept.pull_image("b", &layers[1]).await;
    // A client pulls `a` again; `b` is the least recently used one now.
    kept.pull_image("a", &layers[0]).await;
    kept.pull_image("c", &layers[2]).await;
    kept.look().await;
    assert_eq!(kept.listed_tags(), ["a", "c"]);
    assert!(!kept.world.holds(&layers[1]).await);
    assert!(kept.world.holds(&layers[0]).await && kept.world.holds(&layers[2]).await);
    let usage = kept.store.usage();
    assert_eq!((usage.blobs.count, usage.manifests.count), (2, 2));
    assert_eq!(kept.pull("b", Want::Get).await, Ok(Outcome::Miss));
    assert_eq!(kept.world.get(&layers[1]).await.unwrap().outcome, Outcome::Miss);
}

#[tokio::test(start_paused = true)]
async fn f37_manifests_that_have_no_room_are_passed_through() {
    let kept = kept_below(LAYER_BYTES).await;
    let put = |number: usize| {
        let padding = "x".repeat(LAYER_BYTES / 4);
        let annotations = format!(r#"{{"number":"{number}","padding":"{padding}"}}"#);
        let text = format!(r#"{{"schemaVersion":2,"layers":[],"annotations":{annotations}}}"#);
        kept.world.upstream.put_manifest(&repository(), &format!("v{number}"), &text);
        format!("v{number}")
    };
    // All of them are used within the ten minutes in which nothing goes.
    for number in 0..10 {
        assert_eq!(kept.pull(&put(number), Want::Get).await, Ok(Outcome::Miss));
        kept.look_after(Duration::from_secs(1)).await;
        assert!(kept.pull(&format!("v{number}"), Want::Get).await.is_ok());
    }
    assert_eq!(kept.store.usage().manifests.count, 4);
    // The old ones make room, as for blobs.
    kept.look_after(LATER).await;
    assert_eq!(kept.pull(&put(10), Want::Get).await, Ok(Outcome::Miss));
    kept.look().await;
    assert!(kept.listed_tags().contains(&"v10".to_owned()));
    assert!(kept.store.usage().manifests.bytes <= LAYER_BYTES as u64 + LAYER_BYTES as u64 / 20);
}

#[tokio::test(start_paused = true)]
async fn f37_a_list_that_has_no_room_is_not_stored() {
    for (cap, is_stored) in [(1, false), (1000, true)] {
        let kept = kept_below(cap).await;
        let tags = async || kept.world.backend.tags(&repository(), &Page::default()).await;
        assert_eq!(tags().await.unwrap().outcome, Outcome::Miss);
        kept.world.upstream.set_down(Some(ErrorKind::Unreachable));
        assert_eq!(tags().await.is_ok(), is_stored, "{cap}");
    }
}

#[tokio::test(start_paused = true)]
async fn s34_tag_lists_of_repositories_that_nobody_pulls_keep_to_the_cap_and_take_nothing_from_images() {
    let kept = kept_below(2 * LAYER_BYTES).await;
    let layer = kept.put_image("a", 1);
    kept.pull_image("a", &layer).await;
    kept.world.upstream.set_tag_list(format!(r#"{{"tags":["{}"]}}"#, "x".repeat(LAYER_BYTES / 5)));
    let names: Vec<Repository> = (0..40).map(|number| format!("other/{number}").parse().unwrap()).collect();
    for name in &names {
        kept.world.backend.tags(name, &Page::default()).await.unwrap();
        kept.look_after(Duration::from_secs(1)).await;
    }
    kept.look().await;
    kept.world.upstream.set_down(Some(ErrorKind::Unreachable));
    let mut stale = Vec::new();
    for (number, name) in names.iter().enumerate() {
        if kept.world.backend.tags(name, &Page::default()).await.is_ok() {
            stale.push(number);
        }
    }
    assert_eq!(stale, [36, 37, 38, 39], "the ones that were asked for last");
    assert_eq!(kept.listed_tags(), ["a"]);
    assert!(kept.world.holds(&layer).await);
}

#[tokio::test(start_paused = true)]
async fn pulling_the_manifest_alone_or_the_layer_alone_is_a_use_of_the_image() {
    for is_manifest in [true, false] {
        let kept = kept_below(2 * LAYER_BYTES + LAYER_BYTES / 2).await;
        let layers = [("a", 1), ("b", 2), ("c", 3)].map(|(tag, seed)| kept.put_image(tag, seed));
        kept.pull_image("a", &layers[0]).await;
        kept.pull_image("b", &layers[1]).await;
        if is_manifest {
            kept.pull("a", Want::Get).await.unwrap();
        } else {
            kept.world.pull(&layers[0]).await.unwrap();
        }
        tokio::time::advance(LATER).await;
        kept.pull_image("c", &layers[2]).await;
        kept.look().await;
        assert_eq!(kept.listed_tags(), ["a", "c"], "by its manifest: {is_manifest}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_tag_that_the_upstream_has_deleted_is_no_longer_listed() {
    let kept = kept_below(3 * LAYER_BYTES).await;
    let layer = kept.put_image("a", 1);
    kept.pull_image("a", &layer).await;
    assert_eq!(kept.listed_tags(), ["a"]);
    kept.world.upstream.delete_tag(&repository(), "a");
    assert!(matches!(kept.pull("a", Want::Get).await, Err(PullError::NotFound { .. })));
    assert_eq!(kept.listed_tags(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn f37_an_image_whose_layer_is_on_its_way_stays_however_long_that_takes() {
    let slow_bytes = 3 << 20;
    let kept = kept_below(slow_bytes + LAYER_BYTES + LAYER_BYTES / 2).await;
    let slow = kept.put_image("slow", slow_bytes - LAYER_BYTES);
    let others = [("b", 2), ("c", 3)].map(|(tag, seed)| kept.put_image(tag, seed));
    kept.pull("slow", Want::Get).await.unwrap();
    kept.world.upstream.script([Manner { pace: Duration::from_secs(7), ..Manner::default() }]);
    let answer = kept.world.get(&slow).await.unwrap();
    tokio::time::timeout(LATER, std::future::pending::<()>()).await.unwrap_err();
    for (tag, layer) in ["b", "c"].into_iter().zip(&others) {
        kept.pull(tag, Want::Get).await.unwrap();
        kept.world.pull(layer).await.unwrap();
    }
    tokio::time::timeout(Duration::from_secs(60), std::future::pending::<()>()).await.unwrap_err();
    assert!(!kept.world.holds(&slow).await, "it is still on its way");
    assert!(kept.listed_tags().contains(&"slow".to_owned()), "{:?}", kept.listed_tags());
    assert!(read(answer.body.unwrap()).await.1.is_ok());
}

#[tokio::test(start_paused = true)]
async fn f37_an_image_stays_as_long_as_a_slow_client_reads_it_and_goes_after_that() {
    let slow_bytes = 3 << 20;
    let kept = kept_below(slow_bytes + 2 * LAYER_BYTES + LAYER_BYTES / 2).await;
    let slow = kept.put_image("slow", slow_bytes - LAYER_BYTES);
    let others = [("b", 2), ("c", 3), ("d", 4)].map(|(tag, seed)| kept.put_image(tag, seed));
    kept.pull_image("slow", &slow).await;
    let mut body = kept.world.get(&slow).await.unwrap().body.unwrap();
    for (tag, layer) in ["b", "c", "d"].into_iter().zip(&others) {
        for _ in 0..3 {
            std::future::poll_fn(|context| body.poll_chunk(context)).await.unwrap().unwrap();
            kept.look_after(Duration::from_secs(9 * 60)).await;
        }
        kept.pull_image(tag, layer).await;
        std::future::poll_fn(|context| body.poll_chunk(context)).await.unwrap().unwrap();
        kept.look().await;
        assert!(kept.listed_tags().contains(&"slow".to_owned()), "at {tag}: {:?}", kept.listed_tags());
    }
    drop(body);
    tokio::time::advance(LATER).await;
    kept.pull_image("b", &others[0]).await;
    kept.pull_image("c", &others[1]).await;
    kept.pull_image("d", &others[2]).await;
    kept.look().await;
    assert_eq!(kept.listed_tags(), ["b", "c", "d"]);
}

#[tokio::test(start_paused = true)]
async fn a_blob_that_has_come_is_counted_once_though_a_client_still_reads_it() {
    let kept = kept_below(2 * LAYER_BYTES + LAYER_BYTES / 2).await;
    let layer = kept.put_image("a", 0);
    kept.pull("a", Want::Get).await.unwrap();
    let answer = kept.world.get(&layer).await.unwrap();
    kept.world.settle().await;
    assert!(kept.world.holds(&layer).await);
    assert!(kept.world.inventory.fits((LAYER_BYTES + LAYER_BYTES / 3) as u64));
    drop(answer);
}

#[tokio::test(start_paused = true)]
async fn a_head_of_a_tag_is_no_use_of_its_image() {
    let kept = kept_below(2 * LAYER_BYTES + LAYER_BYTES / 2).await;
    let layers = [("a", 1), ("b", 2), ("c", 3)].map(|(tag, seed)| kept.put_image(tag, seed));
    kept.pull_image("a", &layers[0]).await;
    kept.pull_image("b", &layers[1]).await;
    kept.pull("a", Want::Head).await.unwrap();
    kept.pull_image("c", &layers[2]).await;
    kept.look().await;
    assert_eq!(kept.listed_tags(), ["b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn s34_a_blob_that_does_not_fit_is_passed_through_and_takes_nothing_from_others() {
    let kept = kept_below(2 * LAYER_BYTES).await;
    let held = kept.put_image("a", 1);
    kept.pull_image("a", &held).await;
    let large = noise(3 * LAYER_BYTES);
    let digest = kept.world.upstream.put_blob(&large);
    let answer = kept.world.get(&digest).await.unwrap();
    assert_eq!(answer.outcome, Outcome::Bypass);
    assert!(read(answer.body.unwrap()).await.1.is_ok_and(|body| body == large));
    kept.world.settle().await;
    kept.look().await;
    assert!(!kept.world.holds(&digest).await);
    assert_eq!(kept.listed_tags(), ["a"]);
    let text = kept.world.metrics_text();
    assert!(text.contains("wharf_bypassed_total{registry=\"memory.test\",reason=\"no_room\"} 1\n"), "{text}");
    assert_eq!(kept.store.usage().partial.bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_does_not_fit_is_not_read_ahead() {
    let kept = kept_reading_ahead(2 * LAYER_BYTES, 4).await;
    let sizes = [LAYER_BYTES, 3 * LAYER_BYTES, LAYER_BYTES / 2];
    let layers = sizes.map(|size| kept.world.upstream.put_blob(&noise(size)));
    let described = layers
        .iter()
        .zip(sizes)
        .map(|(digest, size)| format!(r#"{{"mediaType":"{LAYER}","digest":"{digest}","size":{size}}}"#));
    let described = described.collect::<Vec<_>>().join(",");
    kept.world.upstream.put_manifest(
        &repository(),
        "a",
        &format!(r#"{{"schemaVersion":2,"layers":[{described}]}}"#),
    );
    kept.pull("a", Want::Get).await.unwrap();
    kept.world.pull(&layers[0]).await.unwrap();
    kept.world.settle().await;
    let asked = kept.world.upstream.asked();
    assert!(!asked.iter().any(|request| request.contains(&layers[1].to_string())), "{asked:?}");
    assert!(kept.world.holds(&layers[2]).await, "the one after it is");
}

#[tokio::test(start_paused = true)]
async fn room_is_made_before_a_blob_of_known_size_is_complete() {
    let kept = kept_below(2 * LAYER_BYTES + LAYER_BYTES / 2).await;
    let layers = [("a", 1), ("b", 2), ("c", 3)].map(|(tag, seed)| kept.put_image(tag, seed));
    kept.pull_image("a", &layers[0]).await;
    kept.pull_image("b", &layers[1]).await;
    kept.pull("c", Want::Get).await.unwrap();
    let gate = Arc::new(tokio::sync::Semaphore::new(1));
    kept.world.upstream.set_manner(Manner { gate: Some(gate.clone()), ..Manner::default() });
    let world = &kept.world;
    // Only its first piece comes.
    let answer = world.get(&layers[2]);
    let answer = answer.await.unwrap();
    kept.look_after(Duration::from_secs(1)).await;
    assert!(!world.holds(&layers[0]).await, "the oldest image has gone already");
    assert!(world.holds(&layers[1]).await);
    gate.add_permits(10_000);
    assert!(read(answer.body.unwrap()).await.1.is_ok());
    world.settle().await;
    assert!(world.holds(&layers[2]).await);
}

#[tokio::test(start_paused = true)]
async fn s34_a_blob_whose_size_its_manifest_alone_tells_is_passed_through_if_it_does_not_fit() {
    let kept = kept_below(2 * LAYER_BYTES).await;
    let held = kept.put_image("a", 1);
    kept.pull_image("a", &held).await;
    let large = kept.put_image("large", 2 * LAYER_BYTES);
    kept.pull("large", Want::Get).await.unwrap();
    kept.world.upstream.set_manner(Manner { no_size: true, ..Manner::default() });
    let answer = kept.world.get(&large).await.unwrap();
    assert_eq!(answer.outcome, Outcome::Bypass);
    assert!(read(answer.body.unwrap()).await.1.is_ok_and(|body| body == noise(3 * LAYER_BYTES)));
    kept.world.settle().await;
    kept.look().await;
    assert!(!kept.world.holds(&large).await && kept.world.holds(&held).await);
}

#[tokio::test(start_paused = true)]
async fn s34_a_blob_of_untold_size_that_outgrows_the_room_is_passed_through() {
    let kept = kept_below(2 * LAYER_BYTES).await;
    let held = kept.put_image("a", 1);
    kept.pull_image("a", &held).await;
    kept.world.upstream.hide_sizes();
    kept.world.upstream.set_manner(Manner { no_size: true, ..Manner::default() });
    let large = noise(3 * LAYER_BYTES);
    let digest = kept.world.upstream.put_blob(&large);
    let answer = kept.world.get(&digest).await.unwrap();
    assert!(read(answer.body.unwrap()).await.1.is_ok_and(|body| body == large));
    kept.world.settle().await;
    kept.look().await;
    assert!(!kept.world.holds(&digest).await);
    assert_eq!(kept.store.usage().partial.bytes, 0);
    assert_eq!(kept.listed_tags(), ["a"]);
    // One that fits is stored.
    let small = noise(LAYER_BYTES / 2);
    let digest = kept.world.upstream.put_blob(&small);
    assert!(kept.world.pull(&digest).await.is_ok_and(|body| body == small));
    kept.world.settle().await;
    assert!(kept.world.holds(&digest).await);
}

/// Nothing of what a herd brought may go for ten minutes, so it must not take more than there is.
#[tokio::test(start_paused = true)]
async fn s34_a_herd_on_images_that_do_not_fit_together_takes_no_more_than_the_cap() {
    let kept = kept_below(4 * LAYER_BYTES).await;
    kept.look().await;
    for round in 0..3 {
        let blobs: Vec<_> = (0..8).map(|number| noise(LAYER_BYTES - 100 - number - 10 * round)).collect();
        let digests: Vec<_> = blobs.iter().map(|blob| kept.world.upstream.put_blob(blob)).collect();
        let pulls =
            futures_util::future::join_all(digests.iter().map(|digest| kept.world.pull(digest))).await;
        for (pulled, blob) in pulls.into_iter().zip(&blobs) {
            assert!(pulled.is_ok_and(|body| body == *blob));
        }
        kept.world.settle().await;
        let used = kept.store.usage().blobs.bytes;
        assert!(used <= 4 * LAYER_BYTES as u64, "round {round}: {used}");
        assert!(used > 2 * LAYER_BYTES as u64, "round {round}: {used}");
    }
}
