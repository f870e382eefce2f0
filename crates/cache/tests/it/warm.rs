//! Whole images that come into the store without a client.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cache::{Bounds, KeptBlobs, Outcome, PullError, Settings, Want, Wanted, WarmError, WarmProgress, Warmed};
use inventory::Keeper;
use oci::{Algorithm, Digest, Platforms, Reference, Repository};
use policy::eviction::{Cap, Limits};
use storage::MemoryStore;
use tokio_util::sync::CancellationToken;
use upstream::ErrorKind;

use crate::upstream::{Manner, MemoryUpstream};
use crate::world::{World, noise, read, repository};

pub(crate) const BYTES: usize = 400_000;

/// An image for two platforms, with a layer that both have.
pub(crate) struct Image {
    pub(crate) index: Digest,
    pub(crate) amd64: [Digest; 2],
    pub(crate) arm64: [Digest; 2],
    pub(crate) shared: Digest,
}

impl Image {
    pub(crate) fn put(upstream: &MemoryUpstream, tag: &str, seed: usize) -> Self {
        let blob = |number: usize| upstream.put_blob(&noise(BYTES + seed * 100 + number));
        let (shared, configs, layers) = (blob(0), [blob(1), blob(2)], [blob(3), blob(4)]);
        let manifest = |at: usize| {
            let described = |number: usize, digest: &Digest| {
                format!(
                    r#"{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{digest}","size":{}}}"#,
                    BYTES + seed * 100 + number
                )
            };
            let text = format!(
                r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{},"layers":[{},{}]}}"#,
                described(1 + at, &configs[at]),
                described(0, &shared),
                described(3 + at, &layers[at])
            );
            (upstream.put_manifest(&repository(), &format!("{tag}-{at}"), &text), text.len())
        };
        let child = |at: usize, platform: &str| {
            let (digest, size) = manifest(at);
            format!(
                r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{digest}","size":{size},"platform":{platform}}}"#
            )
        };
        let text = format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{},{}]}}"#,
            child(0, r#"{"os":"linux","architecture":"amd64"}"#),
            child(1, r#"{"os":"linux","architecture":"arm64","variant":"v8"}"#)
        );
        let index = upstream.put_manifest(&repository(), tag, &text);
        let [amd64, arm64] = [0, 1].map(|at| [configs[at].clone(), layers[at].clone()]);
        Self { index, amd64, arm64, shared }
    }

    pub(crate) fn of_amd64(&self) -> Vec<&Digest> {
        self.amd64.iter().chain([&self.shared]).collect()
    }
}

pub(crate) async fn warm_for(world: &World, reference: &str, platforms: &str) -> Result<Warmed, WarmError> {
    let (reference, platforms): (Reference, Platforms) =
        (reference.parse().unwrap(), platforms.parse().unwrap());
    let (kept, progress) = (KeptBlobs::default(), WarmProgress::default());
    world.backend.warm(wanted(&repository(), &reference, &platforms), &kept, &progress).await
}

fn wanted<'a>(repository: &'a Repository, reference: &'a Reference, platforms: &'a Platforms) -> Wanted<'a> {
    Wanted { repository, reference, platforms, with_referrers: false }
}

/// The length of all manifests of an image.
async fn manifest_bytes(world: &World, warmed: &Warmed) -> u64 {
    let mut bytes = 0;
    for digest in &warmed.manifests {
        bytes += world.records.manifest(&repository(), digest).await.unwrap().unwrap().size();
    }
    bytes
}

pub(crate) async fn warm(world: &World) -> Result<Warmed, WarmError> {
    warm_for(world, "1", "linux/amd64").await
}

