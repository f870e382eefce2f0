//! Manifests and tags.

use std::time::{Duration, SystemTime};

use cache::{ManifestAnswer, Outcome, PullError, Want};
use futures_util::future::join_all;
use oci::Reference;
use policy::freshness::{TagRecord, Upstream404};
use storage::fs::fault::{Call, Fault};
use upstream::ErrorKind;

use crate::store_faults::world_on_files;
use crate::world::{World, repository};

pub(crate) const ONE: &str = concat!(
    r#"{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","#,
    r#""digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":"#,
    r#"0},"layers":[]}"#,
);
pub(crate) const TWO: &str = concat!(
    r#"{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","#,
    r#""digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":"#,
    r#"0},"layers":[ ]}"#,
);

impl World {
    async fn manifest(&self, reference: &str, want: Want) -> Result<ManifestAnswer, PullError> {
        let reference: Reference = reference.parse().unwrap();
        self.backend.pull_manifest(&repository(), &reference, want).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_tag_is_checked_by_one_head_on_each_pull_and_a_digest_by_none() {
    let world = World::new();
    let digest = world.upstream.put_manifest(&repository(), "1", ONE);
    let cold = world.manifest("1", Want::Get).await.unwrap();
    assert_eq!((cold.outcome, &cold.digest, cold.size), (Outcome::Miss, &digest, ONE.len() as u64));
    assert_eq!(cold.bytes.unwrap(), ONE);
    let expected = ["HEAD manifest 1".to_owned(), format!("GET manifest {digest}")];
    assert_eq!(world.upstream.asked(), expected);
    let warm = world.manifest("1", Want::Get).await.unwrap();
    assert_eq!(warm.outcome, Outcome::Revalidated);
    assert_eq!(world.upstream.asked().len(), 3);
    let by_digest = world.manifest(&digest.to_string(), Want::Get).await.unwrap();
    assert_eq!((by_digest.outcome, by_digest.age), (Outcome::Hit, None));
    assert_eq!(world.upstream.asked().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn f27_pulls_at_the_same_time_share_one_check_and_one_fetch() {
    let world = World::new();
    world.upstream.put_manifest(&repository(), "1", ONE);
    let answers = join_all((0..50).map(|_| world.manifest("1", Want::Get))).await;
    assert!(answers.into_iter().all(|answer| answer.unwrap().bytes.unwrap() == ONE));
    assert_eq!(world.upstream.asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_older_word_about_a_tag_does_not_undo_a_newer_one() {
    let world = World::with(|settings| settings.tags.ttl = Duration::from_secs(3600));
    let old = world.upstream.put_manifest(&repository(), "1", ONE);
    world.manifest("1", Want::Head).await.unwrap();
    let new = world.upstream.put_manifest(&repository(), "1", TWO);
    world.manifest("1", Want::Get).await.unwrap();
    world.manifest(&old.to_string(), Want::Get).await.unwrap();
    assert_eq!(world.manifest("1", Want::Get).await.unwrap().digest, new);
}

#[tokio::test(start_paused = true)]
async fn a_digest_that_is_missing_upstream_is_no_word_about_the_tag() {
    let world = World::new();
    world.upstream.put_manifest(&repository(), "1", ONE);
    world.manifest("1", Want::Get).await.unwrap();
    world.upstream.put_manifest(&repository(), "1", TWO);
    for kind in [ErrorKind::NotFound, ErrorKind::Unconfirmed, ErrorKind::Unreachable] {
        world.upstream.refuse_get(Some(kind));
        assert_eq!(world.manifest("1", Want::Get).await.unwrap().outcome, Outcome::Stale);
    }
    world.upstream.set_down(Some(ErrorKind::Unreachable));
    assert_eq!(world.manifest("1", Want::Get).await.unwrap().bytes.unwrap(), ONE);
}

#[tokio::test(start_paused = true)]
async fn within_its_ttl_a_tag_is_served_without_asking() {
    let world = World::with(|settings| settings.tags.ttl = Duration::from_secs(3600));
    world.upstream.put_manifest(&repository(), "1", ONE);
    world.manifest("1", Want::Get).await.unwrap();
    let warm = world.manifest("1", Want::Get).await.unwrap();
    assert_eq!(warm.outcome, Outcome::Hit);
    assert_eq!(world.upstream.asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_warm_tag_costs_no_call_to_the_disk_and_within_its_ttl_none_to_the_upstream() {
    for (ttl, heads) in [(Duration::ZERO, 2), (Duration::from_secs(3600), 1)] {
        let (world, faults, _directory) = world_on_files(|settings| settings.tags.ttl = ttl);
        world.upstream.put_manifest(&repository(), "1", ONE);
        world.manifest("1", Want::Get).await.unwrap();
        let calls = faults.steps().len();
        let warm = world.manifest("1", Want::Get).await.unwrap();
        assert_eq!(warm.bytes.unwrap(), ONE);
        assert_eq!(faults.steps().len(), calls, "{:?}", &faults.steps()[calls..]);
        assert_eq!(world.upstream.count("HEAD"), heads);
    }
}

#[tokio::test(start_paused = true)]
async fn f31_a_check_that_the_disk_refused_does_not_make_the_older_record_fresh() {
    let (world, faults, _directory) =
        world_on_files(|settings| settings.tags.ttl = Duration::from_secs(3600));
    world.upstream.put_manifest(&repository(), "1", ONE);
    let old = world.manifest("1", Want::Get).await.unwrap();
    let (media_type, size) = (old.media_type, old.size);
    let record = TagRecord { digest: old.digest, media_type, size, checked_at: SystemTime::UNIX_EPOCH };
    world.records.put_tag(&repository(), &"1".parse().unwrap(), &record).await.unwrap();
    // The cache that checked it is gone; the next one has only the record.
    let world = World::over(world.upstream.clone(), world.blobs.clone(), world.records.clone(), |settings| {
        settings.tags.ttl = Duration::from_secs(3600);
    });
    let new = world.upstream.put_manifest(&repository(), "1", TWO);
    // The manifest and its record are written, the tag's is not.
    faults.inject(Some(Call::Write), 2, Fault::Errno(28));
    assert_eq!(world.manifest("1", Want::Get).await.unwrap().digest, new);
    assert!(!faults.is_pending());
    assert_eq!(world.manifest("1", Want::Get).await.unwrap().digest, new);
}

#[tokio::test(start_paused = true)]
async fn a_moved_tag_is_seen_at_once_and_the_old_digest_stays() {
    let world = World::new();
    let old = world.upstream.put_manifest(&repository(), "1", ONE);
    world.manifest("1", Want::Get).await.unwrap();
    let new = world.upstream.put_manifest(&repository(), "1", TWO);
    let moved = world.manifest("1", Want::Get).await.unwrap();
    assert_eq!((moved.digest, moved.bytes.unwrap().as_ref()), (new, TWO.as_bytes()));
    let kept = world.manifest(&old.to_string(), Want::Get).await.unwrap();
    assert_eq!(kept.bytes.unwrap(), ONE);
}

#[tokio::test(start_paused = true)]
async fn the_digest_that_a_head_names_can_be_pulled_and_then_the_tag_outlives_the_upstream() {
    let world = World::new();
    let digest = world.upstream.put_manifest(&repository(), "1", ONE);
    let head = world.manifest("1", Want::Head).await.unwrap();
    assert_eq!((&head.digest, head.size), (&digest, ONE.len() as u64));
    assert_eq!(world.upstream.count("GET"), 0);
    world.manifest(&digest.to_string(), Want::Get).await.unwrap();
    world.upstream.set_down(Some(ErrorKind::Unreachable));
    let stale = world.manifest("1", Want::Head).await.unwrap();
    assert_eq!((stale.outcome, stale.digest), (Outcome::Stale, digest));
}

#[tokio::test(start_paused = true)]
async fn f01_an_outage_serves_the_stored_tag_marked_stale() {
    for kind in [ErrorKind::Unreachable, ErrorKind::TimedOut, ErrorKind::Throttled, ErrorKind::Resting] {
        let world = World::new();
        world.upstream.put_manifest(&repository(), "1", ONE);
        world.manifest("1", Want::Get).await.unwrap();
        world.upstream.set_down(Some(kind));
        let stale = world.manifest("1", Want::Get).await.unwrap();
        assert_eq!((stale.outcome, stale.bytes.unwrap().as_ref()), (Outcome::Stale, ONE.as_bytes()));
        assert!(stale.age.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn f02_an_outage_is_no_absence() {
    let world = World::new();
    world.upstream.set_down(Some(ErrorKind::Unreachable));
    assert!(matches!(world.manifest("1", Want::Get).await, Err(PullError::UpstreamUnavailable { .. })));
}

#[tokio::test(start_paused = true)]
async fn f12_a_refusal_is_truthful_and_a_deleted_tag_does_not_come_back_in_an_outage() {
    let world = World::new();
    world.upstream.put_manifest(&repository(), "1", ONE);
    world.manifest("1", Want::Get).await.unwrap();
    world.upstream.set_down(Some(ErrorKind::Denied));
    assert!(matches!(world.manifest("1", Want::Get).await, Err(PullError::Denied { .. })));
    tokio::time::advance(Duration::from_secs(4)).await;
    world.upstream.set_down(None);
    world.upstream.delete_tag(&repository(), "1");
    assert!(matches!(world.manifest("1", Want::Get).await, Err(PullError::NotFound { .. })));
    tokio::time::advance(Duration::from_secs(4)).await;
    world.upstream.set_down(Some(ErrorKind::Unreachable));
    assert!(matches!(world.manifest("1", Want::Get).await, Err(PullError::UpstreamUnavailable { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_deleted_tag_is_served_where_the_operator_wants_it() {
    let world = World::with(|settings| settings.tags.on_upstream_404 = Upstream404::Serve);
    world.upstream.put_manifest(&repository(), "1", ONE);
    world.manifest("1", Want::Get).await.unwrap();
    world.upstream.delete_tag(&repository(), "1");
    assert_eq!(world.manifest("1", Want::Get).await.unwrap().outcome, Outcome::Stale);
}

#[tokio::test(start_paused = true)]
async fn f48_a_missing_tag_is_looked_up_once_in_a_few_seconds() {
    let world = World::new();
    for want in [Want::Head, Want::Get, Want::Get] {
        assert!(matches!(world.manifest("none", want).await, Err(PullError::NotFound { .. })));
    }
    assert_eq!(world.upstream.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn f16_an_upstream_that_refuses_head_is_asked_by_get() {
    let world = World::new();
    world.upstream.refuse_head();
    let digest = world.upstream.put_manifest(&repository(), "1", ONE);
    let head = world.manifest("1", Want::Head).await.unwrap();
    assert_eq!(head.digest, digest);
    world.upstream.set_down(Some(ErrorKind::Unreachable));
    assert_eq!(world.manifest("1", Want::Get).await.unwrap().bytes.unwrap(), ONE);
}

#[tokio::test(start_paused = true)]
async fn f03_a_silent_upstream_is_not_waited_for_beyond_the_deadline() {
    let world = World::new();
    world.upstream.put_manifest(&repository(), "1", ONE);
    world.manifest("1", Want::Get).await.unwrap();
    let _never = world.upstream.pause();
    let before = tokio::time::Instant::now();
    assert_eq!(world.manifest("1", Want::Get).await.unwrap().outcome, Outcome::Stale);
    assert!(before.elapsed() <= Duration::from_secs(10));
    let cold = world.manifest("2", Want::Get).await;
    assert!(matches!(cold, Err(PullError::UpstreamUnavailable { timed_out: true, .. })));
}

#[tokio::test(start_paused = true)]
async fn f08_a_manifest_that_is_wrong_once_is_asked_for_afresh_and_right() {
    for head_works in [true, false] {
        let world = World::new();
        let digest = world.upstream.put_manifest(&repository(), "1", ONE);
        if !head_works {
            world.upstream.refuse_head();
        }
        for reference in ["1", &world.upstream.put_manifest(&repository(), "2", TWO).to_string()] {
            world.upstream.spoil_manifests(1);
            assert!(world.manifest(reference, Want::Get).await.is_ok(), "{reference}, HEAD: {head_works}");
        }
        assert_eq!(world.upstream.count("GET"), 4);
        assert_eq!(world.manifest("1", Want::Get).await.unwrap().digest, digest);
    }
}

#[tokio::test(start_paused = true)]
async fn f08_a_manifest_that_is_wrong_twice_is_not_requested_for_a_minute() {
    for head_works in [true, false] {
        let world = World::new();
        world.upstream.put_manifest(&repository(), "1", ONE);
        if !head_works {
            world.upstream.refuse_head();
        }
        world.upstream.spoil_manifests(usize::MAX);
        for _ in 0..3 {
            let pulled = world.manifest("1", Want::Get).await;
            assert!(matches!(pulled, Err(PullError::DigestMismatch { .. })), "HEAD: {head_works}");
        }
        assert_eq!(world.upstream.count("GET"), 2);
        world.upstream.spoil_manifests(0);
        tokio::time::advance(Duration::from_secs(61)).await;
        assert_eq!(world.manifest("1", Want::Get).await.unwrap().bytes.unwrap(), ONE);
    }
}

#[tokio::test(start_paused = true)]
async fn f18_a_login_page_is_no_manifest() {
    let world = World::new();
    world.upstream.put_manifest(&repository(), "1", "<html>please log in</html>");
    assert!(matches!(world.manifest("1", Want::Get).await, Err(PullError::UpstreamUnavailable { .. })));
}

#[tokio::test(start_paused = true)]
async fn signatures_are_absent_not_failing_where_no_upstream_is_asked() {
    let world = World::with(|settings| settings.tags.offline = true);
    let tag = format!("sha256-{}", "a".repeat(64));
    assert!(matches!(world.manifest(&tag, Want::Get).await, Err(PullError::NotFound { .. })));
    assert!(matches!(world.manifest("1", Want::Get).await, Err(PullError::Offline)));
}

#[tokio::test(start_paused = true)]
async fn signatures_of_held_images_are_absent_not_failing_during_an_outage() {
    let world = World::new();
    world.upstream.set_down(Some(ErrorKind::Unreachable));
    let tag = format!("sha256-{}.sig", "a".repeat(64));
    assert!(matches!(world.manifest(&tag, Want::Get).await, Err(PullError::NotFound { .. })));
    let subject = oci::Digest::of(oci::Algorithm::Sha256, b"subject");
    let page = oci::Page::default();
    let referrers = world.backend.referrers(&repository(), &subject, None, &page).await;
    assert!(matches!(referrers, Err(PullError::NotFound { .. })));
    world.upstream.set_down(None);
    assert!(world.backend.referrers(&repository(), &subject, None, &page).await.is_ok());
    world.upstream.set_down(Some(ErrorKind::Unreachable));
    let stale = world.backend.referrers(&repository(), &subject, None, &page).await.unwrap();
    assert_eq!(stale.outcome, Outcome::Stale);
}

/// The tag is known, and its manifest is lost: as during an outage, the answer is a not-found.
#[tokio::test(start_paused = true)]
async fn signatures_whose_manifest_is_lost_are_absent_not_failing_where_no_upstream_is_asked() {
    let online = World::new();
    let tag = format!("sha256-{}.sig", "a".repeat(64));
    let digest = online.upstream.put_manifest(&repository(), &tag, ONE);
    online.manifest(&tag, Want::Get).await.unwrap();
    online.records.remove_manifest(&repository(), &digest).await.unwrap();
    let (blobs, records) = (online.blobs.clone(), online.records.clone());
    let world = World::over(online.upstream.clone(), blobs, records, |it| it.tags.offline = true);
    assert!(matches!(world.manifest(&tag, Want::Get).await, Err(PullError::NotFound { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_tag_whose_removal_the_disk_refused_is_removed_by_the_next_refusal() {
    let (world, faults, _directory) = world_on_files(|_| {});
    world.upstream.put_manifest(&repository(), "1", ONE);
    world.manifest("1", Want::Get).await.unwrap();
    world.upstream.delete_tag(&repository(), "1");
    faults.inject(Some(Call::Unlink), 0, Fault::Errno(5));
    for _ in 0..2 {
        assert!(matches!(world.manifest("1", Want::Get).await, Err(PullError::NotFound { .. })));
        assert!(!faults.is_pending());
        // Longer than the refusal is remembered.
        tokio::time::sleep(Duration::from_secs(4)).await;
    }
    world.upstream.set_down(Some(ErrorKind::Unreachable));
    let restarted = world.restarted();
    for world in [world, restarted] {
        let pulled = world.manifest("1", Want::Get).await;
        assert!(matches!(pulled, Err(PullError::UpstreamUnavailable { .. })), "{pulled:?}");
    }
}
