//! An upstream of several addresses, of which one sends wrong bytes.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use oci::{Digest, Page};
use policy::head_trust::Stakes;
use testkit::{
    Artifact, Auth, Behaviour, Door, Endpoint, FakeRegistry, Fault, Gate, Image, Kind, Referrers, Rule,
    within,
};
use upstream::{
    AddressPosition, BlobRange, HttpUpstream, ListRequest, ManifestBody, Senders, Settings, Upstream,
};

use crate::rig::{MANIFEST_TYPE, REPOSITORY, build, bytes, parse, read, repository, settings};

const FIRST: AddressPosition = AddressPosition::new(0);
const SECOND: AddressPosition = AddressPosition::new(1);

/// Several registries with the same content behind one upstream.
struct Several {
    registries: Vec<FakeRegistry>,
    upstream: HttpUpstream,
}

impl Several {
    async fn start(count: usize, change: impl FnOnce(&mut Settings)) -> Self {
        let behaviour =
            Behaviour { auth: Auth::Anonymous, referrers: Referrers::Unfiltered, ..Behaviour::default() };
        let registries = join_all((0..count).map(|_| FakeRegistry::start_with(behaviour.clone()))).await;
        let mut all = settings(&registries[0]);
        for other in registries[1..].iter().map(settings) {
            all.trusted_hosts.extend(other.trusted_hosts);
            all.stand_ins.push(other.upstream);
        }
        change(&mut all);
        Self { registries, upstream: build(all).0 }
    }

