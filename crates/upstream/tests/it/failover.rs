//! An upstream with several addresses.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use oci::{Digest, Page};
use policy::head_trust::Stakes;
use testkit::{
    Auth, Behaviour, Credential, Door, Endpoint, FakeRegistry, Fault, Gate, Kind, RequestRecord, Rule, within,
};
use upstream::{
    BlobRange, BlobStream, Described, Error, ErrorKind, HttpUpstream, ListRequest, ManifestBody, Settings,
    Upstream,
};

use crate::rig::{MANIFEST_TYPE, REPOSITORY, build, bytes, parse, read, repository, settings};

/// Two registries behind one upstream.
struct Pair {
    registries: [FakeRegistry; 2],
    upstream: HttpUpstream,
}

impl Pair {
    async fn start() -> Self {
        Self::start_with(anonymous(), |_| ()).await
    }

    async fn start_with(behaviour: Behaviour, change: impl FnOnce(&mut Settings)) -> Self {
        let registries =
            [FakeRegistry::start_with(behaviour.clone()).await, FakeRegistry::start_with(behaviour).await];
        let mut all = settings(&registries[0]);
        let other = settings(&registries[1]);
        all.trusted_hosts.extend(other.trusted_hosts);
        all.stand_ins = vec![other.upstream];
        change(&mut all);
        Self { registries, upstream: build(all).0 }
    }

    /// Puts manifests that differ behind `latest`; their digests.
    fn put_different(&self) -> [String; 2] {
        let mut of = ["first", "second"].into_iter();
        self.registries.each_ref().map(|registry| put(registry, of.next().unwrap()))
    }

    fn put_blob(&self, content: Vec<u8>) -> String {
        self.registries[1].put_blob(content.clone());
        self.registries[0].put_blob(content)
    }

    async fn set_door(&self, at: usize, door: Door) {
        self.registries[at].set_door(Endpoint::Registry, door).await;
    }

    async fn get(&self, reference: &str) -> Result<ManifestBody, Error> {
        within("a manifest", self.upstream.get_manifest(&repository(), &parse(reference))).await
    }

    async fn blob(&self, digest: &str, range: BlobRange) -> Result<BlobStream, Error> {
        let digest: Digest = digest.parse().unwrap();
        within("a blob's head", self.upstream.get_blob(&repository(), &digest, range)).await
    }

    fn resting(&self) -> Vec<bool> {
        self.upstream.addresses().iter().map(|address| address.is_resting).collect()
    }

    /// Asks until the answer comes from this address.
    async fn ask_until_from(&self, at: usize) {
        let asking = async {
            while self.get("latest").await.unwrap().sent_by.is_stand_in() != (at > 0) {
                tokio::task::yield_now().await;
            }
        };
        within("the answer of an address", asking).await;
    }
}

fn anonymous() -> Behaviour {
    Behaviour { auth: Auth::Anonymous, ..Behaviour::default() }
}

