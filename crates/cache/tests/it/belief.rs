//! The evidence in an upstream's response: no unconfirmed one removes stored content.

use std::time::Duration;

use cache::{ManifestAnswer, Outcome, PullError, Want};
use oci::{Digest, Page, Reference};
use upstream::ErrorKind;

use crate::world::{World, noise, repository};

const OCI_IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const ONE: &str = concat!(
    r#"{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","#,
    r#""digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":"#,
    r#"0},"layers":[]}"#,
);

/// JSON that services in front of a registry answer with status 200.
const NO_MANIFESTS: [&str; 9] = [
    r#"{"message": "Unauthorized"}"#,
    "{}",
    "[]",
    "null",
    r#""ok""#,
    r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#,
    r#"{"schemaVersion":2}"#,
    r#"{"mediaType":"application/vnd.oci.image.manifest.v1+json"}"#,
    r#"{"config":null,"layers":null,"manifests":null}"#,
];

const TWO: &str = concat!(
    r#"{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","#,
    r#""digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":"#,
    r#"0},"layers":[ ]}"#,
);
const AUTH_TTL: Duration = Duration::from_secs(15 * 60);

async fn pull(world: &World, reference: &str, want: Want) -> Result<ManifestAnswer, PullError> {
    let reference: Reference = reference.parse().unwrap();
    world.backend.pull_manifest(&repository(), &reference, want).await
}

