//! An upstream under the control of a test: it behaves like Docker Hub unless the test changes that.
//!
//! It has three servers on three ports of 127.0.0.1: the registry, the token service, and a CDN that refuses
//! requests with a credential. `Behaviour` configures all responses, a `Rule` injects faults into some of
//! them, and the `Log` records all requests. HTTP is written to the socket by hand, because no HTTP library
//! would send the responses that matter here.

mod answer;
mod behaviour;
mod connection;
mod content;
mod credential;
mod delivery;
mod fault;
mod listener;
mod listing;
mod log;
mod range;
mod reply;
mod route;
mod script;
mod state;
mod token;

pub use behaviour::{Account, Auth, Behaviour, DeadToken, RateLimit, Referrers, ScopeRules, Tls};
pub use credential::Credential;
pub use fault::Fault;
pub use listener::Door;
pub use log::{Ending, Log, RequestRecord};
pub use range::RangeLie;
pub use route::{Endpoint, Kind};
pub use script::{Rule, Scripted};

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use tokio_rustls::TlsAcceptor;

use crate::authority::Authority;
use crate::blob_source::{BlobSource, digest_of};
use crate::image::{Artifact, Blob, Image, Index};
use content::Manifest;
use listener::{Listener, Port};
use state::State;

/// A registry in this process. Stops when dropped, and cuts all connections.
#[derive(Debug)]
pub struct FakeRegistry {
    state: Arc<State>,
    listeners: [Listener; 3],
    authority: Option<Authority>,
}

impl FakeRegistry {
    /// A registry like Docker Hub, empty.
    ///
    /// # Panics
    /// This and the other constructors panic when no loopback port is free.
    pub async fn start() -> Self {
        Self::start_with(Behaviour::default()).await
    }

    /// A registry without authentication, so that each request counted is one for content.
    pub async fn start_anonymous() -> Self {
        Self::start_with(Behaviour { auth: Auth::Anonymous, ..Behaviour::default() }).await
    }

    /// A registry with this behaviour, without TLS.
    pub async fn start_with(behaviour: Behaviour) -> Self {
        Self::listen(behaviour, None)
    }

    /// A registry with TLS at all three endpoints, with certificates of its own authority. Its URLs use
    /// `localhost`.
    pub async fn start_tls(behaviour: Behaviour, tls: Tls) -> Self {
        Self::listen(behaviour, Some(tls))
    }

    fn listen(behaviour: Behaviour, tls: Option<Tls>) -> Self {
        let ports = Endpoint::ALL.map(|_| Port::reserve().expect("a loopback port is free"));
        let (scheme, host) = if tls.is_some() { ("https", "localhost") } else { ("http", "127.0.0.1") };
        let urls = [0, 1, 2].map(|index| format!("{scheme}://{host}:{}", ports[index].address().port()));
        let log = Arc::new(Log::default());
        let state = Arc::new(State::new(behaviour, log.clone(), urls));
        let authority = tls.map(|_| Authority::new());
        let config = authority.as_ref().zip(tls);
        let config =
            config.map(|(authority, tls)| authority.server_config(tls.certificate, tls.client_certificate));
        let acceptor = config.map(TlsAcceptor::from);
        let mut endpoints = Endpoint::ALL.into_iter();
        let listeners = ports.map(|port| {
            let endpoint = endpoints.next().expect("there are as many ports as endpoints");
            let (state, acceptor) = (state.clone(), acceptor.clone());
            let serve = move |stream, connected| {
                connection::serve(state.clone(), endpoint, acceptor.clone(), stream, connected)
            };
            port.listen(endpoint, log.clone(), serve).expect("the port is ours")
        });
        Self { state, listeners, authority }
    }

    /// Changes the behaviour of all later responses; those in flight are not affected.
    pub fn change(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.state.lock_behaviour());
    }

    /// The registry's URL without a trailing slash.
    pub fn url(&self) -> String {
        self.url_of(Endpoint::Registry)
    }

    /// An endpoint's URL without a trailing slash.
    pub fn url_of(&self, endpoint: Endpoint) -> String {
        self.state.url(endpoint).to_owned()
    }

    /// An endpoint's host and port, as in its URL.
    pub fn host_of(&self, endpoint: Endpoint) -> String {
        let url = self.state.url(endpoint);
        url.split_once("://").map_or(url, |(_, host)| host).to_owned()
    }

    /// The address of an endpoint.
    pub fn address_of(&self, endpoint: Endpoint) -> SocketAddr {
        self.listeners[endpoint.index()].address()
    }

    /// The authority of the certificates, with TLS.
    pub fn authority(&self) -> Option<&Authority> {
        self.authority.as_ref()
    }

    /// Sets what an endpoint does with connections; in force when this returns.
    pub async fn set_door(&self, endpoint: Endpoint, door: Door) {
        self.listeners[endpoint.index()].set_door(door).await;
    }

    /// Adds a rule, with precedence over all earlier ones.
    pub fn script(&self, rule: Rule) -> Scripted {
        self.state.script.add(rule)
    }

    /// Refuses all tokens issued so far.
    pub fn revoke_tokens(&self) {
        self.state.tokens.revoke();
    }

    /// Makes the CDN answer 403 to all URLs issued so far. Responses in flight continue.
    pub fn expire_signatures(&self) {
        self.state.expire_signatures();
    }

    /// The log of all requests.
    pub fn log(&self) -> &Log {
        &self.state.log
    }

    /// [`Log::requests`].
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.log().requests()
    }

    /// [`Log::count`]: at every endpoint, so that a redirected blob counts twice.
    pub fn count(&self, kind: Kind) -> usize {
        self.log().count(kind)
    }

    /// [`Log::wait_for_requests`].
    pub async fn wait_for_requests(&self, count: usize) {
        self.log().wait_for_requests(count).await;
    }
}

