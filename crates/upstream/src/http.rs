//! The upstream that speaks HTTP.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use budget::Memory;
use oci::{Digest, Reference, Repository};
use policy::head_trust::Stakes;
use policy::realm::Territory;
use telemetry::RegistryMetrics;
use tokio::time::Instant;
use url::Url;

use crate::auth::Auth;
use crate::base::{Place, Whereabouts};
use crate::belief::Belief;
use crate::clients::Clients;
use crate::contract::{
    BlobHead, BlobRange, BlobStream, Described, ListPage, ListRequest, ManifestBody, Upstream,
};
use crate::error::{Error, ErrorKind};
use crate::exchange::Exchange;
use crate::gates::Gates;
use crate::settings::{Settings, SettingsError};
use crate::tls::Authorities;
use crate::transport::Transport;
use crate::{blob, list, manifest};

/// A registry reached over HTTP. Building one opens no connection.
#[derive(Debug)]
pub struct HttpUpstream {
    pub(crate) exchange: Exchange,
    pub(crate) manifest_belief: Belief,
    pub(crate) blob_belief: Belief,
    header_timeout: Duration,
}

impl HttpUpstream {
    /// The upstream that `settings` describe; it believes `authorities` and those of its settings, and its
    /// requests are counted in `metrics`.
    ///
    /// # Errors
    /// [`SettingsError`] for the first setting that cannot be used.
    pub fn new(
        settings: Settings,
        authorities: &Authorities,
        metrics: Arc<RegistryMetrics>,
    ) -> Result<Self, SettingsError> {
        let whereabouts = Whereabouts::new(Place::read(&settings.upstream)?);
        let root = &whereabouts.likely().root;
        let trusted = settings.trusted_hosts.iter().map(|text| {
            text.parse().map_err(|source| SettingsError::TrustedHost { text: text.clone(), source })
        });
        let territory = Territory::new(settings.upstream.clone(), trusted.collect::<Result<_, _>>()?);
        let transport = Transport {
            registry: settings.name.clone(),
            clients: Clients::new(&settings, authorities)?,
            territory,
            metrics: metrics.clone(),
            memory: Memory::default(),
            header_timeout: settings.header_timeout,
            budget: Arc::default(),
        };
        let gates = Gates::of_registry(&settings.name, metrics.clone(), root);
        let auth = Auth::new(&settings, metrics)?;
        let header_timeout = settings.header_timeout;
        let [manifest_belief, blob_belief] = [(); 2].map(|()| Belief::of(root));
        let exchange = Exchange { transport, gates, auth, whereabouts };
        Ok(Self { exchange, manifest_belief, blob_belief, header_timeout })
    }

    /// The same upstream, whose answers in memory are counted with those of others.
    #[must_use]
    pub fn drawing_on(mut self, memory: Memory) -> Self {
        self.exchange.transport.memory = memory;
        self
    }

    /// Whether a no, to a question that began at `since`, is to be asked again before anything is given up for it: it was
    /// said to a token that may have died.
    pub(crate) async fn may_be_said_to_a_dead_token(
        &self,
        error: &Error,
        repository: &Repository,
        stakes: Stakes,
        since: Instant,
    ) -> bool {
        stakes == Stakes::Held
            && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Denied)
            && self.exchange.auth.forget_older_tokens(repository, since).await
    }

    /// When the head of an answer, or a whole document, must be there.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.header_timeout
    }

    /// The URL of `path` behind `/v2/` at the likely place, which has only characters that a path may hold as they are.
    pub(crate) fn url(&self, path: &str) -> Url {
        self.exchange.whereabouts.likely().url(path)
    }
}

#[async_trait]
impl Upstream for HttpUpstream {
    async fn head_manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
        stakes: Stakes,
    ) -> Result<Described, Error> {
        manifest::describe(self, repository, reference, stakes).await
    }

    async fn get_manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<ManifestBody, Error> {
        manifest::get(self, repository, reference).await
    }

    async fn head_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        stakes: Stakes,
    ) -> Result<BlobHead, Error> {
        blob::head(self, repository, digest, stakes).await
    }

    async fn get_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        range: BlobRange,
    ) -> Result<BlobStream, Error> {
        blob::get(self, repository, digest, range).await
    }

    async fn list(&self, request: &ListRequest) -> Result<ListPage, Error> {
        list::get(self, request).await
    }
}

#[cfg(test)]
mod tests;
