//! Layers that are fetched before a client requests them.

use std::time::Duration;

use cache::{Outcome, Settings, Want};
use oci::{Digest, Reference};
use upstream::ErrorKind;

use crate::upstream::Manner;
use crate::world::{World, noise, read, repository};

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// An image whose manifest was pulled.
struct Image {
    config: Digest,
    layers: Vec<Digest>,
}

/// Pulls the manifest of an image with this number of layers, each larger than blobs that are verified first.
async fn pulled_manifest(world: &World, layer_count: usize) -> Image {
    pulled_manifest_of(world, layer_count, |_| LAYER).await
}

async fn pulled_manifest_of(
    world: &World,
    layer_count: usize,
    media_type: fn(usize) -> &'static str,
) -> Image {
    let config = world.upstream.put_blob(&noise(700));
    let layers: Vec<_> =
        (0..layer_count).map(|index| world.upstream.put_blob(&noise(400_000 + index))).collect();
    let described = layers.iter().enumerate().map(|(index, digest)| {
        let media_type = media_type(index);
        format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{}}}"#, 400_000 + index)
    });
    let described = described.collect::<Vec<_>>().join(",");
    let manifest = format!(
        "{{\"schemaVersion\":2,\"config\":{{\"mediaType\":\
         \"application/vnd.oci.image.config.v1+json\",\"digest\":\"{config}\",\"size\":700}},\
         \"layers\":[{described}]}}"
    );
    world.upstream.put_manifest(&repository(), "1", &manifest);
    let reference: Reference = "1".parse().unwrap();
    world.backend.pull_manifest(&repository(), &reference, Want::Get).await.unwrap();
    Image { config, layers }
}

fn world(change: impl FnOnce(&mut Settings)) -> World {
    let world = World::with(change);
    world.upstream.set_manner(Manner { pace: Duration::from_millis(10), ..Manner::default() });
    world
}

#[tokio::test(start_paused = true)]
async fn the_first_missing_layer_brings_the_others_and_no_byte_comes_twice() {
    let world = world(|_| {});
    let image = pulled_manifest(&world, 6).await;
    let first = world.pull(&image.layers[0]).await.unwrap();
    world.settle().await;
    assert_eq!(first, noise(400_000));
    assert_eq!(world.upstream.count("GET blob"), 6);
    for layer in &image.layers {
        let answer = world.get(layer).await.unwrap();
        assert_eq!(answer.outcome, Outcome::Hit);
        assert!(read(answer.body.unwrap()).await.1.is_ok());
    }
    assert_eq!(world.upstream.blob_bytes(), (400_000..400_006).sum::<u64>());
    assert!(world.metrics_text().contains("wharf_read_ahead_total{registry=\"memory.test\"} 5\n"));
}

#[tokio::test(start_paused = true)]
async fn a_client_joins_a_layer_that_is_being_read_ahead() {
    let world = world(|_| {});
    let image = pulled_manifest(&world, 2).await;
    let first = world.get(&image.layers[0]).await.unwrap();
    let second = world.get(&image.layers[1]).await.unwrap();
    assert_eq!((first.outcome, second.outcome), (Outcome::Miss, Outcome::Join));
    assert!(read(first.body.unwrap()).await.1.is_ok());
    assert!(read(second.body.unwrap()).await.1.is_ok());
    assert_eq!(world.upstream.count("GET blob"), 2);
}

