//! A tag moves when the image that it names upstream is whole in the store. Until then it names the image
//! before.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cache::{Outcome, PullError, RefreshError, Refreshed, Want, WarmError};
use inventory::Keeper;
use oci::{Digest, Platforms, Reference};
use policy::eviction::Limits;
use policy::freshness::Upstream404;
use storage::MemoryStore;
use storage::fs::fault::Call;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use upstream::ErrorKind;

use crate::store_faults::world_on_files;
use crate::upstream::{Manner, MemoryUpstream};
use crate::warm::{BYTES, Image, kept_below, warm, warm_for};
use crate::world::{World, noise, read, repository};

const ENOSPC: i32 = 28;
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// The bodies of the next blobs break off, and then the upstream delivers no blob any more.
fn break_off(upstream: &MemoryUpstream) {
    upstream.script((0..3).map(|_| Manner { cut_at: Some(BYTES / 8), ..Manner::default() }));
    upstream.set_manner(Manner { refuse: Some(ErrorKind::Unreachable), ..Manner::default() });
}

impl World {
    /// The digest that the tag names according to its record.
    async fn record(&self, tag: &str) -> Option<Digest> {
        let record = self.records.tag(&repository(), &tag.parse().unwrap()).await.unwrap();
        record.map(|record| record.digest)
    }

    async fn is_whole(&self, reference: &str, platforms: &str) -> bool {
        let (reference, platforms): (Reference, Platforms) =
            (reference.parse().unwrap(), platforms.parse().unwrap());
        self.backend.verify(&repository(), &reference, &platforms).await.unwrap().missing.is_empty()
    }

    /// Pulls the tag and the image's blobs for one platform, as a client does.
    async fn pull_whole(&self, tag: &str, image: &Image) -> Outcome {
        let reference: Reference = tag.parse().unwrap();
        let answer = self.backend.pull_manifest(&repository(), &reference, Want::Get).await.unwrap();
        assert_eq!(answer.digest, image.index);
        for blob in image.of_amd64() {
            assert!(read(self.get(blob).await.unwrap().body.unwrap()).await.1.is_ok());
        }
        answer.outcome
    }

    async fn refresh_one(&self) -> Result<Option<Refreshed>, RefreshError> {
        self.backend.refresh(&repository(), &"1".parse().unwrap()).await
    }
}

/// A world that holds an image, whose tag has moved upstream.
async fn moved(world: &World, platforms: &str) -> [Image; 2] {
    let old = Image::put(&world.upstream, "1", 0);
    warm_for(world, "1", platforms).await.unwrap();
    [old, Image::put(&world.upstream, "1", 1)]
}

#[tokio::test(start_paused = true)]
async fn a_tag_whose_new_layers_break_off_names_the_old_image_which_is_served_whole_offline() {
    let world = World::new();
    let [old, new] = moved(&world, "linux/amd64").await;
    break_off(&world.upstream);
    let error = warm(&world).await.unwrap_err();
    assert!(matches!(error, WarmError::Pull(PullError::UpstreamUnavailable { .. })), "{error:?}");
    assert_eq!(world.record("1").await, Some(old.index.clone()));
    // The upstream goes away, and the process is killed.
    world.upstream.set_down(Some(ErrorKind::Unreachable));
    world.settle().await;
    let restarted = world.restarted();
    assert_eq!(restarted.pull_whole("1", &old).await, Outcome::Stale);
    let stale = warm(&restarted).await.unwrap();
    assert!(stale.was_held && stale.is_stale && stale.digest == old.index, "{stale:?}");
    // The next warming fetches what is missing, and no byte twice.
    world.upstream.set_down(None);
    world.upstream.forget_script();
    world.upstream.set_manner(Manner::default());
    let warmed = warm(&restarted).await.unwrap();
    assert_eq!((&warmed.digest, warmed.was_held), (&new.index, false));
    assert_eq!(restarted.record("1").await, Some(new.index.clone()));
    assert!(warmed.fetched_bytes < warmed.total_bytes, "{warmed:?}");
    world.upstream.set_down(Some(ErrorKind::Unreachable));
    assert_eq!(restarted.pull_whole("1", &new).await, Outcome::Stale);
}

