//! What is attached to an image comes with it when that is asked for.

use cache::{KeptBlobs, PullError, Want, Wanted, WarmError, WarmProgress, Warmed};
use oci::{Algorithm, Digest, Page, Platforms, Reference};
use upstream::ErrorKind;

use crate::upstream::MemoryUpstream;
use crate::warm::Image;
use crate::whole::put_single;
use crate::world::{World, read, repository};

const SIGNATURE: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";

async fn warm(world: &World) -> Result<Warmed, WarmError> {
    warm_for(world, "linux/amd64").await
}

async fn warm_for(world: &World, platforms: &str) -> Result<Warmed, WarmError> {
    let (reference, platforms): (Reference, Platforms) = ("1".parse().unwrap(), platforms.parse().unwrap());
    let (repository, reference, platforms) = (&repository(), &reference, &platforms);
    let wanted = Wanted { repository, reference, platforms, with_referrers: true };
    world.backend.warm(wanted, &KeptBlobs::default(), &WarmProgress::default()).await
}

/// An index that names manifests, as the upstream writes a list of referrers.
fn index_of(digests: &[&Digest]) -> String {
    let described = digests.iter().map(|digest| {
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{digest}","size":400}}"#
        )
    });
    let described: Vec<_> = described.collect();
    let media_type = r#""mediaType":"application/vnd.oci.image.index.v1+json""#;
    format!(r#"{{"schemaVersion":2,{media_type},"manifests":[{}]}}"#, described.join(","))
}

/// A manifest that is attached, with its blobs.
fn put_attached(upstream: &MemoryUpstream, name: &str) -> (Digest, Digest) {
    let [digest, layer] = put_single(upstream, name, &format!("{{\"name\":\"{name}\"}}"), SIGNATURE);
    (digest, layer)
}

async fn is_served(world: &World, reference: &str, layer: &Digest) -> bool {
    let reference = reference.parse().unwrap();
    let manifest = world.backend.pull_manifest(&repository(), &reference, Want::Get).await;
    let blob = world.get(layer).await;
    manifest.is_ok() && blob.is_ok_and(|blob| blob.body.is_some())
}

#[tokio::test(start_paused = true)]
async fn referrers_of_the_image_and_its_platforms_are_served_with_the_upstream_gone() {
    let world = World::new();
    let image = Image::put(&world.upstream, "1", 0);
    let attached = ["a", "b", "c"].map(|name| put_attached(&world.upstream, name));
    let pages = vec![index_of(&[&attached[0].0]), index_of(&[&attached[1].0])];
    world.upstream.list_referrers(&image.index, pages);
    // By a tag, as signing tools do.
    let tag = format!("sha256-{}.sig", image.index.hex());
    let signature = put_attached(&world.upstream, &tag);
    let warmed = warm(&world).await.unwrap();
    assert_eq!((warmed.referrer_count, warmed.was_held), (Some(3), false));
    assert_eq!(warmed.fetched_bytes, warmed.total_bytes);
    assert!(!world.holds(&attached[2].1).await, "nothing else was fetched");
    let again = warm(&world).await.unwrap();
    assert_eq!((again.was_held, again.fetched_bytes), (true, 0));

    world.upstream.set_down(Some(ErrorKind::Unreachable));
    let world = world.restarted();
    let listed = async |artifact_type: Option<&str>, page: &Page| {
        world.backend.referrers(&repository(), &image.index, artifact_type, page).await.unwrap()
    };
    let first = listed(None, &Page::default()).await;
    assert_eq!(first.bytes, index_of(&[&attached[0].0]));
    let next = Page { last: Some("1".to_owned()), ..Page::default() };
    assert_eq!(listed(None, &next).await.bytes, index_of(&[&attached[1].0]));
    // The client filters, because the answer does not say that wharf did.
    let filtered = listed(Some(SIGNATURE), &Page::default()).await;
    assert_eq!((filtered.bytes, filtered.filters_applied), (first.bytes, None));
    for (digest, layer) in &attached[..2] {
        assert!(is_served(&world, &digest.to_string(), layer).await);
    }
    assert!(is_served(&world, &tag, &signature.1).await);
    assert!(warm(&world).await.unwrap().is_stale);
}

#[tokio::test(start_paused = true)]
async fn an_upstream_without_referrers_has_none() {
    let world = World::new();
    Image::put(&world.upstream, "1", 0);
    world.upstream.drop_referrers_api();
    assert_eq!(warm(&world).await.unwrap().referrer_count, Some(0));
}

#[tokio::test(start_paused = true)]
async fn a_tag_moves_when_what_is_attached_is_here_too() {
    let world = World::new();
    let old = Image::put(&world.upstream, "1", 0);
    warm(&world).await.unwrap();
    let new = Image::put(&world.upstream, "1", 1);
    let (signature, layer) = put_attached(&world.upstream, "signature");
    world.upstream.list_referrers(&new.index, vec![index_of(&[&signature])]);
    world.upstream.refuse_blob(&layer, Some(ErrorKind::Unreachable));
    let error = warm(&world).await.unwrap_err();
    assert!(
        matches!(&error, WarmError::Referrer { what, .. } if *what == signature.to_string()),
        "{error:?}"
    );
    let record = async || world.records.tag(&repository(), &"1".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(record().await.digest, old.index);
    world.upstream.refuse_blob(&layer, None);
    assert_eq!(warm(&world).await.unwrap().referrer_count, Some(1));
    assert_eq!(record().await.digest, new.index);
    let body = world.get(&layer).await.unwrap().body.unwrap();
    assert!(read(body).await.1.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_no_proof_that_nothing_is_attached() {
    let world = World::new();
    Image::put(&world.upstream, "1", 0);
    crate::warm::warm(&world).await.unwrap();
    world.upstream.set_down(Some(ErrorKind::Unreachable));
    let error = warm(&world).await.unwrap_err();
    let WarmError::Referrer { why, .. } = &error else { panic!("{error:?}") };
    assert!(matches!(**why, WarmError::Pull(PullError::UpstreamUnavailable { .. })), "{error:?}");
}

/// Each list is short enough.
#[tokio::test(start_paused = true)]
async fn a_registry_that_attaches_too_much_in_all_is_not_followed() {
    let world = World::new();
    let image = Image::put(&world.upstream, "1", 0);
    let listed = |subject: &Digest, count: usize| {
        let digest = |number| Digest::of(Algorithm::Sha256, format!("{subject} {number}").as_bytes());
        let digests: Vec<_> = (0..count).map(digest).collect();
        world.upstream.list_referrers(subject, vec![index_of(&digests.iter().collect::<Vec<_>>())]);
    };
    let manifests = warm_for(&world, "all").await.unwrap().manifests;
    assert_eq!((manifests.len(), &manifests[0]), (3, &image.index));
    manifests.iter().for_each(|subject| listed(subject, 200));
    let asked = world.upstream.count("GET manifest");
    let error = warm_for(&world, "all").await.unwrap_err();
    let WarmError::Referrer { why, .. } = &error else { panic!("{error:?}") };
    assert_eq!(**why, WarmError::Unreadable);
    assert_eq!(world.upstream.count("GET manifest"), asked, "none of them was requested");
}
