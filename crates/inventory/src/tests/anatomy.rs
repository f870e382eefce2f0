//! The parts of images, and the bytes that come free.

use super::*;
use crate::tally::Tally;

const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";

impl Place {
    /// Stores an image with a configuration for this platform and these layers. A layer in `missing` is not
    /// stored.
    async fn platform_image(&self, name: &str, platform: &str, layers: &[&str], missing: &[&str]) -> Digest {
        let (os, architecture) = platform.split_once('/').unwrap();
        let config = format!(r#"{{"os":"{os}","architecture":"{architecture}"}}"#);
        let digest = Digest::of(Algorithm::Sha256, config.as_bytes());
        let spool = self.store.spool(&digest).await.unwrap();
        let size = config.len() as u64;
        spool.write(0, vec![config.into()]).await.unwrap();
        self.store.admit(spool.finish(size).await.unwrap()).await.unwrap();
        self.inventory.blob_stored(&digest);
        let layer = |name: &&str| format!(r#"{{"digest":"{}","size":100}}"#, layer_digest(name));
        let text = format!(
            r#"{{"config":{{"digest":"{digest}","mediaType":"{CONFIG_TYPE}"}},"layers":[{}]}}"#,
            layers.iter().map(layer).collect::<Vec<_>>().join(",")
        );
        for layer in layers.iter().filter(|layer| !missing.contains(layer)) {
            self.blob(layer, 100).await;
        }
        self.manifest_of(&repository(name), text).await
    }

    async fn anatomy(&self, name: &str, digest: &Digest) -> crate::Anatomy {
        self.inventory.anatomy(&repository(name), digest).await.unwrap().unwrap()
    }
}

fn layer_digest(name: &str) -> Digest {
    Digest::of(Algorithm::Sha256, &bytes(name, 100))
}

fn described_index(children: &[(&str, &Digest)]) -> String {
    let child = |(platform, digest): &(&str, &Digest)| {
        let (os, architecture) = platform.split_once('/').unwrap();
        format!(r#"{{"digest":"{digest}","platform":{{"os":"{os}","architecture":"{architecture}"}}}}"#)
    };
    format!(r#"{{"manifests":[{}]}}"#, children.iter().map(child).collect::<Vec<_>>().join(","))
}

fn platforms(anatomy: &crate::Anatomy, is_held: bool) -> Vec<&str> {
    let of = anatomy.platforms.iter().filter(|platform| platform.is_held == is_held);
    of.map(|platform| platform.name.as_str()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_platform_is_held_if_all_its_blobs_are() {
    let (place, _) = Place::in_memory().await;
    let whole = place.platform_image("app", "linux/amd64", &["base", "amd64"], &[]).await;
    let part = place.platform_image("app", "linux/arm64", &["base", "arm64"], &["arm64"]).await;
    let absent = Digest::of(Algorithm::Sha256, b"no client pulled it");
    let sbom = Digest::of(Algorithm::Sha256, b"an attestation");
    let children = [
        ("linux/amd64", &whole),
        ("linux/arm64", &part),
        ("linux/s390x", &absent),
        ("unknown/unknown", &sbom),
    ];
    let index = place.manifest_of(&repository("app"), described_index(&children)).await;
    let anatomy = place.anatomy("app", &index).await;
    assert_eq!(platforms(&anatomy, true), ["linux/amd64"]);
    assert_eq!(platforms(&anatomy, false), ["linux/arm64", "linux/s390x"]);
    assert!(!anatomy.is_whole);
    assert_eq!(anatomy.bytes, place.used());
    assert_eq!((anatomy.own_bytes, anatomy.manifests.len()), (place.used(), 5));
    // The files decide, whatever was reported.
    place.store.remove(&layer_digest("amd64")).await.unwrap();
    assert_eq!(platforms(&place.anatomy("app", &index).await, true), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn an_image_is_whole_without_layers_that_its_registry_does_not_serve() {
    let (place, _) = Place::in_memory().await;
    place.blob("base", 100).await;
    let (base, foreign) = (layer_digest("base"), layer_digest("windows"));
    let media_type = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    let image = format!(
        r#"{{"layers":[{{"digest":"{base}","size":100}},{{"digest":"{foreign}","mediaType":"{media_type}"}}]}}"#
    );
    let digest = place.manifest_of(&repository("app"), image).await;
    assert!(place.anatomy("app", &digest).await.is_whole);
}

#[tokio::test(start_paused = true)]
async fn a_single_manifest_has_the_platform_of_its_configuration() {
    let (place, _) = Place::in_memory().await;
    let digest = place.platform_image("app", "linux/riscv64", &["one"], &[]).await;
    let anatomy = place.anatomy("app", &digest).await;
    assert_eq!((platforms(&anatomy, true), anatomy.is_whole), (vec!["linux/riscv64"], true));
    place.store.remove(&layer_digest("one")).await.unwrap();
    let anatomy = place.anatomy("app", &digest).await;
    assert_eq!((platforms(&anatomy, false), anatomy.is_whole), (vec!["linux/riscv64"], false));
    let artifact = place.image("chart", &[("values", 10)]).await;
    let anatomy = place.anatomy("chart", &artifact).await;
    assert!(anatomy.platforms.is_empty() && anatomy.is_whole);
    assert!(place.inventory.anatomy(&repository("none"), &artifact).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn shared_bytes_come_free_with_the_last_image_that_needs_them() {
    let (place, _) = Place::in_memory().await;
    let one = place.image("app", &[("base", 1000), ("one", 10)]).await;
    let two = place.image("app", &[("base", 1000), ("two", 20)]).await;
    let copy = place.image("copy/app", &[("base", 1000), ("two", 20)]).await;
    assert_eq!(two, copy);
    let child = place.image("app", &[("base", 1000), ("child", 30)]).await;
    let indexes = [place.index("app", &[&child]).await, place.index("app", &[&child, &one]).await];
    let all = [("app", &two), ("copy/app", &copy), ("app", &indexes[0]), ("app", &indexes[1])];
    // Each subset frees what the tally says, by the removal itself.
    for subset in 1..16_usize {
        let (place, _) = Place::in_memory().await;
        for layers in
            [[("base", 1000), ("one", 10)], [("base", 1000), ("two", 20)], [("base", 1000), ("child", 30)]]
        {
            place.image("app", &layers).await;
        }
        place.image("copy/app", &[("base", 1000), ("two", 20)]).await;
        place.index("app", &[&child]).await;
        place.index("app", &[&child, &one]).await;
        let (mut tally, mut freed) = (Tally::default(), 0);
        let chosen =
            || all.iter().enumerate().filter(|(at, _)| subset >> at & 1 == 1).map(|(_, image)| image);
        for (name, digest) in chosen() {
            let anatomy = place.anatomy(name, digest).await;
            assert!(anatomy.own_bytes <= anatomy.bytes);
            tally.add(&anatomy);
        }
        let expected = tally.freed_bytes(&place.inventory);
        for (name, digest) in chosen() {
            freed += place.purge(name, digest).await.unwrap().bytes;
        }
        assert_eq!(freed, expected, "{subset:b}");
        assert_eq!(place.used() == 0, subset == 15);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_own_is_what_a_removal_frees() {
    let (place, _) = Place::in_memory().await;
    let one = place.image("app", &[("base", 1000), ("one", 10)]).await;
    place.image("app", &[("base", 1000), ("two", 20)]).await;
    let anatomy = place.anatomy("app", &one).await;
    let shared: Vec<_> = anatomy.blobs.iter().map(|blob| (blob.bytes, blob.is_shared)).collect();
    assert!(shared.contains(&(Some(1000), true)) && shared.contains(&(Some(10), false)));
    assert_eq!(place.purge("app", &one).await.unwrap().bytes, anatomy.own_bytes);
}

#[tokio::test(start_paused = true)]
async fn an_image_is_found_by_its_tag_and_its_digest_and_with_its_referrers() {
    let (place, _) = Place::in_memory().await;
    let app = repository("app");
    let child = place.image("app", &[("layer", 100)]).await;
    let index = place.index("app", &[&child]).await;
    place.tag("app", "v1", &index).await;
    place.tag("app", "gone", &Digest::of(Algorithm::Sha256, b"not held")).await;
    let found = place.inventory.find_tag(&app, &tag("v1")).unwrap();
    assert_eq!((&found.digest, found.is_part, found.tags), (&index, false, vec![tag("v1")]));
    assert!(place.inventory.find_digest(&app, &child).unwrap().is_part);
    assert!(place.inventory.find_tag(&app, &tag("gone")).is_none());
    assert!(place.inventory.find_tag(&app, &tag("v2")).is_none());
    assert!(place.inventory.find_digest(&repository("other"), &child).is_none());
    let text = format!(r#"{{"subject":{{"digest":"{index}"}},"layers":[]}}"#);
    let signature = place.manifest_of(&app, text).await;
    let referrers = place.inventory.held_referrers(&app, &index).await.unwrap();
    assert_eq!((referrers.digests, referrers.is_cut), (vec![signature], false));
    assert!(place.inventory.held_referrers(&app, &child).await.unwrap().digests.is_empty());
}
