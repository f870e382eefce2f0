//! The upstream over HTTP.

use std::sync::Arc;

use async_trait::async_trait;
use budget::Memory;
use oci::{Digest, Reference, Repository};
use policy::head_trust::Stakes;
use policy::realm::UpstreamScope;
use telemetry::RegistryMetrics;

use crate::auth::Auth;
use crate::base::{BaseLocator, BaseSetting};
use crate::clients::Connections;
use crate::contract::{
    BlobHead, BlobRange, BlobStream, ClientLogin, Described, ListPage, ListRequest, LoginStatus,
    ManifestBody, Upstream,
};
use crate::error::Error;
use crate::gates::Gates;
use crate::head_trust::RepositoryHeadTrust;
use crate::registry::Registry;
use crate::settings::{Settings, SettingsError};
use crate::tls::Authorities;
use crate::transport::Transport;
use crate::{blob, list, login_check, manifest};

/// A registry reached over HTTP. Building one opens no connection.
#[derive(Debug)]
pub struct HttpUpstream {
    registry: Registry,
}

impl HttpUpstream {
    /// Makes the upstream that `settings` describe. It trusts `authorities` and the authorities in its
    /// settings, and counts its requests in `metrics`.
    ///
    /// # Errors
    /// [`SettingsError`] for the first setting that cannot be used.
    pub fn new(
        settings: Settings,
        authorities: &Authorities,
        metrics: Arc<RegistryMetrics>,
    ) -> Result<Self, SettingsError> {
        Self::build(settings, authorities, metrics, false)
    }

    /// Makes the same upstream without its logins and its client certificate: it sees what everyone sees. It
    /// shares no connection, no token, no pause and no breaker with the other one, so a limit on requests
    /// without a login delays no request that has one.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn anonymous(
        settings: Settings,
        authorities: &Authorities,
        metrics: Arc<RegistryMetrics>,
    ) -> Result<Self, SettingsError> {
        let credentials = credentials::Settings::default();
        let settings = Settings { credentials, client_identity: None, ..settings };
        Self::build(settings, authorities, metrics, true)
    }

    fn build(
        settings: Settings,
        authorities: &Authorities,
        metrics: Arc<RegistryMetrics>,
        is_aside: bool,
    ) -> Result<Self, SettingsError> {
        let base_locator = BaseLocator::new(BaseSetting::read(&settings.upstream)?);
        let root = &base_locator.likely().root;
        let trusted = settings.trusted_hosts.iter().map(|text| {
            text.parse().map_err(|source| SettingsError::TrustedHost { text: text.clone(), source })
        });
        let upstream_scope =
            UpstreamScope::new(settings.upstream.clone(), trusted.collect::<Result<_, _>>()?);
        let transport = Arc::new(Transport {
            registry: settings.name.clone(),
            connections: Connections::new(&settings, authorities)?,
            upstream_scope,
            metrics: metrics.clone(),
            memory: Memory::default(),
            header_timeout: settings.header_timeout,
            budget: Arc::default(),
        });
        let gates = Arc::new(match is_aside {
            true => Gates::of_others(&settings.name, metrics.clone()),
            false => Gates::of_registry(&settings.name, metrics.clone(), root),
        });
        let auth = Auth::new(&settings, authorities, metrics);
        let header_timeout = settings.header_timeout;
        let [manifest_head_trust, blob_head_trust] =
            [(); 2].map(|()| Arc::new(RepositoryHeadTrust::of(root)));
        let registry = Registry {
            transport,
            gates,
            auth,
            base_locator: Arc::new(base_locator),
            manifest_head_trust,
            blob_head_trust,
            header_timeout,
            is_aside,
        };
        Ok(Self { registry })
    }

    /// Sets the memory budget, which other upstreams may share. It precedes the first
    /// [`for_client`](Upstream::for_client).
    #[must_use]
    pub fn with_memory(mut self, memory: Memory) -> Self {
        let transport = Arc::get_mut(&mut self.registry.transport);
        transport.expect("no client has a way to it yet").memory = memory;
        self
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
        manifest::describe(&self.registry, repository, reference, stakes).await
    }

    async fn get_manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<ManifestBody, Error> {
        manifest::get(&self.registry, repository, reference).await
    }

    async fn head_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        stakes: Stakes,
    ) -> Result<BlobHead, Error> {
        blob::head(&self.registry, repository, digest, stakes).await
    }

    async fn get_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        range: BlobRange,
    ) -> Result<BlobStream, Error> {
        blob::get(&self.registry, repository, digest, range).await
    }

    async fn list(&self, request: &ListRequest) -> Result<ListPage, Error> {
        list::get(&self.registry, request).await
    }

    fn logins(&self) -> Vec<LoginStatus> {
        self.registry.auth.statuses()
    }

    fn for_client(&self, login: Option<ClientLogin>) -> Option<Arc<dyn Upstream>> {
        Some(Arc::new(Self { registry: self.registry.for_client(login) }))
    }

    async fn check_login(&self) -> Result<(), Error> {
        login_check::check(&self.registry).await
    }

    fn has_login_worked(&self) -> bool {
        self.registry.auth.has_login_worked()
    }

    fn disconnect(&self) {
        self.registry.transport.connections.close();
    }
}

#[cfg(test)]
mod tests;