#[tokio::test(start_paused = true)]
async fn a_tag_moves_when_all_chosen_platforms_are_here_and_not_before() {
    for chosen in ["linux/amd64,linux/arm64", "all"] {
        let world = World::new();
        // The old image is held for one platform only: still, a client can pull it.
        let [old, new] = moved(&world, "linux/amd64").await;
        let refused = new.arm64[1].clone();
        world.upstream.set_manner(Manner { pace: Duration::from_millis(1), ..Manner::default() });
        world.upstream.refuse_blob(&refused, Some(ErrorKind::NotFound));
        warm_for(&world, "1", chosen).await.unwrap_err();
        assert!(world.is_whole(&new.index.to_string(), "linux/amd64").await);
        assert_eq!(world.record("1").await, Some(old.index.clone()), "{chosen}");
        world.upstream.refuse_blob(&refused, None);
        warm_for(&world, "1", chosen).await.unwrap();
        assert_eq!(world.record("1").await, Some(new.index.clone()), "{chosen}");
        assert!(world.is_whole("1", chosen).await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_tag_whose_old_image_no_client_could_pull_moves_at_once() {
    let world = World::new();
    let [old, new] = moved(&world, "linux/amd64").await;
    world.blobs.remove(&old.shared).await.unwrap();
    break_off(&world.upstream);
    warm(&world).await.unwrap_err();
    assert_eq!(world.record("1").await, Some(new.index));
}

#[tokio::test(start_paused = true)]
async fn while_a_new_image_comes_a_client_gets_the_upstreams_word_and_moves_the_tag() {
    let world = World::new();
    let [old, new] = moved(&world, "linux/amd64").await;
    let gate = Arc::new(Semaphore::new(0));
    world.upstream.set_manner(Manner { gate: Some(gate.clone()), ..Manner::default() });
    let client = async {
        while world.upstream.count("GET blob") < 6 {
            tokio::task::yield_now().await;
        }
        assert_eq!(world.record("1").await, Some(old.index.clone()));
        let reference: Reference = "1".parse().unwrap();
        let answer = world.backend.pull_manifest(&repository(), &reference, Want::Get).await.unwrap();
        assert_eq!((&answer.digest, answer.outcome), (&new.index, Outcome::Revalidated));
        assert_eq!(world.record("1").await, Some(new.index.clone()));
        gate.add_permits(1 << 20);
    };
    let (warmed, ()) = tokio::join!(warm(&world), client);
    assert_eq!(warmed.unwrap().digest, new.index);
}

#[tokio::test(start_paused = true)]
async fn a_tag_that_moves_on_while_its_image_comes_is_warmed_as_the_newest_word_says() {
    let world = World::new();
    let [_, second] = moved(&world, "linux/amd64").await;
    let gate = Arc::new(Semaphore::new(0));
    world.upstream.set_manner(Manner { gate: Some(gate.clone()), ..Manner::default() });
    let move_on = async {
        while world.upstream.count("GET blob") < 6 {
            tokio::task::yield_now().await;
        }
        let third = Image::put(&world.upstream, "1", 2);
        let reference: Reference = "1".parse().unwrap();
        world.backend.pull_manifest(&repository(), &reference, Want::Get).await.unwrap();
        gate.add_permits(1 << 20);
        third
    };
    let (warmed, third) = tokio::join!(warm(&world), move_on);
    assert_eq!(warmed.unwrap().digest, third.index);
    assert_eq!(world.record("1").await, Some(third.index.clone()));
    assert!(world.is_whole(&second.index.to_string(), "linux/amd64").await && third.index != second.index);
}

#[tokio::test(start_paused = true)]
async fn a_half_fetched_image_outlives_a_round_of_eviction_and_goes_when_it_is_the_oldest() {
    // Room for the old image and the new one.
    let (world, stop) = kept_below(7 * BYTES).await;
    let [old, new] = moved(&world, "linux/amd64").await;
    tokio::time::sleep(Duration::from_secs(1200)).await;
    world.upstream.refuse_blob(&new.amd64[1], Some(ErrorKind::Unreachable));
    warm(&world).await.unwrap_err();
    let other = noise(3 * BYTES);
    let other_layer = world.upstream.put_blob(&other);
    let pull_other = async |tag: &str| {
        let layer = format!(r#"{{"mediaType":"{LAYER}","digest":"{other_layer}","size":{}}}"#, other.len());
        let text = format!(r#"{{"schemaVersion":2,"layers":[{layer}]}}"#);
        world.upstream.put_manifest(&repository(), tag, &text);
        let reference: Reference = tag.parse().unwrap();
        world.backend.pull_manifest(&repository(), &reference, Want::Get).await.unwrap();
        world.pull(&other_layer).await.unwrap();
        tokio::time::sleep(Duration::from_secs(61)).await;
    };
    pull_other("other").await;
    let is_begun = async || world.holds(&new.shared).await;
    assert!(is_begun().await, "minutes after it failed, it is not lost");
    assert!(world.is_whole("1", "linux/amd64").await && world.record("1").await == Some(old.index.clone()));
    // Other images are used, and this one is not any more.
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_secs(120)).await;
        world.upstream.set_down(Some(ErrorKind::Unreachable));
        world.pull_whole("1", &old).await;
        world.upstream.set_down(None);
    }
    let further = noise(2 * BYTES);
    let digest = world.upstream.put_blob(&further);
    world.pull(&digest).await.unwrap();
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert!(!is_begun().await, "it is not kept for ever");
    assert!(world.is_whole("1", "linux/amd64").await);
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn where_old_and_new_do_not_fit_together_the_old_image_makes_room() {
    let (world, stop) = kept_below(4 * BYTES).await;
    let [old, new] = moved(&world, "linux/amd64").await;
    // Longer than an image that was used stays in any case.
    tokio::time::sleep(Duration::from_secs(1200)).await;
    let warmed = warm(&world).await.unwrap();
    assert_eq!(warmed.digest, new.index);
    assert_eq!(world.record("1").await, Some(new.index));
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert!(!world.holds(&old.shared).await);
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn neither_image_can_be_purged_while_the_new_one_comes() {
    let world = World::evicting(Arc::new(MemoryStore::new()), |_| {});
    let keeper = Keeper::new(world.inventory.clone(), Limits::default());
    let [old, new] = moved(&world, "linux/amd64").await;
    let stop = CancellationToken::new();
    tokio::spawn(keeper.clone().run(stop.clone()));
    tokio::time::sleep(Duration::from_secs(61)).await;
    let gate = Arc::new(Semaphore::new(0));
    world.upstream.set_manner(Manner { gate: Some(gate.clone()), ..Manner::default() });
    let purge = async {
        while world.upstream.count("GET blob") < 6 {
            tokio::task::yield_now().await;
        }
        for image in [&old, &new] {
            let purged = keeper.purge(&repository(), &image.index, Duration::ZERO).await;
            assert!(matches!(purged, Err(inventory::PurgeError::Busy)), "{purged:?}");
        }
        gate.add_permits(1 << 20);
    };
    let (warmed, ()) = tokio::join!(warm(&world), purge);
    assert_eq!(warmed.unwrap().digest, new.index);
    keeper.purge(&repository(), &old.index, Duration::ZERO).await.unwrap();
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn parts_that_are_removed_while_the_others_come_are_fetched_again() {
    let world = World::new();
    let image = Image::put(&world.upstream, "1", 0);
    let gate = Arc::new(Semaphore::new(0));
    world.upstream.set_manner(Manner { gate: Some(gate.clone()), ..Manner::default() });
    let remove = async {
        while world.upstream.count("GET blob") < 3 {
            tokio::task::yield_now().await;
        }
        let [child] = world.manifests_of(&image.index).await;
        world.records.remove_manifest(&repository(), &child).await.unwrap();
        gate.add_permits(1 << 20);
    };
    let (warmed, ()) = tokio::join!(warm(&world), remove);
    let warmed = warmed.unwrap();
    assert!(world.is_whole("1", "linux/amd64").await);
    assert_eq!((warmed.was_held, warmed.fetched_bytes), (false, warmed.total_bytes));
}

impl World {
    /// The held manifests that an index names.
    async fn manifests_of<const COUNT: usize>(&self, index: &Digest) -> [Digest; COUNT] {
        let reference = Reference::Digest(index.clone());
        let platforms = "linux/amd64".parse().unwrap();
        let survey = self.backend.verify(&repository(), &reference, &platforms).await.unwrap().survey;
        let digests: Vec<_> = survey.manifests.into_iter().skip(1).map(|it| it.digest).collect();
        digests.try_into().unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_is_named_with_the_registry_and_the_upstream_is_not_blamed() {
    let (world, faults, _directory) = world_on_files(|_| {});
    let [old, _] = moved(&world, "linux/amd64").await;
    for call in [Call::Write, Call::Rename] {
        faults.fail_always(call, ENOSPC);
        let error = warm(&world).await.unwrap_err().to_string();
        for text in ["the store of memory.test", "disk full", "free space there"] {
            assert!(error.contains(text), "{call:?}: {error}");
        }
        assert!(!error.contains("upstream"), "{error}");
        faults.reset();
        world.settle().await;
        assert!(
            world.is_whole("1", "linux/amd64").await && world.record("1").await == Some(old.index.clone())
        );
    }
    warm(&world).await.unwrap();
}

/// A manifest without an index, whose configuration names a platform.
pub(crate) fn put_single(
    upstream: &MemoryUpstream,
    tag: &str,
    config: &str,
    media_type: &str,
) -> [Digest; 2] {
    let config_digest = upstream.put_blob(&Bytes::from(config.to_owned()));
    let layer = [&noise(BYTES)[..], tag.as_bytes()].concat();
    let size = layer.len();
    let layer = upstream.put_blob(&Bytes::from(layer));
    let described = format!(r#"{{"mediaType":"{LAYER}","digest":"{layer}","size":{size}}}"#);
    let size = config.len();
    let config = format!(r#"{{"mediaType":"{media_type}","digest":"{config_digest}","size":{size}}}"#);
    let text = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{described}]}}"#);
    [upstream.put_manifest(&repository(), tag, &text), layer]
}

#[tokio::test(start_paused = true)]
async fn an_image_without_an_index_is_for_the_platform_in_its_configuration() {
    const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    const DOCKER: &str = "application/vnd.docker.container.image.v1+json";
    let arm64 = r#"{"os":"linux","architecture":"arm64","variant":"v8"}"#;
    let arm_v6 = r#"{"os":"linux","architecture":"arm","variant":"v6"}"#;
    // The configuration, the chosen platforms, and those that the image is for if it is none of the chosen.
    for (config, media_type, chosen, other) in [
        (arm64, CONFIG, "linux/amd64", Some("linux/arm64")),
        (arm64, DOCKER, "linux/amd64", Some("linux/arm64")),
        (arm64, CONFIG, "linux/amd64,linux/arm64", None),
        (arm64, CONFIG, "linux/arm64/v8", None),
        (arm64, CONFIG, "all", None),
        (arm_v6, CONFIG, "linux/arm/v7", Some("linux/arm/v6")),
        (arm_v6, CONFIG, "linux/arm", None),
        (r#"{"os":"windows","architecture":"amd64"}"#, CONFIG, "linux/amd64", Some("windows/amd64")),
        // These name none.
        (r#"{"os":"linux"}"#, CONFIG, "linux/amd64", None),
        (r#"{"os":"unknown","architecture":"unknown"}"#, CONFIG, "linux/amd64", None),
        ("no json", CONFIG, "linux/amd64", None),
        (arm64, "application/vnd.cncf.helm.config.v1+json", "linux/amd64", None),
    ] {
        let world = World::new();
        let [digest, layer] = put_single(&world.upstream, "1", config, media_type);
        let result = warm_for(&world, "1", chosen).await;
        let verified = world.is_whole("1", chosen).await;
        assert_eq!(verified, other.is_none(), "{config} {chosen}");
        match (result, other) {
            (Ok(warmed), None) => assert_eq!(warmed.digest, digest),
            (Err(error), Some(other)) => {
                let text = error.to_string();
                assert!(text.contains(&format!("but for {other};")), "{text}");
                assert!(!world.holds(&layer).await, "its layers are not fetched");
            }
            (result, _) => panic!("{config} {chosen}: {result:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_bytes_of_one_blob_count_once_however_many_images_need_it() {
    let world = World::new();
    world.upstream.set_manner(Manner { pace: Duration::from_millis(5), ..Manner::default() });
    Image::put(&world.upstream, "1", 0);
    let (one, two) = tokio::join!(warm_for(&world, "1", "linux/amd64"), warm_for(&world, "1", "linux/arm64"));
    let (one, two) = (one.unwrap(), two.unwrap());
    for warmed in [&one, &two] {
        assert!(warmed.fetched_bytes <= warmed.total_bytes, "{warmed:?}");
    }
    let metrics = world.metrics_text();
    let fetched = metrics
        .lines()
        .find_map(|line| line.strip_prefix(r#"wharf_fetched_bytes_total{registry="memory.test"} "#))
        .map(|text| text.parse::<u64>().unwrap());
    assert_eq!(fetched, Some(one.fetched_bytes + two.fetched_bytes));
}

#[tokio::test(start_paused = true)]
async fn a_refresh_fetches_the_new_image_for_the_held_platforms_before_the_tag_moves() {
    let world = World::with(|settings| {
        settings.tags.ttl = Duration::MAX;
        settings.tags.on_upstream_404 = Upstream404::NotFound;
    });
    let [old, new] = moved(&world, "linux/arm64").await;
    break_off(&world.upstream);
    let error = world.refresh_one().await.unwrap_err();
    assert!(
        matches!(&error, RefreshError::NotWhole { was, is, .. } if *was == old.index && *is == new.index)
    );
    assert_eq!(world.record("1").await, Some(old.index.clone()));
    world.upstream.forget_script();
    world.upstream.set_manner(Manner::default());
    let refreshed = world.refresh_one().await.unwrap();
    assert_eq!(refreshed, Some(Refreshed::Moved { from: old.index, to: new.index.clone() }));
    assert_eq!(world.record("1").await, Some(new.index));
    world.upstream.set_down(Some(ErrorKind::Unreachable));
    assert!(world.is_whole("1", "linux/arm64").await && !world.holds(&new.amd64[0]).await);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_of_an_image_that_lost_its_platform_says_so_and_keeps_the_old_one() {
    let world = World::new();
    let [old, _] = moved(&world, "linux/amd64").await;
    put_single(
        &world.upstream,
        "1",
        r#"{"os":"linux","architecture":"s390x"}"#,
        "application/vnd.oci.image.config.v1+json",
    );
    let error = world.refresh_one().await.unwrap_err().to_string();
    assert!(error.contains("but for linux/s390x") && error.contains(&old.index.to_string()), "{error}");
    assert!(world.is_whole("1", "linux/amd64").await && world.record("1").await == Some(old.index));
}