#[tokio::test(start_paused = true)]
async fn a_warmed_image_is_pulled_with_the_upstream_gone_and_nothing_else_was_fetched() {
    let world = World::new();
    let image = Image::put(&world.upstream, "1", 0);
    let progress = WarmProgress::default();
    let reference: Reference = "1".parse().unwrap();
    let platforms: Platforms = "linux/amd64".parse().unwrap();
    let kept = KeptBlobs::default();
    let warmed =
        world.backend.warm(wanted(&repository(), &reference, &platforms), &kept, &progress).await.unwrap();
    assert_eq!((&warmed.digest, warmed.was_held, warmed.is_stale), (&image.index, false, false));
    assert_eq!(
        (warmed.manifests.len(), warmed.platforms.len(), warmed.total_bytes),
        (2, 1, 3 * BYTES as u64 + 4 + manifest_bytes(&world, &warmed).await)
    );
    let blob_bytes = progress.total.into_inner();
    assert_eq!(blob_bytes, 3 * BYTES as u64 + 4);
    assert_eq!((progress.done.into_inner(), world.upstream.blob_bytes()), (blob_bytes, blob_bytes));
    assert_eq!(warmed.fetched_bytes, warmed.total_bytes);
    world.upstream.set_down(Some(ErrorKind::Unreachable));
    let restarted = world.restarted();
    let answer = restarted.backend.pull_manifest(&repository(), &reference, Want::Get).await.unwrap();
    assert_eq!(answer.digest, image.index);
    for blob in image.of_amd64() {
        assert!(read(restarted.get(blob).await.unwrap().body.unwrap()).await.1.is_ok());
    }
    assert!(!world.holds(&image.arm64[0]).await);
}

#[tokio::test(start_paused = true)]
async fn what_is_held_is_not_fetched_again_and_a_moved_tag_is() {
    let world = World::new();
    Image::put(&world.upstream, "1", 0);
    warm(&world).await.unwrap();
    let asked = world.upstream.count("GET");
    let again = warm(&world).await.unwrap();
    assert_eq!((again.was_held, again.fetched_bytes), (true, 0));
    assert_eq!(world.upstream.count("GET"), asked);
    let all = warm_for(&world, "1", "all").await.unwrap();
    assert_eq!((all.manifests.len(), world.upstream.blob_bytes()), (3, 5 * BYTES as u64 + 10));
    assert!(!all.was_held);
    let moved = Image::put(&world.upstream, "1", 1);
    let warmed = warm(&world).await.unwrap();
    assert_eq!((warmed.digest, warmed.was_held), (moved.index, false));
}

