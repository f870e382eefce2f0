//! An operator asks the upstream about a tag now, whatever its time to live.

use std::time::{Duration, SystemTime};

use cache::{PullError, RefreshError, Refreshed, Want};
use oci::Reference;
use policy::freshness::Upstream404;
use upstream::ErrorKind;

use crate::manifests::ONE;
use crate::world::{World, repository};

const TWO: &str = concat!(
    r#"{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","#,
    r#""digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":"#,
    r#"0},"layers":[ ]}"#,
);

impl World {
    async fn refresh(&self) -> Result<Option<Refreshed>, PullError> {
        let refreshed = self.backend.refresh(&repository(), &"1".parse().unwrap()).await;
        refreshed.map_err(|error| match error {
            RefreshError::Pull(error) => error,
            RefreshError::NotWhole { .. } => panic!("{error}"),
        })
    }

    /// The digest that a client gets for the tag.
    async fn pull_tag(&self) -> Result<oci::Digest, PullError> {
        let reference: Reference = "1".parse().unwrap();
        self.backend.pull_manifest(&repository(), &reference, Want::Get).await.map(|answer| answer.digest)
    }
}

fn never_checks(upstream_404: Upstream404) -> World {
    World::with(|settings| {
        settings.tags.ttl = Duration::MAX;
        settings.tags.on_upstream_404 = upstream_404;
    })
}

#[tokio::test(start_paused = true)]
async fn a_tag_is_asked_for_whatever_its_time_to_live_and_the_new_manifest_is_stored() {
    let world = never_checks(Upstream404::NotFound);
    assert_eq!(world.refresh().await.unwrap(), None);
    assert!(world.upstream.asked().is_empty(), "a tag that is not known is not asked for");
    let one = world.upstream.put_manifest(&repository(), "1", ONE);
    world.pull_tag().await.unwrap();
    assert_eq!(world.refresh().await.unwrap(), Some(Refreshed::Unchanged { digest: one.clone() }));
    let two = world.upstream.put_manifest(&repository(), "1", TWO);
    assert_eq!(world.pull_tag().await.unwrap(), one);
    let moved = Refreshed::Moved { from: one.clone(), to: two.clone() };
    assert_eq!(world.refresh().await.unwrap(), Some(moved));
    let asked_count = world.upstream.asked().len();
    assert_eq!(world.pull_tag().await.unwrap(), two);
    assert_eq!(world.upstream.asked().len(), asked_count, "the next pull asks for nothing");
    assert!(world.records.manifest(&repository(), &one).await.unwrap().is_some());
    let checked_at = world.backend.tag_checked_at(&repository(), &"1".parse().unwrap()).await.unwrap();
    assert!(SystemTime::now().duration_since(checked_at).unwrap() < Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn a_tag_that_is_gone_upstream_is_given_up_as_the_rule_wants() {
    for (rule, is_kept) in [(Upstream404::NotFound, false), (Upstream404::Serve, true)] {
        let world = never_checks(rule);
        let was = world.upstream.put_manifest(&repository(), "1", ONE);
        world.pull_tag().await.unwrap();
        world.upstream.delete_tag(&repository(), "1");
        assert_eq!(world.refresh().await.unwrap(), Some(Refreshed::Gone { was: was.clone(), is_kept }));
        assert_eq!(world.pull_tag().await.ok(), is_kept.then_some(was));
    }
}

#[tokio::test(start_paused = true)]
async fn less_than_a_definite_answer_gives_nothing_up() {
    for kind in [ErrorKind::Unreachable, ErrorKind::TimedOut, ErrorKind::Throttled, ErrorKind::Unconfirmed] {
        let world = never_checks(Upstream404::NotFound);
        let one = world.upstream.put_manifest(&repository(), "1", ONE);
        world.pull_tag().await.unwrap();
        world.upstream.set_down(Some(kind));
        let failed = world.refresh().await.unwrap_err();
        assert!(failed.is_outage(), "{kind:?}: {failed}");
        assert_eq!(world.pull_tag().await.unwrap(), one, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_is_offline_is_not_asked() {
    let online = never_checks(Upstream404::NotFound);
    let one = online.upstream.put_manifest(&repository(), "1", ONE);
    online.pull_tag().await.unwrap();
    let (blobs, records) = (online.blobs.clone(), online.records.clone());
    let world = World::over(online.upstream.clone(), blobs, records, |it| it.tags.offline = true);
    let asked_count = world.upstream.asked().len();
    assert_eq!(world.refresh().await, Err(PullError::Offline));
    assert_eq!((world.upstream.asked().len(), world.pull_tag().await.unwrap()), (asked_count, one));
}
