//! A registry with an account, and without rules of access: clients get what the upstream gives to everyone.

use std::sync::Arc;
use std::time::Duration;

use cache::{
    AnonymousUpstream, KeptBlobs, Outcome, PullError, Settings, Upstreams, Want, Wanted, WarmProgress,
};
use futures_util::future::join_all;
use oci::{Algorithm, Digest, Page, Platforms, RangeRequest, RangeSet, Reference, Repository};
use policy::freshness::Upstream404;
use policy::offline::Switch;
use upstream::ErrorKind;

use crate::succession::succeed_before;
use crate::upstream::MemoryUpstream;
use crate::world::{World, noise, read, repository};

const AUTH_TTL: Duration = Settings::AUTH_TTL;
const PRIVATE_TTL: Duration = Duration::from_secs(60);
const MANIFEST: &str = r#"{"schemaVersion":2,"layers":[]}"#;

/// A registry that is asked with an account and without one, and the content that it has.
struct Guarded {
    world: World,
    anonymous: Arc<MemoryUpstream>,
    manifest: Digest,
    blob: Digest,
}

impl Guarded {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::over(&World::with(|settings| settings.links = true), Arc::default(), change)
    }

    fn over(world: &World, anonymous: Arc<MemoryUpstream>, change: impl FnOnce(&mut Settings)) -> Self {
        let content = |upstream: &MemoryUpstream| {
            let blob = upstream.put_blob(&noise(100_000));
            (upstream.put_manifest(&repository(), "1", MANIFEST), blob)
        };
        content(&anonymous);
        let (manifest, blob) = content(&world.upstream);
        let world = guard(world, &anonymous, "https://memory.test/", change);
        Self { world, anonymous, manifest, blob }
    }

    /// New tables over the same store, as after a restart.
    fn restarted(&self, address: &str) -> Self {
        let Self { world, anonymous, manifest, blob } = self;
        let over = World::over(world.upstream.clone(), world.blobs.clone(), world.records.clone(), |_| {});
        let world = guard(&over, anonymous, address, |_| {});
        Self { world, anonymous: anonymous.clone(), manifest: manifest.clone(), blob: blob.clone() }
    }

    async fn pull(&self, repository: &Repository, reference: &str) -> Result<Outcome, PullError> {
        let reference: Reference = reference.parse().unwrap();
        let answer = self.world.backend.pull_manifest(repository, &reference, Want::Get).await;
        answer.map(|answer| answer.outcome)
    }

    async fn tag(&self) -> Result<Outcome, PullError> {
        self.pull(&repository(), "1").await
    }

    /// The refusals of requests in every form; `None` for one that was served.
    async fn every_form(&self, repository: &Repository) -> Vec<(String, Option<PullError>)> {
        let backend = &self.world.backend;
        let mut ended = Vec::new();
        for want in [Want::Get, Want::Head] {
            for reference in ["1", &self.manifest.to_string()] {
                let reference: Reference = reference.parse().unwrap();
                let answer = backend.pull_manifest(repository, &reference, want).await;
                ended.push((format!("{reference} {want:?}"), answer.err()));
            }
            for header in [None, Some("bytes=0-9"), Some("bytes=-5")] {
                let range = header.and_then(|header| RangeRequest::parse(header).unwrap());
                let answer = backend.pull_blob(repository, &self.blob, range, want).await;
                ended.push((format!("blob {header:?} {want:?}"), answer.err()));
            }
        }
        let ranges = RangeSet::parse("bytes=0-1,5-9").unwrap();
        ended.push(("ranges".into(), backend.pull_ranges(repository, &self.blob, &ranges).await.err()));
        ended.push(("tags".into(), backend.tags(repository, &Page::default()).await.err()));
        let referrers = backend.referrers(repository, &self.manifest, None, &Page::default()).await;
        ended.push(("referrers".into(), referrers.err()));
        ended
    }

    /// Brings the image in as the owner does.
    async fn warm(&self) {
        let (reference, platforms): (Reference, Platforms) = ("1".parse().unwrap(), Platforms::All);
        let (kept, progress) = (KeptBlobs::default(), WarmProgress::default());
        let (repository, with_referrers) = (repository(), false);
        let wanted =
            Wanted { repository: &repository, reference: &reference, platforms: &platforms, with_referrers };
        self.world.backend.warm(wanted, &kept, &progress).await.unwrap();
        self.world.settle().await;
    }
}

fn guard(
    world: &World,
    anonymous: &Arc<MemoryUpstream>,
    address: &str,
    change: impl FnOnce(&mut Settings),
) -> World {
    let anonymous = AnonymousUpstream { upstream: anonymous.clone(), address: address.to_owned() };
    let upstreams = Upstreams { own: world.upstream.clone(), anonymous: Some(anonymous) };
    succeed_before(world, upstreams, |settings| {
        settings.links = true;
        change(settings);
    })
}