#[tokio::test(start_paused = true)]
async fn a_digest_and_an_image_without_an_index_are_warmed_too() {
    let world = World::new();
    let image = Image::put(&world.upstream, "1", 0);
    let warmed = warm_for(&world, &image.index.to_string(), "linux/arm64").await.unwrap();
    assert_eq!(warmed.total_bytes, 3 * BYTES as u64 + 6 + manifest_bytes(&world, &warmed).await);
    let warmed = warm_for(&world, "1-0", "linux/s390x").await.unwrap();
    assert_eq!((warmed.manifests.len(), warmed.platforms), (1, Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn platforms_that_the_image_does_not_have_are_named() {
    let world = World::new();
    Image::put(&world.upstream, "1", 0);
    let error = warm_for(&world, "1", "linux/s390x").await.unwrap_err();
    assert!(error.to_string().contains("but for linux/amd64, linux/arm64"), "{error}");
    let warmed = warm_for(&world, "1", "linux/s390x,linux/amd64").await.unwrap();
    assert_eq!(warmed.unmatched.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn no_byte_comes_twice_beside_clients_that_pull_the_same() {
    let world = World::new();
    world.upstream.set_manner(Manner { pace: Duration::from_millis(5), ..Manner::default() });
    let image = Image::put(&world.upstream, "1", 0);
    let pull = async {
        for blob in image.of_amd64() {
            world.pull(blob).await.unwrap();
        }
    };
    let (warmed, ()) = tokio::join!(warm(&world), pull);
    assert!(warmed.unwrap().was_held || world.upstream.blob_bytes() > 0);
    assert_eq!(world.upstream.blob_bytes(), 3 * BYTES as u64 + 4);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_warming_stops_and_the_next_one_goes_on_where_it_was() {
    let world = World::new();
    world.upstream.set_manner(Manner { pace: Duration::from_millis(10), ..Manner::default() });
    let image = Image::put(&world.upstream, "1", 0);
    let brief = tokio::time::timeout(Duration::from_millis(40), warm(&world)).await;
    assert!(brief.is_err());
    world.settle().await;
    let before = world.upstream.blob_bytes();
    assert!(before > 0 && before < 3 * BYTES as u64, "{before}");
    let warmed = warm(&world).await.unwrap();
    // Each body that was broken off had one more piece on its way.
    let rest = world.upstream.blob_bytes();
    assert!(rest <= warmed.total_bytes + 3 * crate::upstream::PIECE as u64, "{rest}");
    assert!(world.holds(&image.shared).await);
}

#[tokio::test(start_paused = true)]
async fn a_failed_blob_fails_the_image_and_keeps_the_others() {
    let world = World::new();
    let image = Image::put(&world.upstream, "1", 0);
    world.upstream.script(
        (0..3).map(|at| Manner { refuse: (at == 1).then_some(ErrorKind::NotFound), ..Manner::default() }),
    );
    let error = warm(&world).await.unwrap_err();
    assert!(matches!(error, WarmError::Pull(PullError::NotFound { .. })), "{error:?}");
    let mut held_count = 0;
    for blob in image.of_amd64() {
        held_count += usize::from(world.holds(blob).await);
    }
    assert_eq!(held_count, 2);
}

#[tokio::test(start_paused = true)]
async fn while_the_upstream_is_down_a_held_image_is_stale_and_a_half_held_one_fails() {
    let world = World::new();
    Image::put(&world.upstream, "1", 0);
    warm(&world).await.unwrap();
    world.upstream.set_down(Some(ErrorKind::Unreachable));
    let held = warm(&world).await.unwrap();
    assert_eq!((held.was_held, held.is_stale), (true, true));
    let error = warm_for(&world, "1", "all").await.unwrap_err();
    assert!(matches!(error, WarmError::Pull(PullError::UpstreamUnavailable { .. })), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn warming_waits_for_a_permit_and_takes_none_from_a_client() {
    let store = Arc::new(MemoryStore::new());
    let bounds = Bounds::new(1000, 1000);
    let one = |settings: &mut Settings| settings.asking_count_max = 2;
    let world = World::beside_others(Arc::default(), store.clone(), store, bounds, one);
    let image = Image::put(&world.upstream, "1", 0);
    warm_for(&world, "1-1", "all").await.unwrap();
    let own = world.upstream.put_blob(&noise(BYTES + 50));
    world.upstream.set_manner(Manner { pace: Duration::from_millis(10), ..Manner::default() });
    let client = async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        let answer = world.get(&own).await.unwrap();
        assert_eq!(answer.outcome, Outcome::Miss);
        read(answer.body.unwrap()).await.1.unwrap()
    };
    let (warmed, pulled): (_, Bytes) = tokio::join!(warm(&world), client);
    assert!(warmed.is_ok(), "{warmed:?}");
    assert_eq!(pulled.len(), BYTES + 50);
    assert!(world.holds(&image.amd64[1]).await);
}

#[tokio::test(start_paused = true)]
async fn an_image_that_does_not_fit_is_refused_before_its_first_layer() {
    let (world, stop) = kept_below(4 * BYTES).await;
    Image::put(&world.upstream, "1", 0);
    Image::put(&world.upstream, "2", 1);
    let kept = KeptBlobs::default();
    let progress = WarmProgress::default();
    let platforms: Platforms = "linux/amd64".parse().unwrap();
    let reference: Reference = "1".parse().unwrap();
    world.backend.warm(wanted(&repository(), &reference, &platforms), &kept, &progress).await.unwrap();
    let reference: Reference = "2".parse().unwrap();
    let asked = world.upstream.count("GET blob");
    let second = world.backend.warm(wanted(&repository(), &reference, &platforms), &kept, &progress).await;
    assert!(matches!(second, Err(WarmError::NoRoom(bytes)) if bytes == 3 * BYTES as u64 + 304), "{second:?}");
    assert_eq!(world.upstream.count("GET blob"), asked);
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_verification_names_what_is_missing() {
    let world = World::new();
    let image = Image::put(&world.upstream, "1", 0);
    let (reference, platforms): (Reference, Platforms) =
        ("1".parse().unwrap(), "linux/amd64".parse().unwrap());
    let missing = async || {
        let verified = world.backend.verify(&repository(), &reference, &platforms).await.unwrap();
        verified.missing.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(missing().await, ["the tag 1"]);
    world.backend.pull_manifest(&repository(), &reference, Want::Get).await.unwrap();
    let found = missing().await;
    assert!(found.len() == 1 && found[0].starts_with("the manifest sha256:"), "{found:?}");
    assert!(found[0].ends_with(" for linux/amd64"), "{found:?}");
    warm(&world).await.unwrap();
    assert!(missing().await.is_empty());
    world.blobs.remove(&image.shared).await.unwrap();
    assert_eq!(missing().await, [format!("the blob {} of {BYTES} bytes", image.shared)]);
}

/// A backend whose store is kept below `bytes`.
pub(crate) async fn kept_below(bytes: usize) -> (World, CancellationToken) {
    let world = World::evicting(Arc::new(MemoryStore::new()), |_| {});
    let max = Some(Cap::Bytes(bytes as u64));
    let keeper = Keeper::new(world.inventory.clone(), Limits { max, ..Limits::default() });
    let stop = CancellationToken::new();
    tokio::spawn(keeper.run(stop.clone()));
    tokio::time::sleep(Duration::from_secs(61)).await;
    (world, stop)
}

#[tokio::test(start_paused = true)]
async fn an_image_that_is_here_needs_no_room() {
    let (world, stop) = kept_below(4 * BYTES).await;
    Image::put(&world.upstream, "1", 0);
    warm_for(&world, "1", "linux/amd64").await.unwrap();
    let other = noise(3 * BYTES);
    let digest = Digest::of(Algorithm::Sha256, &other);
    let spool = world.blobs.spool(&digest).await.unwrap();
    spool.write(0, vec![other]).await.unwrap();
    world.blobs.admit(spool.finish(3 * BYTES as u64).await.unwrap()).await.unwrap();
    world.inventory.blob_stored(&digest);
    let again = warm_for(&world, "1", "linux/amd64").await.unwrap();
    assert!(again.was_held);
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn images_that_are_warmed_at_the_same_time_do_not_count_on_the_same_room() {
    // Room for one image and for most of a second one.
    let (world, stop) = kept_below(5 * BYTES).await;
    world.upstream.set_manner(Manner { pace: Duration::from_millis(5), ..Manner::default() });
    for (tag, seed) in [("1", 0), ("2", 1)] {
        Image::put(&world.upstream, tag, seed);
    }
    let (one, two) = tokio::join!(warm_for(&world, "1", "linux/amd64"), warm_for(&world, "2", "linux/amd64"));
    let results = [one, two];
    let refused_count = results.iter().filter(|it| matches!(it, Err(WarmError::NoRoom(_)))).count();
    assert_eq!((refused_count, results.iter().filter(|it| it.is_ok()).count()), (1, 1), "{results:?}");
    assert_eq!(world.upstream.count("GET blob"), 3, "nothing was fetched for the image that does not fit");
    // The room of an image that is over is free again.
    let again = warm_for(&world, "1", "linux/amd64").await;
    let other = warm_for(&world, "2", "linux/amd64").await;
    assert!(again.is_ok() || other.is_ok());
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn with_credentials_a_held_blob_is_granted_to_each_repository_that_is_warmed() {
    let world = World::with(|settings| settings.links = true);
    let image = Image::put(&world.upstream, "1", 0);
    // Another repository brought the blob.
    let other: oci::Repository = "library/other".parse().unwrap();
    let answer = world.backend.pull_blob(&other, &image.shared, None, Want::Get).await.unwrap();
    read(answer.body.unwrap()).await.1.unwrap();
    world.settle().await;
    let (reference, platforms): (Reference, Platforms) =
        ("1".parse().unwrap(), "linux/amd64".parse().unwrap());
    let missing = async || world.backend.verify(&repository(), &reference, &platforms).await.unwrap().missing;
    let asked = world.upstream.count("GET blob");
    warm(&world).await.unwrap();
    assert_eq!(world.upstream.count("GET blob"), asked + 2, "its bytes are not fetched again");
    assert!(missing().await.is_empty());
    world.records.remove_link(&repository(), &image.shared).await.unwrap();
    assert_eq!(
        missing().await.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [format!("the registry's permission to read the blob {}", image.shared)]
    );
}
