//! An upstream and the registry that it talks to.

use bytes::Bytes;
use futures_util::StreamExt;
use oci::{Digest, Reference, Repository};
use policy::head_trust::Stakes;
use telemetry::Metrics;
use testkit::{Behaviour, Endpoint, FakeRegistry, within};
use upstream::{
    Authorities, BlobRange, BlobStream, Described, Error, HttpUpstream, ManifestBody, ManifestHead, Settings,
    Upstream,
};
use url::Url;

pub(crate) const REPOSITORY: &str = "library/alpine";
pub(crate) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

pub(crate) struct Rig {
    pub(crate) registry: FakeRegistry,
    pub(crate) upstream: HttpUpstream,
    pub(crate) metrics: Metrics,
}

/// Settings under which all three endpoints of the fake belong to the upstream, as they must on a loopback
/// address.
pub(crate) fn settings(registry: &FakeRegistry) -> Settings {
    let mut settings = Settings::new("fake", registry.url().parse::<Url>().unwrap());
    settings.trusted_hosts =
        [Endpoint::Token, Endpoint::Cdn].map(|endpoint| registry.host_of(endpoint)).to_vec();
    settings
}

impl Rig {
    pub(crate) async fn start(behaviour: Behaviour) -> Self {
        Self::start_with(behaviour, |_| ()).await
    }

    pub(crate) async fn start_with(behaviour: Behaviour, change: impl FnOnce(&mut Settings)) -> Self {
        Self::before(FakeRegistry::start_with(behaviour).await, change)
    }

    pub(crate) fn before(registry: FakeRegistry, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = settings(&registry);
        change(&mut settings);
        let (upstream, metrics) = build(settings);
        Self { registry, upstream, metrics }
    }

    /// A manifest under the tag `latest`; its digest.
    pub(crate) fn put_manifest(&self) -> String {
        let bytes = Bytes::from_static(br#"{"schemaVersion":2}"#);
        self.registry.put_manifest(REPOSITORY, Some("latest"), MANIFEST_TYPE, bytes)
    }

    /// The answer to a HEAD.
    pub(crate) async fn head(&self, reference: &str) -> Result<ManifestHead, Error> {
        match self.describe(reference, Stakes::Nothing).await? {
            Described::Head(head) => Ok(head),
            Described::Whole(body) => panic!("a GET decided: {body:?}"),
        }
    }

    pub(crate) async fn describe(&self, reference: &str, stakes: Stakes) -> Result<Described, Error> {
        let (repository, reference) = (repository(), parse(reference));
        let asked = self.upstream.head_manifest(&repository, &reference, stakes);
        within("a manifest's description", asked).await
    }

    pub(crate) async fn get(&self, reference: &str) -> Result<ManifestBody, Error> {
        within("a manifest", self.upstream.get_manifest(&repository(), &parse(reference))).await
    }

    pub(crate) async fn blob(&self, digest: &str, range: BlobRange) -> Result<BlobStream, Error> {
        let digest: Digest = digest.parse().unwrap();
        within("a blob's head", self.upstream.get_blob(&repository(), &digest, range)).await
    }

    pub(crate) async fn blob_size(&self, digest: &str) -> Result<Option<u64>, Error> {
        let (repository, digest): (_, Digest) = (repository(), digest.parse().unwrap());
        let asked = self.upstream.head_blob(&repository, &digest, Stakes::Nothing);
        within("a blob's size", asked).await.map(|head| head.size)
    }

    /// The value of a sample in the metrics; `labels` in the order printed.
    pub(crate) fn sample(&self, name_and_labels: &str) -> Option<u64> {
        let text = self.metrics.encode();
        let line = text.lines().find(|line| line.starts_with(&format!("{name_and_labels} ")))?.to_owned();
        line.rsplit(' ').next()?.parse().ok()
    }
}

pub(crate) fn build(settings: Settings) -> (HttpUpstream, Metrics) {
    let metrics = Metrics::new(std::slice::from_ref(&settings.name));
    let registry = metrics.registry(&settings.name);
    (HttpUpstream::new(settings, &Authorities::load(), registry).unwrap(), metrics)
}

pub(crate) fn repository() -> Repository {
    REPOSITORY.parse().unwrap()
}

pub(crate) fn parse(reference: &str) -> Reference {
    reference.parse().unwrap()
}

/// `len` bytes that differ from their neighbours.
pub(crate) fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

/// All that a body gives, and how it ends.
pub(crate) async fn read(mut stream: BlobStream) -> (Vec<u8>, Option<Error>) {
    let mut got = Vec::new();
    while let Some(chunk) = within("a chunk of a body", stream.body.next()).await {
        match chunk {
            Ok(chunk) => got.extend_from_slice(&chunk),
            Err(error) => return (got, Some(error)),
        }
    }
    (got, None)
}