/// The registry's content.
impl FakeRegistry {
    /// Puts a blob into every repository, including later ones. Returns its digest.
    pub fn put_blob(&self, source: impl Into<BlobSource>) -> String {
        let source = source.into();
        let digest = source.digest();
        self.state.lock_content().put_blob(&digest, source, None);
        digest
    }

    /// Puts a blob into one repository, in addition to those that have it already. Returns its digest.
    pub fn put_blob_in(&self, repository: &str, source: impl Into<BlobSource>) -> String {
        let source = source.into();
        let digest = source.digest();
        self.state.lock_content().put_blob(&digest, source, Some(repository));
        digest
    }

    /// Serves these wrong bytes under a digest from now on, whether or not the blob existed.
    pub fn put_blob_under(&self, digest: &str, source: impl Into<BlobSource>) {
        self.state.lock_content().replace_blob(digest, source.into());
    }

    /// Removes a blob.
    pub fn remove_blob(&self, digest: &str) {
        self.state.lock_content().remove_blob(digest);
    }

    /// Puts a manifest, which need not be one, and points the tag to it. Returns its digest.
    pub fn put_manifest(
        &self,
        repository: &str,
        tag: Option<&str>,
        media_type: &str,
        bytes: impl Into<Bytes>,
    ) -> String {
        let bytes = bytes.into();
        let digest = digest_of(&bytes);
        self.put_manifest_under(repository, &digest, media_type, bytes);
        if let Some(tag) = tag {
            self.move_tag(repository, tag, &digest);
        }
        digest
    }

    /// Serves these wrong bytes under a manifest's digest from now on.
    pub fn put_manifest_under(
        &self,
        repository: &str,
        digest: &str,
        media_type: &str,
        bytes: impl Into<Bytes>,
    ) {
        let manifest = Manifest { media_type: media_type.to_owned(), bytes: bytes.into() };
        self.state.lock_content().put_manifest(repository, digest, manifest);
    }

    /// Removes a manifest; tags that point to it answer 404.
    pub fn remove_manifest(&self, repository: &str, digest: &str) {
        self.state.lock_content().remove_manifest(repository, digest);
    }

    /// Points a tag to a digest.
    pub fn move_tag(&self, repository: &str, tag: &str, digest: &str) {
        self.state.lock_content().move_tag(repository, tag, digest);
    }

    /// Removes a tag.
    pub fn remove_tag(&self, repository: &str, tag: &str) {
        self.state.lock_content().remove_tag(repository, tag);
    }

    /// Puts an image with its blobs, and points the tag to it.
    pub fn put_image(&self, repository: &str, tag: &str, image: &Image) {
        self.put_parts(repository, &image.manifest, image.blobs());
        self.move_tag(repository, tag, &image.manifest.digest);
    }

    /// Puts an index with all its images, and points the tag to it.
    pub fn put_index(&self, repository: &str, tag: &str, index: &Index) {
        for image in &index.images {
            self.put_parts(repository, &image.manifest, image.blobs());
        }
        self.put_parts(repository, &index.manifest, []);
        self.move_tag(repository, tag, &index.manifest.digest);
    }

    /// Puts an artifact, which the referrers API then lists.
    pub fn put_artifact(&self, repository: &str, artifact: &Artifact) {
        self.put_parts(repository, &artifact.manifest, [&artifact.config, &artifact.layer]);
    }

    fn put_parts<'a>(&self, repository: &str, manifest: &Blob, blobs: impl IntoIterator<Item = &'a Blob>) {
        for blob in blobs {
            self.state.lock_content().put_blob(&blob.digest, blob.source.clone(), None);
        }
        self.put_manifest_under(repository, &manifest.digest, &manifest.media_type, manifest.bytes());
    }
}

#[cfg(test)]
mod tests;