fn is_refused(error: &PullError) -> bool {
    matches!(error, PullError::NotPublic { .. })
}

#[tokio::test(start_paused = true)]
async fn s14_a_private_repository_is_refused_in_every_form_also_when_it_is_stored() {
    let guarded = Guarded::new();
    let other: Repository = "public/app".parse().unwrap();
    guarded.warm().await;
    // The blob is stored too, through a public repository.
    let blob = guarded.world.backend.pull_blob(&other, &guarded.blob, None, Want::Get).await.unwrap();
    read(blob.body.unwrap()).await.1.unwrap();
    guarded.world.settle().await;
    guarded.anonymous.deny(&repository());
    let (asked, own) = (guarded.anonymous.asked().len(), guarded.world.upstream.asked().len());
    for _ in 0..2 {
        for (form, error) in guarded.every_form(&repository()).await {
            assert!(error.as_ref().is_some_and(is_refused), "{form}: {error:?}");
        }
    }
    assert_eq!(
        guarded.anonymous.asked().len() - asked,
        1,
        "one question for all: {:?}",
        guarded.anonymous.asked()
    );
    assert_eq!(
        guarded.world.upstream.asked().len(),
        own,
        "the account is not used for what clients do not get"
    );
}

#[tokio::test(start_paused = true)]
async fn s14_a_public_repository_is_asked_for_once_and_pulled_with_the_account() {
    let guarded = Guarded::new();
    for ended in join_all((0..20).map(|_| guarded.tag())).await {
        ended.unwrap();
    }
    for (form, error) in guarded.every_form(&repository()).await {
        assert_eq!(error, None, "{form}");
    }
    assert_eq!(guarded.anonymous.asked(), ["HEAD manifest 1"], "no body, so no pull on any count");
    assert_eq!(guarded.world.upstream.count("GET manifest"), 1);
    assert_eq!(guarded.world.upstream.count("GET blob"), 1);
}