fn put(registry: &FakeRegistry, text: &str) -> String {
    let text = format!(r#"{{"schemaVersion":2,"annotations":{{"of":"{text}"}}}}"#);
    registry.put_manifest(REPOSITORY, Some("latest"), MANIFEST_TYPE, Bytes::from(text))
}

/// The GETs of blobs at the registry itself, which redirects them.
fn blob_requests(registry: &FakeRegistry) -> usize {
    let is_one = |it: &RequestRecord| it.kind == Kind::GetBlob && it.endpoint == Endpoint::Registry;
    registry.log().count_where(is_one)
}

#[tokio::test]
async fn the_first_address_answers_while_it_is_healthy() {
    let pair = Pair::start().await;
    pair.put_different();
    let blob = pair.put_blob(bytes(1000));
    assert!(!pair.get("latest").await.unwrap().sent_by.is_stand_in());
    let (got, error) = read(pair.blob(&blob, BlobRange::Whole).await.unwrap()).await;
    assert_eq!((got, error.map(|it| it.kind())), (bytes(1000), None));
    assert_eq!(pair.registries[1].requests().len(), 0, "the second one gets nothing");
    assert_eq!(pair.resting(), [false, false]);
}

#[tokio::test]
async fn f01_a_first_address_that_is_down_at_the_start_is_passed_over_and_comes_back() {
    let pair = Pair::start().await;
    let digests = pair.put_different();
    pair.set_door(0, Door::Refuse).await;
    for _ in 0..3 {
        let body = pair.get("latest").await.unwrap();
        assert!(body.sent_by.is_stand_in());
        assert!(body.digest.unwrap().to_string() == digests[1]);
    }
    assert_eq!(pair.resting(), [true, false]);
    let status = &pair.upstream.addresses()[0];
    assert_eq!(status.url, pair.registries[0].url().trim_end_matches('/'));
    assert!(status.failure.as_ref().unwrap().to_string().contains("nothing listens"), "{status:?}");
    pair.set_door(0, Door::Open).await;
    pair.ask_until_from(0).await;
    assert_eq!(pair.resting(), [false, false]);
    // wharf's own probe found it, and shows nothing of a client's.
    let requests = pair.registries[0].requests();
    let first = &requests[0];
    assert_eq!((first.kind, first.target.as_str(), &first.credential), (Kind::Version, "/v2/", &None));
}

#[tokio::test]
async fn a_failure_of_any_kind_moves_one_request_to_the_next_address() {
    let faults = [
        ("500", Fault::Status(500)),
        ("503", Fault::Status(503)),
        ("504", Fault::Status(504)),
        ("429", Fault::Status(429)),
        ("a portal", Fault::HtmlPortal),
        ("no answer", Fault::Close),
        ("a reset", Fault::Reset),
        ("no HTTP", Fault::Raw("what?\r\n\r\n".into())),
        ("a cut", Fault::CutAt(5)),
    ];
    join_all(faults.into_iter().map(async |(what, fault)| {
        let pair = Pair::start().await;
        pair.put_different();
        pair.registries[0].script(Rule::new(Kind::GetManifest, fault));
        let body = pair.get("latest").await.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(body.sent_by.is_stand_in(), "{what}");
        // It is about this target: the address itself goes on.
        assert_eq!(pair.resting(), [false, false], "{what}");
        let tags = ListRequest::Tags { repository: repository(), page: Page::default() };
        assert!(!pair.upstream.list(&tags).await.unwrap().sent_by.is_stand_in(), "{what}");
    }))
    .await;
}

#[tokio::test]
async fn a_429_pauses_that_address_only() {
    let pair = Pair::start().await;
    pair.put_different();
    pair.registries[0].script(Rule::new(Kind::GetManifest, Fault::Status(429)).once());
    for _ in 0..3 {
        assert!(pair.get("latest").await.unwrap().sent_by.is_stand_in());
    }
    assert_eq!(pair.registries[0].log().count(Kind::GetManifest), 1, "it gets its rest");
}

#[tokio::test]
async fn a_definite_no_of_the_first_address_is_the_answer() {
    for (status, kind) in [(404, ErrorKind::NotFound), (403, ErrorKind::Denied)] {
        let pair = Pair::start().await;
        pair.put_different();
        pair.registries[0].script(Rule::new(Kind::GetManifest, Fault::Status(status)));
        pair.registries[0].script(Rule::new(Kind::HeadManifest, Fault::Status(status)));
        assert_eq!(pair.get("latest").await.unwrap_err().kind(), kind);
        let described = pair.upstream.head_manifest(&repository(), &parse("latest"), Stakes::Held).await;
        assert_eq!(described.unwrap_err().kind(), kind);
        assert_eq!(pair.registries[1].requests().len(), 0, "{status}: no other address gets the request");
    }
}

#[tokio::test]
async fn f02_the_no_of_a_stand_in_is_an_outage_of_the_first_address() {
    for status in [404, 401, 403] {
        let pair = Pair::start().await;
        pair.registries[1].script(Rule::new(Kind::GetManifest, Fault::Status(status)));
        pair.set_door(0, Door::Refuse).await;
        // Once while the first address fails, and once while it rests.
        for _ in 0..2 {
            let error = pair.get("latest").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
            let hosts = pair.registries.each_ref().map(|registry| registry.host_of(Endpoint::Registry));
            let text = error.to_string();
            assert!(hosts.iter().all(|host| text.contains(host)), "it names both: {text}");
        }
    }
}

#[tokio::test]
async fn f02_when_both_addresses_are_down_the_error_names_both() {
    let pair = Pair::start().await;
    for at in [0, 1] {
        pair.set_door(at, Door::Refuse).await;
    }
    let hosts = pair.registries.each_ref().map(|registry| registry.host_of(Endpoint::Registry));
    for _ in 0..3 {
        let error = pair.get("latest").await.unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with(&hosts[0]) && text.contains(&hosts[1]), "{text}");
        assert!(matches!(error.kind(), ErrorKind::Unreachable | ErrorKind::Resting), "{error:?}");
    }
    assert_eq!(pair.resting(), [true, true]);
    pair.put_different();
    pair.set_door(1, Door::Open).await;
    pair.ask_until_from(1).await;
    pair.set_door(0, Door::Open).await;
    pair.ask_until_from(0).await;
}

#[tokio::test]
async fn f05_a_blob_that_breaks_off_goes_on_at_the_next_address() {
    let pair = Pair::start().await;
    let content = bytes(300_000);
    let blob = pair.put_blob(content.clone());
    pair.registries[0].script(Rule::new(Kind::GetBlob, Fault::CutAt(100_000)).at(Endpoint::Cdn));
    let (mut got, error) = read(pair.blob(&blob, BlobRange::Whole).await.unwrap()).await;
    assert_eq!((got.len(), error.map(|it| it.kind())), (100_000, Some(ErrorKind::Interrupted)));
    let rest = pair.blob(&blob, BlobRange::From(100_000)).await.unwrap();
    assert_eq!((rest.start, rest.size), (100_000, Some(300_000)));
    let (rest, error) = read(rest).await;
    assert!(error.is_none());
    got.extend(rest);
    assert!(got == content);
    let second = pair.registries[1].requests();
    let at_registry = |it: &&RequestRecord| it.kind == Kind::GetBlob && it.endpoint == Endpoint::Registry;
    let ranges: Vec<_> = second.iter().filter(at_registry).map(|it| &it.range).collect();
    assert_eq!(ranges, [&Some("bytes=100000-".to_owned())]);
    // Another blob still comes from the first address.
    let other = pair.put_blob(bytes(10));
    pair.registries[0].script(Rule::new(Kind::GetBlob, Fault::Chunked));
    read(pair.blob(&other, BlobRange::Whole).await.unwrap()).await;
    assert_eq!(blob_requests(&pair.registries[1]), 1);
}

