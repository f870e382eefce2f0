//! The scope of failures: a target, a repository or a host fails, and all else goes on.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use oci::{ByteRange, Repository};
use testkit::{Auth, Behaviour, Door, Endpoint, FakeRegistry, Fault, Gate, Kind, Rule};
use upstream::{BlobRange, Error, ErrorKind, ListRequest, ManifestBody, Upstream};

use crate::rig::{MANIFEST_TYPE, REPOSITORY, Rig, bytes, parse, read};

fn anonymous() -> Behaviour {
    Behaviour { auth: Auth::Anonymous, ..Behaviour::default() }
}

/// With a short patience, so that what hangs does not hold up the tests.
async fn hasty(behaviour: Behaviour) -> Rig {
    Rig::start_with(behaviour, |settings| settings.header_timeout = Duration::from_millis(1500)).await
}

fn put(rig: &Rig, repository: &str, tag: &str) {
    let text = format!(r#"{{"schemaVersion":2,"of":"{repository}:{tag}"}}"#);
    rig.registry.put_manifest(repository, Some(tag), MANIFEST_TYPE, Bytes::from(text));
}

async fn get(rig: &Rig, repository: &str, reference: &str) -> Result<ManifestBody, Error> {
    let repository: Repository = repository.parse().unwrap();
    rig.upstream.get_manifest(&repository, &parse(reference)).await
}

fn state(rig: &Rig) -> u64 {
    rig.sample("wharf_upstream_breaker_state{registry=\"fake\"}").unwrap()
}

/// Everything that can go wrong with an answer and is about what was asked.
fn failures() -> Vec<(&'static str, Fault)> {
    let drip = Fault::Drip { bytes: 1, every: Duration::from_millis(100) };
    let busy = header(503, "retry-after", "900");
    vec![
        ("500", Fault::Status(500)),
        ("502", Fault::Status(502)),
        ("503", Fault::Status(503)),
        ("504", Fault::Status(504)),
        ("524", Fault::Status(524)),
        ("503 for a quarter of an hour", busy),
        ("408", Fault::Status(408)),
        ("silence", Fault::Stall(Gate::new())),
        ("a body that drips", drip),
        ("a reset after the head", Fault::ResetAt(0)),
        ("a cut in the body", Fault::CutAt(5)),
        ("no answer", Fault::Close),
        ("a reset", Fault::Reset),
        ("no HTTP", Fault::Raw("what?\r\n\r\n".into())),
    ]
}

#[tokio::test]
async fn k13_one_repository_that_fails_in_any_way_changes_nothing_for_another() {
    join_all(failures().into_iter().map(async |(what, fault)| {
        let rig = hasty(anonymous()).await;
        put(&rig, "bad/app", "latest");
        put(&rig, "good/app", "latest");
        let rule = Rule::new(Kind::GetManifest, fault).repository("bad/app");
        rig.registry.script(rule);
        let bad = async {
            for _ in 0..60 {
                get(&rig, "bad/app", "latest").await.unwrap_err();
            }
        };
        let good = async {
            for _ in 0..60 {
                get(&rig, "good/app", "latest").await.unwrap_or_else(|error| panic!("{what}: {error}"));
            }
        };
        tokio::join!(bad, good);
        assert_eq!(state(&rig), 0, "{what}");
        let of_bad = |request: &testkit::RequestRecord| request.repository.as_deref() == Some("bad/app");
        let sent = rig.registry.log().count_where(of_bad);
        assert!(sent <= 10, "{what}: {sent} requests");
        // What has worked is asked again where it fails for a moment: nobody has used that up.
        rig.registry.script(Rule::new(Kind::GetManifest, Fault::Status(502)).repository("good/app").times(2));
        get(&rig, "good/app", "latest").await.unwrap_or_else(|error| panic!("{what}: {error}"));
    }))
    .await;
}

#[tokio::test]
async fn t22_one_path_that_fails_leaves_the_other_paths_of_its_repository_alone() {
    join_all(failures().into_iter().map(async |(what, fault)| {
        let rig = hasty(anonymous()).await;
        put(&rig, REPOSITORY, "latest");
        put(&rig, REPOSITORY, "other");
        let blob = rig.registry.put_blob(bytes(100));
        rig.registry.script(Rule::new(Kind::Tags, fault.clone()));
        rig.registry.script(Rule::new(Kind::GetManifest, fault).reference("other"));
        let tags = ListRequest::Tags { repository: REPOSITORY.parse().unwrap(), page: oci::Page::default() };
        for _ in 0..10 {
            rig.upstream.list(&tags).await.unwrap_err();
            rig.get("other").await.unwrap_err();
            rig.get("latest").await.unwrap_or_else(|error| panic!("{what}: {error}"));
            let (got, _) = read(rig.blob(&blob, BlobRange::Whole).await.unwrap()).await;
            assert_eq!(got, bytes(100), "{what}");
        }
        assert_eq!(state(&rig), 0, "{what}");
    }))
    .await;
}

#[tokio::test]
async fn t22_names_that_somebody_makes_up_leave_everybody_else_alone() {
    for (what, fault) in [("504", Fault::Status(504)), ("silence", Fault::Stall(Gate::new()))] {
        let rig = hasty(anonymous()).await;
        put(&rig, "good/app", "latest");
        rig.registry.script(Rule::new(Kind::GetManifest, fault));
        // The newest rule decides alone; this one changes nothing that matters.
        let harmless = Fault::Header("x-odd", "1".to_owned());
        rig.registry.script(Rule::new(Kind::GetManifest, harmless).repository("good/app"));
        get(&rig, "good/app", "latest").await.unwrap();
        let made_up = join_all((0..300).map(async |number: u32| {
            get(&rig, &format!("made-up/{number}"), "latest").await.unwrap_err();
        }));
        let good = async {
            for _ in 0..100 {
                get(&rig, "good/app", "latest").await.unwrap_or_else(|error| panic!("{what}: {error}"));
                tokio::task::yield_now().await;
            }
        };
        tokio::join!(made_up, good);
        get(&rig, "good/app", "latest").await.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(state(&rig), 0, "{what}");
    }
}

#[tokio::test]
async fn t22_where_several_repositories_fail_the_registry_is_asked_by_us_and_left_alone_if_it_fails_too() {
    for (is_down, expected) in [(true, 2), (false, 0)] {
        let rig = hasty(anonymous()).await;
        rig.registry.script(Rule::new(Kind::GetManifest, Fault::Status(504)));
        if is_down {
            rig.registry.script(Rule::new(Kind::Version, Fault::Status(504)));
        }
        for number in 0..5 {
            get(&rig, &format!("library/{number}"), "latest").await.unwrap_err();
        }
        // Whoever comes next makes us ask, and does not wait for it.
        get(&rig, "library/next", "latest").await.unwrap_err();
        rig.registry
            .log()
            .wait_until("our own request", |log| {
                log.requests().iter().any(|request| request.kind == Kind::Version && request.status.is_some())
            })
            .await;
        while state(&rig) != expected {
            tokio::task::yield_now().await;
        }
        let sent = rig.registry.log().count(Kind::GetManifest);
        let error = get(&rig, "library/last", "latest").await.unwrap_err();
        if is_down {
            assert_eq!(error.kind(), ErrorKind::Resting);
            assert_eq!(rig.registry.log().count(Kind::GetManifest), sent);
        }
        assert_eq!(rig.registry.log().count(Kind::Version), 1, "once in a while only");
    }
}

#[tokio::test]
async fn k13_a_repository_left_alone_is_found_again() {
    let rig = hasty(anonymous()).await;
    put(&rig, "bad/app", "latest");
    let rule = rig.registry.script(Rule::new(Kind::GetManifest, Fault::Status(502)));
    while get(&rig, "bad/app", "latest").await.unwrap_err().kind() != ErrorKind::Resting {}
    rule.remove();
    let sent = rig.registry.log().count(Kind::GetManifest);
    while get(&rig, "bad/app", "latest").await.is_err() {
        tokio::task::yield_now().await;
    }
    assert_eq!(rig.registry.log().count(Kind::GetManifest), sent + 1, "by its first request after the rest");
}

#[tokio::test]
async fn k14_a_further_connection_that_is_refused_is_refused_alone() {
    let refusals = [
        ("429", Fault::Status(429)),
        ("429 for a quarter of an hour", header(429, "retry-after", "900")),
        ("503", Fault::Status(503)),
        ("503 for a quarter of an hour", header(503, "retry-after", "900")),
        ("403", Fault::Status(403)),
        ("401", Fault::Status(401)),
        ("404", Fault::Status(404)),
        ("502", Fault::Status(502)),
        ("500", Fault::Status(500)),
        ("silence", Fault::Stall(Gate::new())),
        ("a reset", Fault::Reset),
        ("no answer", Fault::Close),
    ];
    for endpoint in [Endpoint::Registry, Endpoint::Cdn] {
        join_all(refusals.clone().into_iter().map(async |(what, fault)| {
            let rig = hasty(Behaviour { redirects: endpoint == Endpoint::Cdn, ..anonymous() }).await;
            put(&rig, REPOSITORY, "latest");
            let blob = rig.registry.put_blob(bytes(1000));
            rig.registry.script(Rule::new(Kind::GetBlob, fault).at(endpoint).ranged());
            let span = ByteRange { start: 500, end: 1000 };
            let count = if what == "silence" { 6 } else { 20 };
            for _ in 0..count {
                rig.blob(&blob, BlobRange::Further(span)).await.unwrap_err();
            }
            let is_ranged = |request: &testkit::RequestRecord| {
                request.endpoint == endpoint && request.range.as_deref() == Some("bytes=500-999")
            };
            let asked = rig.registry.log().count_where(is_ranged);
            // A kept connection that turns out to be dead is replaced by a new one, as ever; silence is
            // waited for once.
            let most = if what == "silence" { count } else { 2 * count };
            assert!((count..=most).contains(&asked), "{what} at {endpoint:?}: {asked}");
            let whole = rig.blob(&blob, BlobRange::Whole).await;
            let (got, error) = read(whole.unwrap_or_else(|error| panic!("{what}: {error}"))).await;
            assert!(error.is_none() && got == bytes(1000), "{what} at {endpoint:?}");
            get(&rig, REPOSITORY, "latest").await.unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(state(&rig), 0, "{what} at {endpoint:?}");
            // Nor did it use up what is tried again.
            rig.registry.script(Rule::new(Kind::GetManifest, Fault::Status(502)).times(2));
            get(&rig, REPOSITORY, "latest").await.unwrap_or_else(|error| panic!("{what}: {error}"));
        }))
        .await;
    }
}

#[tokio::test]
async fn k14_a_content_network_that_fails_is_left_alone_and_another_one_is_not() {
    let busy = header(429, "retry-after", "900");
    for (what, fault) in [("429", Some(busy)), ("502", Some(Fault::Status(502))), ("nobody there", None)] {
        let other = FakeRegistry::start_with(Behaviour { redirects: false, ..anonymous() }).await;
        let rig = Rig::before(FakeRegistry::start_with(anonymous()).await, |settings| {
            settings.trusted_hosts.push(other.host_of(Endpoint::Registry));
        });
        put(&rig, REPOSITORY, "latest");
        let (one, two) = (rig.registry.put_blob(bytes(1000)), rig.registry.put_blob(bytes(2000)));
        assert_eq!(other.put_blob(bytes(2000)), two);
        let elsewhere = Fault::RedirectTo(format!("{}/v2/{REPOSITORY}/blobs/{two}", other.url()));
        rig.registry.script(Rule::new(Kind::GetBlob, elsewhere).at(Endpoint::Registry).reference(&two));
        match fault {
            Some(fault) => drop(rig.registry.script(Rule::new(Kind::GetBlob, fault))),
            None => rig.registry.set_door(Endpoint::Cdn, Door::Refuse).await,
        }
        for _ in 0..20 {
            let error = rig.blob(&one, BlobRange::Whole).await.unwrap_err();
            assert_eq!(error.host(), rig.registry.host_of(Endpoint::Cdn), "{what}");
            let (got, _) = read(rig.blob(&two, BlobRange::Whole).await.unwrap()).await;
            assert_eq!(got, bytes(2000), "{what}");
            get(&rig, REPOSITORY, "latest").await.unwrap();
        }
        assert_eq!(state(&rig), 0, "{what}");
        assert!(rig.registry.log().count_at(Endpoint::Cdn, Kind::GetBlob) <= 8, "{what}");
    }
}

/// An answer of this status with one header.
fn header(code: u16, name: &str, value: &str) -> Fault {
    Fault::StatusWith { code, headers: vec![(name.to_owned(), value.to_owned())], body: Bytes::new() }
}