#[tokio::test(start_paused = true)]
async fn s14_a_repository_that_is_made_private_is_refused_within_auth_ttl_and_stays_so_in_an_outage() {
    let guarded = Guarded::with(|settings| settings.tags.ttl = Duration::from_secs(24 * 3600));
    guarded.tag().await.unwrap();
    guarded.world.pull(&guarded.blob).await.unwrap();
    guarded.anonymous.deny(&repository());
    tokio::time::advance(AUTH_TTL - Duration::from_secs(1)).await;
    guarded.world.pull(&guarded.blob).await.unwrap();
    tokio::time::advance(Duration::from_secs(2)).await;
    for (form, error) in guarded.every_form(&repository()).await {
        assert!(error.as_ref().is_some_and(is_refused), "{form}: {error:?}");
    }
    guarded.anonymous.set_down(Some(ErrorKind::Unreachable));
    tokio::time::advance(PRIVATE_TTL).await;
    let down = guarded.tag().await;
    assert!(matches!(down, Err(PullError::UpstreamUnavailable { .. })), "{down:?}");
    let after = guarded.restarted("https://memory.test/").tag().await;
    assert!(matches!(after, Err(PullError::UpstreamUnavailable { .. })), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn s14_a_repository_that_is_made_public_is_served_after_a_minute() {
    let guarded = Guarded::new();
    guarded.anonymous.deny(&repository());
    assert!(is_refused(&guarded.tag().await.unwrap_err()));
    guarded.anonymous.allow(&repository());
    tokio::time::advance(PRIVATE_TTL - Duration::from_secs(1)).await;
    assert!(is_refused(&guarded.tag().await.unwrap_err()));
    tokio::time::advance(Duration::from_secs(1)).await;
    guarded.tag().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn s14_an_outage_takes_nothing_away_and_opens_nothing() {
    let guarded = Guarded::new();
    guarded.tag().await.unwrap();
    guarded.world.pull(&guarded.blob).await.unwrap();
    let never: Repository = "never/asked".parse().unwrap();
    tokio::time::advance(AUTH_TTL * 100).await;
    let kinds = [
        ErrorKind::Unreachable,
        ErrorKind::TimedOut,
        ErrorKind::Throttled,
        ErrorKind::Resting,
        ErrorKind::Invalid,
        ErrorKind::Unconfirmed,
    ];
    for down in kinds {
        guarded.anonymous.set_down(Some(down));
        guarded.world.pull(&guarded.blob).await.unwrap();
        guarded.tag().await.unwrap();
        for (form, error) in guarded.every_form(&never).await {
            let error = error.unwrap_or_else(|| panic!("{down:?} {form} was served"));
            assert!(error.is_outage() || is_refused(&error), "{down:?} {form}: {error:?}");
            assert!(!error.is_definite_no(), "{down:?} {form}: {error:?}");
        }
    }
    guarded.anonymous.set_down(None);
    assert_eq!(guarded.world.backend.pull_blob(&never, &guarded.blob, None, Want::Head).await.err(), None);
}

#[tokio::test(start_paused = true)]
async fn s14_a_restart_remembers_what_is_public_and_asks_after_the_same_time() {
    let guarded = Guarded::new();
    guarded.tag().await.unwrap();
    guarded.world.pull(&guarded.blob).await.unwrap();
    guarded.world.settle().await;
    let asked = guarded.anonymous.asked().len();
    let after = guarded.restarted("https://memory.test/");
    after.tag().await.unwrap();
    assert_eq!(after.anonymous.asked().len(), asked, "the answer of the earlier process still holds");
    after.anonymous.set_down(Some(ErrorKind::Unreachable));
    after.world.pull(&after.blob).await.unwrap();
    tokio::time::advance(AUTH_TTL).await;
    after.tag().await.unwrap();
    assert!(after.anonymous.asked().len() > asked, "it is asked again after its time");
    let other = guarded.restarted("https://elsewhere.test/");
    assert!(other.tag().await.is_err(), "another upstream has said nothing yet");
}

#[tokio::test(start_paused = true)]
async fn s16_a_restart_does_not_make_the_word_of_an_earlier_process_live_longer() {
    let guarded = Guarded::with(|settings| settings.wall_clock = || std::time::SystemTime::UNIX_EPOCH);
    guarded.tag().await.unwrap();
    // By the clock of the next process, the word is decades old.
    let after = guarded.restarted("https://memory.test/");
    after.tag().await.unwrap();
    assert_eq!(after.anonymous.count("HEAD manifest"), 2);
    after.anonymous.set_down(Some(ErrorKind::TimedOut));
    let after = guarded.restarted("https://memory.test/");
    after.tag().await.unwrap();
}

/// A tag that a public repository does not have is a 404 for clients, as at the upstream; so are the tags of
/// signatures, for which clients probe. A registry that hides private repositories reveals nothing.
#[tokio::test(start_paused = true)]
async fn s14_absent_content_of_a_public_repository_is_absent_and_a_hidden_repository_is_refused() {
    let guarded = Guarded::new();
    let absent = guarded.pull(&repository(), "absent").await;
    assert!(matches!(absent, Err(PullError::NotFound { .. })), "{absent:?}");
    assert_eq!(guarded.anonymous.asked(), ["HEAD manifest absent", "GET tags"]);
    let guarded = Guarded::new();
    guarded.world.upstream.put_manifest(&repository(), "secret", r#"{"schemaVersion":2,"layers":[],"x":1}"#);
    guarded.anonymous.refuse_tags(Some(ErrorKind::NotFound));
    let own = guarded.world.upstream.asked().len();
    for name in ["secret", "absent"] {
        let error = guarded.pull(&repository(), name).await.unwrap_err();
        assert!(is_refused(&error), "{name}: {error:?}");
        let again = guarded.pull(&repository(), name).await.unwrap_err();
        assert_eq!(again, error, "the same words whether it exists or not, and remembered for a moment");
    }
    assert_eq!(guarded.anonymous.asked().len(), 4, "{:?}", guarded.anonymous.asked());
    assert_eq!(guarded.world.upstream.asked().len(), own, "the account is not asked what it can see");
    // Other content of the same repository is asked for by itself.
    guarded.tag().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn s14_a_repository_that_becomes_hidden_is_refused_unless_404_is_to_be_served() {
    for on_404 in [Upstream404::NotFound, Upstream404::Serve] {
        let guarded = Guarded::with(|settings| settings.tags.on_upstream_404 = on_404);
        guarded.tag().await.unwrap();
        guarded.anonymous.delete_tag(&repository(), "1");
        guarded.anonymous.refuse_tags(Some(ErrorKind::NotFound));
        tokio::time::advance(AUTH_TTL).await;
        let ended = guarded.tag().await;
        match on_404 {
            Upstream404::Serve => assert!(ended.is_ok(), "{ended:?}"),
            Upstream404::NotFound => {
                assert!(is_refused(&ended.unwrap_err()));
                guarded.anonymous.set_down(Some(ErrorKind::Unreachable));
                tokio::time::advance(Duration::from_secs(4)).await;
                assert!(guarded.tag().await.is_err(), "an outage does not bring it back");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn s15_a_fill_that_another_repository_began_is_not_joined_through_a_private_one() {
    let guarded = Guarded::new();
    let private: Repository = "private/app".parse().unwrap();
    guarded.anonymous.deny(&private);
    let first = guarded.world.get(&guarded.blob).await.unwrap();
    let joined = guarded.world.backend.pull_blob(&private, &guarded.blob, None, Want::Get).await;
    assert!(is_refused(&joined.unwrap_err()));
    read(first.body.unwrap()).await.1.unwrap();
}

#[tokio::test(start_paused = true)]
async fn s14_offline_the_last_word_counts_and_what_was_never_asked_is_refused_with_the_reason() {
    let guarded = Guarded::new();
    guarded.warm().await;
    guarded.tag().await.unwrap();
    let other: Repository = "never/asked".parse().unwrap();
    guarded.world.backend.offline().set(Some(Switch::On)).await.unwrap();
    tokio::time::advance(AUTH_TTL * 2).await;
    let asked = guarded.anonymous.asked().len();
    guarded.tag().await.unwrap();
    let error = guarded.pull(&other, "1").await.unwrap_err();
    assert!(is_refused(&error) && error.to_string().contains("offline"), "{error:?}");
    assert_eq!(guarded.anonymous.asked().len(), asked);
}

#[tokio::test(start_paused = true)]
async fn s14_the_catalog_names_only_public_repositories() {
    let guarded = Guarded::new();
    guarded.warm().await;
    let public: Repository = "public/app".parse().unwrap();
    for upstream in [&guarded.anonymous, &guarded.world.upstream] {
        upstream.put_manifest(&public, "1", r#"{"schemaVersion":2,"layers":[],"public":1}"#);
    }
    guarded.anonymous.deny(&repository());
    guarded.pull(&public, "1").await.unwrap();
    let listed = async |n| {
        let page = Page { n: Some(n), ..Page::default() };
        guarded.world.backend.catalog(&page).await.unwrap().unwrap().repositories
    };
    assert_eq!(listed(10).await, std::slice::from_ref(&public));
    // The page that holds only the private name is left out, and the list goes on.
    assert_eq!(listed(1).await, [public]);
}

/// The owner's own commands take what the account may read, and open nothing for clients.
#[tokio::test(start_paused = true)]
async fn s14_the_owner_warms_private_images_and_clients_do_not_get_them() {
    let guarded = Guarded::new();
    guarded.anonymous.deny(&repository());
    guarded.warm().await;
    assert!(guarded.anonymous.asked().is_empty(), "the owner needs no word about the public");
    assert!(is_refused(&guarded.tag().await.unwrap_err()));
    let open =
        succeed_before(&guarded.world, Upstreams::shared(guarded.world.upstream.clone()), |settings| {
            settings.links = true;
        });
    let reference = Reference::Digest(guarded.manifest.clone());
    open.backend.pull_manifest(&repository(), &reference, Want::Get).await.unwrap();
}

/// A client that takes all permits makes nothing readable and keeps nothing readable.
#[tokio::test(start_paused = true)]
async fn t21_a_flood_keeps_no_repository_readable_that_may_be_private_by_now() {
    let world = World::with(|settings| settings.waiting_count_max = 1);
    let guarded = Guarded::over(&world, Arc::default(), |_| {});
    guarded.tag().await.unwrap();
    guarded.world.pull(&guarded.blob).await.unwrap();
    tokio::time::advance(AUTH_TTL).await;
    guarded.anonymous.deny(&repository());
    let _gate = guarded.anonymous.pause();
    let (backend, other) = (guarded.world.backend.clone(), "other/app".parse::<Repository>().unwrap());
    let asked = guarded.anonymous.asked().len();
    let flood = tokio::spawn(async move {
        backend.pull_manifest(&other, &"1".parse().unwrap(), Want::Get).await.map(|_| ())
    });
    while guarded.anonymous.asked().len() == asked {
        tokio::task::yield_now().await;
    }
    assert_eq!(guarded.world.pull(&guarded.blob).await.unwrap_err(), PullError::Overloaded);
    flood.abort();
}

#[tokio::test(start_paused = true)]
async fn s14_twenty_requests_for_different_content_of_an_undecided_repository_are_one_question() {
    let guarded = Guarded::new();
    let blobs: Vec<Digest> = (0..20)
        .map(|number| {
            let bytes = noise(1000 + number);
            guarded.anonymous.put_blob(&bytes);
            guarded.world.upstream.put_blob(&bytes)
        })
        .collect();
    for ended in join_all(blobs.iter().map(|digest| guarded.world.pull(digest))).await {
        ended.unwrap();
    }
    assert_eq!(guarded.anonymous.asked().len(), 1, "{:?}", guarded.anonymous.asked());
    // Absence of one content says nothing about another one.
    let guarded = Guarded::new();
    guarded.anonymous.refuse_tags(Some(ErrorKind::NotFound));
    let absent = Digest::of(Algorithm::Sha256, b"absent");
    let (refused, served) = tokio::join!(guarded.world.get(&absent), guarded.tag());
    assert!(is_refused(&refused.map(|_| ()).unwrap_err()));
    served.unwrap();
}