#[tokio::test]
async fn f05_a_blob_that_breaks_off_at_both_addresses_returns_to_the_first() {
    let pair = Pair::start().await;
    let blob = pair.put_blob(bytes(300));
    for registry in &pair.registries {
        registry.script(Rule::new(Kind::GetBlob, Fault::CutAt(100)).at(Endpoint::Cdn).once());
    }
    for start in [0, 100, 200] {
        read(pair.blob(&blob, BlobRange::From(start)).await.unwrap()).await;
    }
    assert_eq!(pair.registries.each_ref().map(blob_requests), [2, 1]);
}

#[tokio::test]
async fn f03_a_silent_first_address_costs_one_wait() {
    let pair =
        Pair::start_with(anonymous(), |settings| settings.header_timeout = Duration::from_secs(2)).await;
    pair.put_different();
    pair.set_door(0, Door::Mute).await;
    // The second address gets the request as well after 0.8 s.
    assert!(pair.get("latest").await.unwrap().sent_by.is_stand_in());
    assert_eq!(pair.resting(), [true, false]);
    for _ in 0..20 {
        assert!(pair.get("latest").await.unwrap().sent_by.is_stand_in());
    }
    assert_eq!(pair.registries[1].log().count(Kind::GetManifest), 21, "no request waits for the first one");
    pair.set_door(0, Door::Open).await;
    pair.ask_until_from(0).await;
}

#[tokio::test]
async fn f03_the_answer_of_a_slow_first_address_still_counts() {
    let pair =
        Pair::start_with(anonymous(), |settings| settings.header_timeout = Duration::from_secs(2)).await;
    pair.put_different();
    let gates = [Gate::new(), Gate::new()];
    for (registry, gate) in pair.registries.iter().zip(&gates) {
        registry.script(Rule::new(Kind::GetManifest, Fault::Stall(gate.clone())));
    }
    let release = async {
        gates[1].reached(1).await;
        gates[0].release();
    };
    let (body, ()) = tokio::join!(pair.get("latest"), release);
    assert!(!body.unwrap().sent_by.is_stand_in());
    assert_eq!(pair.resting(), [false, false]);
}

#[tokio::test]
async fn f03_the_no_of_a_stand_in_waits_for_a_slow_first_address() {
    let pair =
        Pair::start_with(anonymous(), |settings| settings.header_timeout = Duration::from_secs(2)).await;
    let digests = pair.put_different();
    let gate = Gate::new();
    pair.registries[0].script(Rule::new(Kind::GetManifest, Fault::Stall(gate.clone())));
    pair.registries[1].script(Rule::new(Kind::GetManifest, Fault::Status(404)));
    let release = async {
        pair.registries[1].wait_for_requests(1).await;
        gate.release();
    };
    let (body, ()) = tokio::join!(pair.get("latest"), release);
    assert_eq!(body.unwrap().digest.unwrap().to_string(), digests[0]);
}

#[tokio::test]
async fn s03_each_address_gets_the_login_and_no_token_of_another() {
    let auth = Auth::bearer("robot", "word");
    let pair = Pair::start_with(Behaviour { auth, ..Behaviour::default() }, |settings| {
        settings.credentials = credentials::Settings::password("robot", "word");
    })
    .await;
    pair.put_different();
    pair.get("latest").await.unwrap();
    assert_eq!(pair.registries[1].requests().len(), 0, "a login is shown where it is needed");
    pair.set_door(0, Door::Refuse).await;
    assert!(pair.get("latest").await.unwrap().sent_by.is_stand_in());
    let tokens = pair.registries.each_ref().map(|registry| {
        let requests = registry.requests();
        let bearers = requests.iter().filter_map(|request| match &request.credential {
            Some(Credential::Bearer(token)) => Some(token.clone()),
            _ => None,
        });
        bearers.collect::<Vec<_>>()
    });
    assert!(tokens.iter().all(|tokens| !tokens.is_empty()), "{tokens:?}");
    assert!(tokens[0].iter().all(|token| !tokens[1].contains(token)), "{tokens:?}");
}

#[tokio::test]
async fn a_description_says_which_address_gave_it() {
    let pair = Pair::start().await;
    pair.put_different();
    let describe = async || match pair
        .upstream
        .head_manifest(&repository(), &parse("latest"), Stakes::Nothing)
        .await
        .unwrap()
    {
        Described::Head(head) => head.sent_by.is_stand_in(),
        Described::Whole(body) => body.sent_by.is_stand_in(),
    };
    assert!(!describe().await);
    pair.set_door(0, Door::Refuse).await;
    assert!(describe().await);
}