#[tokio::test(start_paused = true)]
async fn k11_json_that_is_no_manifest_never_replaces_a_held_tag() {
    for text in NO_MANIFESTS {
        for media_type in ["application/json", "text/plain", OCI_IMAGE, DOCKER_LIST] {
            let world = World::new();
            let held = world.upstream.put_manifest(&repository(), "1", ONE);
            pull(&world, "1", Want::Get).await.unwrap();
            let wrong = world.upstream.put_document(&repository(), "1", text, media_type);
            for want in [Want::Head, Want::Get] {
                let stale = pull(&world, "1", want).await.unwrap();
                assert_eq!((stale.outcome, &stale.digest), (Outcome::Stale, &held), "{text} {media_type}");
            }
            // Like a client that has the digest from another source.
            let by_digest = pull(&world, &wrong.to_string(), Want::Get).await;
            assert!(matches!(by_digest, Err(PullError::UpstreamUnavailable { .. })), "{text} {media_type}");
            assert_eq!(pull(&world, "1", Want::Get).await.unwrap().digest, held);
            let world = world.restarted();
            world.upstream.set_down(Some(ErrorKind::Unreachable));
            assert_eq!(pull(&world, "1", Want::Get).await.unwrap().digest, held, "{text} {media_type}");
            assert!(pull(&world, &wrong.to_string(), Want::Get).await.is_err(), "{text} {media_type}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn k11_bytes_with_another_digest_never_replace_a_held_tag() {
    for head_works in [true, false] {
        let world = World::new();
        let held = world.upstream.put_manifest(&repository(), "1", ONE);
        pull(&world, "1", Want::Get).await.unwrap();
        if !head_works {
            world.upstream.refuse_head();
        }
        world.upstream.put_manifest(&repository(), "1", TWO);
        world.upstream.spoil_manifests(usize::MAX);
        for want in [Want::Get, Want::Head, Want::Get] {
            let stale = pull(&world, "1", want).await.unwrap();
            assert_eq!((stale.outcome, &stale.digest), (Outcome::Stale, &held), "HEAD: {head_works}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn k11_json_that_is_no_manifest_is_an_error_if_nothing_is_stored() {
    for text in NO_MANIFESTS {
        let world = World::new();
        let wrong = world.upstream.put_document(&repository(), "1", text, OCI_IMAGE);
        // The HEAD cannot tell, and the client requests the named digest.
        let _ = pull(&world, "1", Want::Head).await;
        for reference in [&wrong.to_string(), "1"] {
            let pulled = pull(&world, reference, Want::Get).await;
            assert!(matches!(pulled, Err(PullError::UpstreamUnavailable { .. })), "{text}");
        }
        let world = world.restarted();
        world.upstream.set_down(Some(ErrorKind::Unreachable));
        assert!(pull(&world, "1", Want::Get).await.is_err(), "{text}");
    }
}

fn unconfirmed<T>(pulled: &Result<T, PullError>) -> bool {
    matches!(pulled, Err(PullError::Unconfirmed { status: 404, .. }))
}

#[tokio::test(start_paused = true)]
async fn k12_an_unconfirmed_no_removes_nothing_that_is_stored() {
    for links in [false, true] {
        let world = World::with(|settings| settings.links = links);
        let tagged = world.upstream.put_manifest(&repository(), "1", ONE);
        let blob = world.upstream.put_blob(&noise(100_000));
        pull(&world, "1", Want::Get).await.unwrap();
        world.pull(&blob).await.unwrap();
        world.settle().await;
        world.upstream.set_down(Some(ErrorKind::Unconfirmed));
        for _ in 0..2 {
            tokio::time::advance(AUTH_TTL).await;
            for want in [Want::Head, Want::Get] {
                let stale = pull(&world, "1", want).await.unwrap();
                assert_eq!((stale.outcome, &stale.digest), (Outcome::Stale, &tagged));
                assert!(pull(&world, &tagged.to_string(), want).await.is_ok());
            }
            assert!(world.pull(&blob).await.is_ok());
        }
        // All of that is still on disk.
        let world =
            World::over(world.upstream.clone(), world.blobs.clone(), world.records.clone(), |settings| {
                settings.links = links;
            });
        world.upstream.set_down(Some(ErrorKind::Unreachable));
        assert_eq!(pull(&world, "1", Want::Get).await.unwrap().digest, tagged);
        assert!(pull(&world, &tagged.to_string(), Want::Get).await.is_ok());
        assert!(world.pull(&blob).await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn k12_without_stored_content_the_status_is_passed_on_and_not_remembered() {
    let world = World::new();
    let (tagged, blob) =
        (world.upstream.put_manifest(&repository(), "1", ONE), world.upstream.put_blob(&noise(1000)));
    world.upstream.set_down(Some(ErrorKind::Unconfirmed));
    for reference in ["1", &tagged.to_string()] {
        for want in [Want::Head, Want::Get] {
            assert!(unconfirmed(&pull(&world, reference, want).await), "{reference}");
        }
    }
    assert!(unconfirmed(&world.get(&blob).await));
    let head = world.backend.pull_blob(&repository(), &blob, None, Want::Head).await;
    assert!(unconfirmed(&head));
    assert!(unconfirmed(&world.backend.tags(&repository(), &Page::default()).await));
    world.upstream.set_down(None);
    assert_eq!(pull(&world, "1", Want::Get).await.unwrap().digest, tagged);
    assert!(world.pull(&blob).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn k12_a_probe_for_a_signature_stays_absent() {
    let world = World::new();
    world.upstream.set_down(Some(ErrorKind::Unconfirmed));
    let tag = format!("sha256-{}.sig", "a".repeat(64));
    assert!(matches!(pull(&world, &tag, Want::Get).await, Err(PullError::NotFound { .. })));
    let subject = Digest::of(oci::Algorithm::Sha256, b"subject");
    let referrers = async || world.backend.referrers(&repository(), &subject, None, &Page::default()).await;
    assert!(unconfirmed(&referrers().await));
    world.upstream.set_down(None);
    referrers().await.unwrap();
    world.upstream.set_down(Some(ErrorKind::Unconfirmed));
    assert_eq!(referrers().await.unwrap().outcome, Outcome::Stale);
    assert_eq!(referrers().await.unwrap().outcome, Outcome::Stale);
}

#[tokio::test(start_paused = true)]
async fn k12_a_transfer_continues_after_an_unconfirmed_no() {
    use crate::upstream::Manner;
    let world = World::new();
    let blob = world.upstream.put_blob(&noise(1_000_000));
    let cut = Manner { cut_at: Some(500_000), ..Manner::default() };
    let refused = Manner { refuse: Some(ErrorKind::Unconfirmed), ..Manner::default() };
    world.upstream.script([cut, refused.clone(), refused]);
    assert_eq!(world.pull(&blob).await.unwrap(), noise(1_000_000));
    assert_eq!(world.upstream.count("GET blob"), 4);
}

#[tokio::test(start_paused = true)]
async fn k8_a_manifest_that_is_served_by_tag_only_is_fetched_by_the_tag() {
    for links in [false, true] {
        let world = World::with(|settings| settings.links = links);
        let digest = world.upstream.put_manifest(&repository(), "1", ONE);
        world.upstream.delete_tag(&repository(), &digest.to_string());
        let got = pull(&world, "1", Want::Get).await.unwrap();
        assert_eq!((got.digest, got.bytes.unwrap().as_ref()), (digest.clone(), ONE.as_bytes()));
        assert!(pull(&world, &digest.to_string(), Want::Get).await.is_ok());
        // As containerd does it: the digest that the HEAD named.
        let digest = world.upstream.put_manifest(&repository(), "2", TWO);
        world.upstream.delete_tag(&repository(), &digest.to_string());
        let head = pull(&world, "2", Want::Head).await.unwrap();
        assert_eq!((&head.digest, head.size), (&digest, TWO.len() as u64));
        for want in [Want::Head, Want::Get] {
            let got = pull(&world, &digest.to_string(), want).await.unwrap();
            assert_eq!((&got.digest, got.size), (&digest, TWO.len() as u64));
        }
        world.upstream.set_down(Some(ErrorKind::Unreachable));
        assert_eq!(pull(&world, "2", Want::Get).await.unwrap().bytes.unwrap(), TWO);
    }
}

#[tokio::test(start_paused = true)]
async fn k8_a_tag_that_moved_meanwhile_stores_nothing_under_the_digest() {
    let world = World::new();
    let digest = world.upstream.put_manifest(&repository(), "1", ONE);
    world.upstream.delete_tag(&repository(), &digest.to_string());
    pull(&world, "1", Want::Head).await.unwrap();
    world.upstream.put_manifest(&repository(), "1", TWO);
    assert!(matches!(pull(&world, &digest.to_string(), Want::Get).await, Err(PullError::NotFound { .. })));
    assert_eq!(pull(&world, "1", Want::Get).await.unwrap().bytes.unwrap(), TWO);
}

#[tokio::test(start_paused = true)]
async fn k10_a_manifest_is_served_under_its_own_media_type() {
    for media_type in ["text/plain", "application/json", "application/octet-stream"] {
        let world = World::new();
        let digest = world.upstream.put_document(&repository(), "1", ONE, media_type);
        for reference in ["1", &digest.to_string()] {
            for want in [Want::Head, Want::Get] {
                let got = pull(&world, reference, want).await.unwrap();
                assert_eq!(got.media_type.as_str(), OCI_IMAGE, "{media_type} {reference}");
                assert_eq!(got.size, ONE.len() as u64);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn k11_access_is_not_proved_by_an_answer_about_something_else() {
    let world = World::with(|settings| settings.links = true);
    let digest = world.upstream.put_manifest(&repository(), "1", ONE);
    pull(&world, "1", Want::Get).await.unwrap();
    tokio::time::advance(AUTH_TTL).await;
    // An earlier grant stays valid, because it was not revoked; but there is no new grant.
    world.upstream.replace_manifest(&repository(), &digest.to_string(), NO_MANIFESTS[0]);
    for count in [2, 3] {
        assert!(pull(&world, &digest.to_string(), Want::Get).await.is_ok());
        assert_eq!(world.upstream.count("HEAD manifest"), count);
    }
}

#[tokio::test(start_paused = true)]
async fn t02_a_refusal_is_looked_up_once_in_a_few_seconds() {
    let world = World::new();
    let digest = Digest::of(oci::Algorithm::Sha256, b"nobody's");
    world.upstream.deny(&repository());
    for round in 1..=2 {
        for _ in 0..50 {
            for reference in ["none", &digest.to_string()] {
                for want in [Want::Head, Want::Get] {
                    let pulled = pull(&world, reference, want).await;
                    assert!(matches!(pulled, Err(PullError::Denied { .. })), "{reference}");
                }
            }
            for want in [Want::Head, Want::Get] {
                let pulled = world.backend.pull_blob(&repository(), &digest, None, want).await;
                assert!(matches!(pulled, Err(PullError::Denied { .. })));
            }
        }
        assert_eq!(world.upstream.asked().len(), 3 * round, "{:?}", world.upstream.asked());
        tokio::time::advance(Duration::from_secs(4)).await;
    }
}