    fn put_manifest(&self, text: &str) -> Digest {
        let text = format!(r#"{{"schemaVersion":2,"annotations":{{"of":"{text}"}}}}"#);
        let put = |registry: &FakeRegistry| {
            registry.put_manifest(REPOSITORY, Some("latest"), MANIFEST_TYPE, Bytes::from(text.clone()))
        };
        let digests: Vec<String> = self.registries.iter().map(put).collect();
        digests[0].parse().unwrap()
    }

    fn put_blob(&self, content: &[u8]) -> Digest {
        let digests: Vec<String> =
            self.registries.iter().map(|registry| registry.put_blob(content.to_vec())).collect();
        digests[0].parse().unwrap()
    }

    async fn manifest(&self, digest: &Digest) -> ManifestBody {
        let reference = parse(&digest.to_string());
        within("a manifest", self.upstream.get_manifest(&repository(), &reference)).await.unwrap()
    }

    /// The address that a request for this range of a blob goes to.
    async fn sender(&self, digest: &Digest, range: BlobRange) -> usize {
        let repository = repository();
        let asked = self.upstream.get_blob(&repository, digest, range);
        let stream = within("a blob's head", asked).await.unwrap();
        let sender = stream.sent_by.get();
        read(stream).await;
        sender
    }

    /// The requests for content that each address got.
    fn counts(&self, kind: Kind) -> Vec<usize> {
        self.registries.iter().map(|it| it.log().count_at(Endpoint::Registry, kind)).collect()
    }
}

#[tokio::test]
async fn f08_an_address_that_sent_wrong_bytes_is_passed_over_for_this_digest_alone() {
    let all = Several::start(2, |_| ()).await;
    let (blob, other) = (all.put_blob(&bytes(1000)), all.put_blob(&bytes(1001)));
    let manifest = all.put_manifest("one");
    assert_eq!(all.sender(&blob, BlobRange::Whole).await, 0);
    assert!(all.upstream.note_wrong(&blob, &Senders::only(FIRST)));
    assert!(all.upstream.note_wrong(&manifest, &Senders::only(FIRST)));
    let span = BlobRange::Span(oci::ByteRange { start: 10, end: 20 });
    for range in [BlobRange::Whole, BlobRange::From(5), span, BlobRange::Last(7)] {
        assert_eq!(all.sender(&blob, range).await, 1, "{range:?}");
        assert_eq!(all.sender(&other, range).await, 0, "{range:?}");
    }
    assert_eq!(all.manifest(&manifest).await.sent_by, SECOND);
    let another = all.put_manifest("two");
    assert_eq!(all.manifest(&another).await.sent_by, FIRST);
    // The first address still says what a tag names, and who may read.
    let tag = all.upstream.get_manifest(&repository(), &parse("latest")).await.unwrap();
    assert_eq!(tag.sent_by, FIRST);
    let heads = all.counts(Kind::HeadBlob);
    all.upstream.head_blob(&repository(), &blob, Stakes::Held).await.unwrap();
    assert_eq!(all.counts(Kind::HeadBlob), [heads[0] + 1, heads[1]]);
}

#[tokio::test]
async fn f08_an_address_that_sent_wrong_bytes_is_asked_again_where_no_other_one_answers() {
    let all = Several::start(2, |_| ()).await;
    let blob = all.put_blob(&bytes(1000));
    assert!(all.upstream.note_wrong(&blob, &Senders::only(FIRST)));
    all.registries[1].set_door(Endpoint::Registry, Door::Refuse).await;
    assert_eq!(all.sender(&blob, BlobRange::Whole).await, 0);
    assert!(!all.upstream.note_wrong(&blob, &Senders::only(FIRST)), "a retry would end there again");
    all.registries[1].set_door(Endpoint::Registry, Door::Open).await;
    assert_eq!(all.sender(&blob, BlobRange::Whole).await, 1, "although it rests");
    assert!(!all.upstream.note_wrong(&blob, &Senders::only(SECOND)), "no address is left");
}

#[tokio::test]
async fn f08_an_address_that_sent_wrong_bytes_does_not_overtake_a_slow_one() {
    // The next address would get the request as well after 0.4 s.
    let all = Several::start(2, |settings| settings.header_timeout = Duration::from_secs(1)).await;
    let manifest = all.put_manifest("one");
    assert!(all.upstream.note_wrong(&manifest, &Senders::only(FIRST)));
    let gate = Gate::new();
    all.registries[1].script(Rule::new(Kind::GetManifest, Fault::Stall(gate.clone())));
    let early = tokio::time::timeout(Duration::from_millis(700), all.manifest(&manifest)).await;
    assert!(early.is_err(), "{early:?}");
    // The slow one may get a second request over a new connection.
    assert_eq!(all.counts(Kind::GetManifest)[0], 0);
    gate.release();
    assert_eq!(all.manifest(&manifest).await.sent_by, SECOND);
}

#[tokio::test]
async fn f08_where_the_first_address_is_wrong_and_a_stand_in_has_nothing_the_next_one_is_asked() {
    let all = Several::start(3, |_| ()).await;
    let (blob, manifest) = (all.put_blob(&bytes(1000)), all.put_manifest("one"));
    for kind in [Kind::GetManifest, Kind::GetBlob] {
        all.registries[1].script(Rule::new(kind, Fault::Status(404)).at(Endpoint::Registry));
    }
    for digest in [&blob, &manifest] {
        assert!(all.upstream.note_wrong(digest, &Senders::only(FIRST)));
    }
    assert_eq!(all.sender(&blob, BlobRange::Whole).await, 2);
    assert_eq!(all.manifest(&manifest).await.sent_by.get(), 2);
    assert_eq!(all.counts(Kind::GetBlob)[0] + all.counts(Kind::GetManifest)[0], 0);
}

#[tokio::test]
async fn f08_wrong_bytes_of_two_addresses_leave_both_to_be_tried_alone() {
    let all = Several::start(2, |_| ()).await;
    let blob = all.put_blob(&bytes(1000));
    let both = Senders { addresses: vec![FIRST, SECOND], are_all: true };
    assert!(all.upstream.note_wrong(&blob, &both));
    assert_eq!(all.sender(&blob, BlobRange::Whole).await, 0);
    assert!(all.upstream.note_wrong(&blob, &Senders::only(FIRST)));
    assert_eq!(all.sender(&blob, BlobRange::Whole).await, 1);
    // Bytes of an earlier process: nobody knows whose they are.
    let unknown = Senders { addresses: Vec::new(), are_all: false };
    assert!(!all.upstream.note_wrong(&all.put_blob(&bytes(7)), &unknown));
    let only = Several::start(1, |_| ()).await;
    assert!(!only.upstream.note_wrong(&blob, &Senders::only(FIRST)));
}

/// Nothing proves a list, so an empty one is an answer like any other: the word of the first healthy address.
#[tokio::test]
async fn an_empty_list_is_the_answer_of_the_first_healthy_address() {
    let all = Several::start(2, |_| ()).await;
    let image = Image::small("one");
    for registry in &all.registries {
        registry.put_image(REPOSITORY, "latest", &image);
    }
    all.registries[0].remove_tag(REPOSITORY, "latest");
    let artifact = Artifact::about(&image.manifest, "application/vnd.example.signature", b"signature");
    all.registries[1].put_artifact(REPOSITORY, &artifact);
    let page = Page::default();
    let tags = ListRequest::Tags { repository: repository(), page: page.clone() };
    let digest = image.digest().parse().unwrap();
    let referrers = ListRequest::Referrers { repository: repository(), digest, artifact_type: None, page };
    let says = async |request: &ListRequest, text: &str| {
        let list = all.upstream.list(request).await.unwrap();
        (list.sent_by, String::from_utf8_lossy(&list.bytes).contains(text))
    };
    assert_eq!(says(&tags, "latest").await, (FIRST, false));
    assert_eq!(says(&referrers, &artifact.manifest.digest).await, (FIRST, false));
    assert!(all.registries[1].requests().is_empty(), "the other address gets no request");
    all.registries[0].set_door(Endpoint::Registry, Door::Refuse).await;
    assert_eq!(says(&tags, "latest").await, (SECOND, true));
    assert_eq!(says(&referrers, &artifact.manifest.digest).await, (SECOND, true));
}
