//! The upstreams: registries of the test kit on a separate runtime, and their content.

use std::io;

use bytes::Bytes;
use testkit::{
    Auth, Behaviour, BlobSource, Door, Endpoint, FakeRegistry, Fault, Image, Kind, Rule, Scripted,
};
use tokio::runtime::Runtime;

use crate::client::{Request, Target};

/// The repository of all content.
pub(crate) const REPOSITORY: &str = "library/app";

/// Two registries with the same content: one like Docker Hub, with a token service and a redirect to a CDN;
/// one that answers every client at once, for peers that support neither.
#[derive(Debug)]
pub(crate) struct Upstreams {
    pub(crate) hub: FakeRegistry,
    pub(crate) plain: FakeRegistry,
    /// Accepts connections and never answers.
    pub(crate) hung: FakeRegistry,
    /// It runs the registries' tasks, so it is dropped last.
    _runtime: Runtime,
}

impl Upstreams {
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let (hub, plain, hung) = runtime.block_on(async {
            let plain = Behaviour { auth: Auth::Anonymous, redirects: false, ..Behaviour::default() };
            let hung = FakeRegistry::start().await;
            hung.set_door(Endpoint::Registry, Door::Mute).await;
            (FakeRegistry::start().await, FakeRegistry::start_with(plain).await, hung)
        });
        Ok(Self { hub, plain, hung, _runtime: runtime })
    }

    /// Random bytes as a blob at both registries.
    pub(crate) fn put_blob(&self, seed: u64, len: u64) -> Request {
        let content = BlobSource::Generated { seed, len }.bytes();
        let digest = self.hub.put_blob(content.clone());
        self.plain.put_blob(content.clone());
        Request::whole(format!("/v2/{REPOSITORY}/blobs/{digest}"), content)
    }

    /// An image under `tag` at both registries: its manifest by tag, and its blobs.
    pub(crate) fn put_image(&self, tag: &str, seed: u64, layers: &[u64]) -> Vec<Request> {
        let image = Image::generated(seed, layers);
        self.hub.put_image(REPOSITORY, tag, &image);
        self.plain.put_image(REPOSITORY, tag, &image);
        let manifest = Request::whole(format!("/v2/{REPOSITORY}/manifests/{tag}"), image.manifest.bytes());
        let blobs = image
            .blobs()
            .map(|blob| Request::whole(format!("/v2/{REPOSITORY}/blobs/{}", blob.digest), blob.bytes()));
        std::iter::once(manifest).chain(blobs).collect()
    }

    /// Sends each further blob at this many bytes per second.
    pub(crate) fn throttle(&self, bytes_per_second: u64) -> Throttle {
        let rule = || Rule::new(Kind::GetBlob, Fault::Rate(bytes_per_second));
        Throttle([&self.hub, &self.plain].map(|registry| registry.script(rule())))
    }

    pub(crate) fn forget_requests(&self) {
        self.hub.log().clear();
        self.plain.log().clear();
    }

    /// The number of all requests, for content, tokens and others, since they were last cleared.
    pub(crate) fn request_count(&self) -> usize {
        self.hub.requests().len() + self.plain.requests().len()
    }

    /// Body bytes sent for these requests.
    pub(crate) fn bytes_sent(&self, requests: &[Request]) -> u64 {
        let references = requests.iter().filter_map(|request| request.path.rsplit('/').next());
        references.map(|name| self.hub.log().body_bytes(name) + self.plain.log().body_bytes(name)).sum()
    }

    /// The registry that answers at once, as a server to compare with.
    pub(crate) fn direct(&self) -> Target {
        let address = self.plain.address_of(Endpoint::Registry);
        Target { address, host: address.to_string(), tls: None, authorization: None }
    }

    pub(crate) fn trusted_hosts(&self) -> [String; 2] {
        [self.hub.host_of(Endpoint::Token), self.hub.host_of(Endpoint::Cdn)]
    }
}

/// A throttle at both registries.
#[derive(Debug)]
pub(crate) struct Throttle([Scripted; 2]);

impl Throttle {
    pub(crate) fn lift(self) {
        self.0.into_iter().for_each(Scripted::remove);
    }
}

/// Content for a request to a static server, which holds it as a file.
pub(crate) fn file_of(request: &Request) -> (&str, &Bytes) {
    (request.path.trim_start_matches('/'), &request.content)
}