#[tokio::test(start_paused = true)]
async fn no_more_layers_than_the_setting_says_are_read_ahead_at_a_time() {
    for (count, expected) in [(0, 1), (1, 2), (4, 5)] {
        let world = world(|settings| settings.read_ahead_count = count);
        let image = pulled_manifest(&world, 12).await;
        let first = world.get(&image.layers[0]).await.unwrap();
        // As long as nothing more arrives than the first bytes of each.
        tokio::time::timeout(Duration::from_millis(50), std::future::pending::<()>()).await.unwrap_err();
        assert_eq!(world.upstream.count("GET blob"), expected, "{count}");
        assert!(read(first.body.unwrap()).await.1.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn manifests_configs_heads_and_small_ranges_read_nothing_ahead() {
    let world = world(|_| {});
    let image = pulled_manifest(&world, 3).await;
    world.settle().await;
    assert_eq!(world.upstream.count("GET blob"), 0);
    world.pull(&image.config).await.unwrap();
    world.settle().await;
    assert_eq!(world.upstream.count("GET blob"), 1);
    world.backend.pull_blob(&repository(), &image.layers[0], None, Want::Head).await.unwrap();
    world.settle().await;
    assert_eq!(world.upstream.count("GET blob"), 1);
    let range = world.get_range(&image.layers[0], "bytes=100-199").await.unwrap();
    assert!(read(range.body.unwrap()).await.1.is_ok());
    world.settle().await;
    let others = |asked: &String| image.layers[1..].iter().any(|layer| asked.contains(&layer.to_string()));
    assert!(!world.upstream.asked().iter().any(others), "{:?}", world.upstream.asked());
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_a_client_joins_is_not_counted_as_read_ahead() {
    let world = world(|settings| settings.read_ahead_count = 2);
    let image = pulled_manifest(&world, 8).await;
    let mut answers = Vec::new();
    for layer in &image.layers[..3] {
        answers.push(world.get(layer).await.unwrap());
    }
    // The client has three layers, and two more are read ahead.
    tokio::time::timeout(Duration::from_millis(30), std::future::pending::<()>()).await.unwrap_err();
    assert_eq!(world.upstream.count("GET blob"), 5, "{:?}", world.upstream.asked());
    for answer in answers {
        assert!(read(answer.body.unwrap()).await.1.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_further_is_begun_when_the_client_has_left() {
    let world = world(|settings| settings.read_ahead_count = 1);
    // Each layer takes longer than a client counts as pulling.
    world.upstream.set_manner(Manner { pace: Duration::from_millis(500), ..Manner::default() });
    let image = pulled_manifest(&world, 12).await;
    drop(world.get(&image.layers[0]).await.unwrap());
    world.settle().await;
    assert_eq!(world.upstream.count("GET blob"), 2, "{:?}", world.upstream.asked());
}

#[tokio::test(start_paused = true)]
async fn a_failure_ends_it_and_the_next_missing_layer_begins_it_anew() {
    let world = world(|settings| settings.read_ahead_count = 1);
    let image = pulled_manifest(&world, 5).await;
    let refused = Manner { refuse: Some(ErrorKind::NotFound), ..Manner::default() };
    let slow = Manner { pace: Duration::from_millis(100), ..Manner::default() };
    world.upstream.script([slow, refused]);
    world.pull(&image.layers[0]).await.unwrap();
    world.settle().await;
    assert_eq!(world.upstream.count("GET blob"), 2, "{:?}", world.upstream.asked());
    world.pull(&image.layers[4]).await.unwrap();
    world.settle().await;
    for layer in &image.layers {
        assert!(world.holds(layer).await, "{layer}");
    }
}

#[tokio::test(start_paused = true)]
async fn layers_that_no_registry_hands_out_are_passed_over() {
    let world = world(|_| {});
    let foreign = |index| match index {
        1 => "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        2 => "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        _ => LAYER,
    };
    let image = pulled_manifest_of(&world, 4, foreign).await;
    world.pull(&image.layers[0]).await.unwrap();
    world.settle().await;
    let held = [world.holds(&image.layers[1]).await, world.holds(&image.layers[2]).await];
    assert_eq!((held, world.holds(&image.layers[3]).await), ([false, false], true));
}

#[tokio::test(start_paused = true)]
async fn what_is_read_ahead_takes_no_permit_from_a_client() {
    let world = world(|settings| settings.asking_count_max = 3);
    let image = pulled_manifest(&world, 8).await;
    let others: Vec<_> = (0..2).map(|index| world.upstream.put_blob(&noise(500_000 + index))).collect();
    let first = world.get(&image.layers[0]).await.unwrap();
    let mut answers = vec![first];
    for other in &others {
        answers.push(world.get(other).await.unwrap());
    }
    for answer in answers {
        assert!(read(answer.body.unwrap()).await.1.is_ok());
    }
}
