//! Tags and referrers: requested once, stored, and served while the upstream is unavailable.

use cache::{ListAnswer, Outcome, PullError, Want};
use futures_util::future::join_all;
use oci::{Algorithm, Digest, Page, Reference};
use policy::freshness::StaleLimit;
use upstream::ErrorKind;

use crate::world::{World, noise, repository};

fn subject() -> Digest {
    Digest::of(Algorithm::Sha256, b"subject")
}

async fn referrers(world: &World) -> Result<ListAnswer, PullError> {
    world.backend.referrers(&repository(), &subject(), None, &Page::default()).await
}

async fn tags(world: &World) -> Result<ListAnswer, PullError> {
    world.backend.tags(&repository(), &Page::default()).await
}

/// Pages of another size, of another type, or of other tags are other lists.
fn others() -> [Page; 2] {
    let last = Page { last: Some("b".to_owned()), ..Page::default() };
    [Page { n: Some(2), ..Page::default() }, last]
}

#[tokio::test(start_paused = true)]
async fn client_f4_stored_referrers_survive_a_restart_during_an_outage() {
    let world = World::new();
    referrers(&world).await.unwrap();
    world.upstream.set_down(Some(ErrorKind::Unreachable));
    let world = world.restarted();
    let stale = referrers(&world).await.unwrap();
    assert_eq!((stale.outcome, &stale.bytes[..]), (Outcome::Stale, &b"{}"[..]));
    assert!(stale.age.is_some());
    // The whole list stands in for a filtered one: without `OCI-Filters-Applied`, the client filters.
    let filtered = async |subject: &Digest| {
        world.backend.referrers(&repository(), subject, Some("a/b"), &Page::default()).await
    };
    let of_all = filtered(&subject()).await.unwrap();
    assert_eq!((of_all.outcome, of_all.bytes, of_all.filters_applied), (Outcome::Stale, stale.bytes, None));
    let other = filtered(&Digest::of(Algorithm::Sha256, b"other")).await;
    assert!(matches!(other, Err(PullError::NotFound { .. })));
}

#[tokio::test(start_paused = true)]
async fn client_f8_stored_tag_lists_are_served_while_the_upstream_is_down() {
    let world = World::new();
    let fresh = tags(&world).await.unwrap();
    assert_eq!((fresh.outcome, fresh.age), (Outcome::Miss, None));
    for down in [ErrorKind::Unreachable, ErrorKind::TimedOut, ErrorKind::Throttled, ErrorKind::Invalid] {
        world.upstream.set_down(Some(down));
        assert_eq!(tags(&world).await.unwrap().outcome, Outcome::Stale, "{down:?}");
        for page in others() {
            let answer = world.backend.tags(&repository(), &page).await;
            assert!(answer.is_err_and(|error| error.is_outage()), "{down:?} {page:?}");
        }
    }
    world.upstream.set_down(None);
    assert_eq!(tags(&world).await.unwrap().outcome, Outcome::Miss, "the upstream is asked again");
}

#[tokio::test(start_paused = true)]
async fn client_f8_a_list_that_the_registry_denies_is_forgotten() {
    for no in [ErrorKind::NotFound, ErrorKind::Denied] {
        let world = World::new();
        tags(&world).await.unwrap();
        referrers(&world).await.unwrap();
        world.upstream.set_down(Some(no));
        assert!(tags(&world).await.is_err() && referrers(&world).await.is_err());
        world.upstream.set_down(Some(ErrorKind::Unreachable));
        assert!(tags(&world).await.is_err_and(|error| error.is_outage()), "{no:?}");
        assert!(matches!(referrers(&world).await, Err(PullError::NotFound { .. })), "{no:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn client_f8_lists_stand_in_as_long_as_tags_do_and_offline_for_ever() {
    let world = World::with(|settings| settings.tags.stale_if_error = StaleLimit::Never);
    tags(&world).await.unwrap();
    world.upstream.set_down(Some(ErrorKind::Unreachable));
    assert!(tags(&world).await.is_err());
    let offline =
        World::over(world.upstream.clone(), world.blobs.clone(), world.records.clone(), |settings| {
            settings.tags.stale_if_error = StaleLimit::Never;
            settings.tags.offline = true;
        });
    world.upstream.set_down(None);
    let before = world.upstream.asked().len();
    assert_eq!(tags(&offline).await.unwrap().outcome, Outcome::Stale);
    assert_eq!(world.upstream.asked().len(), before, "no upstream was asked");
}

#[tokio::test(start_paused = true)]
async fn t11_concurrent_requests_for_a_list_share_one_upstream_request() {
    let world = World::new();
    let gate = world.upstream.pause();
    let ask = async {
        let lists = join_all((0..64).map(|_| async { (tags(&world).await, referrers(&world).await) })).await;
        lists.into_iter().flat_map(|(tags, referrers)| [tags, referrers])
    };
    let (lists, ()) = tokio::join!(ask, async { gate.add_permits(2) });
    let joined = lists.filter(|list| list.as_ref().unwrap().outcome == Outcome::Join).count();
    assert_eq!(joined, 2 * 63);
    assert_eq!(world.upstream.asked().len(), 2, "{:?}", world.upstream.asked());
}

#[tokio::test(start_paused = true)]
async fn t11_concurrent_heads_of_a_digest_share_one_upstream_request() {
    let world = World::new();
    let blob = world.upstream.put_blob(&noise(1000));
    let name = repository();
    let sizes = join_all((0..64).map(|_| world.backend.pull_blob(&name, &blob, None, Want::Head))).await;
    assert!(sizes.iter().all(|answer| answer.as_ref().unwrap().size == Some(1000)));
    let text = r#"{"schemaVersion":2,"config":{},"layers":[]}"#;
    let manifest = Reference::Digest(world.upstream.put_manifest(&repository(), "1", text));
    let describe = (0..64).map(|_| world.backend.pull_manifest(&name, &manifest, Want::Head));
    let described = join_all(describe).await;
    assert!(described.iter().all(|answer| answer.as_ref().unwrap().size == text.len() as u64));
    assert_eq!(world.upstream.asked().len(), 2, "{:?}", world.upstream.asked());
}
