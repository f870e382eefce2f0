//! The upstream over HTTP.

use std::sync::Arc;

use async_trait::async_trait;
use budget::Memory;
use futures_util::FutureExt;
use oci::{Digest, Reference, Repository};
use policy::head_trust::Stakes;
use policy::realm::UpstreamScope;
use telemetry::RegistryMetrics;

use crate::auth::Auth;
use crate::base::{BaseLocator, BaseSetting};
use crate::clients::Connections;
use crate::contract::{
    AddressStatus, BlobHead, BlobRange, BlobStream, ClientLogin, Described, ListPage, ListRequest,
    LoginStatus, ManifestBody, ManifestHead, Senders, Upstream,
};
use crate::error::Error;
use crate::failover::Addresses;
use crate::gate::HostRole;
use crate::gates::Gates;
use crate::head_trust::RepositoryHeadTrust;
use crate::registry::Registry;
use crate::settings::{Settings, SettingsError};
use crate::tls::Authorities;
use crate::transport::Transport;
use crate::{blob, list, login_check, manifest};

/// A registry reached over HTTP, at one or several addresses. Building one opens no connection.
#[derive(Debug)]
pub struct HttpUpstream {
    addresses: Arc<Addresses>,
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
        Self::build(&settings, authorities, &metrics, false)
    }

    /// Makes the same upstream without its logins and its client certificate: it sees what everyone sees. It
    /// shares no connection, no token, no pause and no breaker with the other one, so a limit on requests
    /// without a login delays no request that has one. It knows the first address alone: a stand-in that
    /// gives content to everyone does not say that the registry does.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn anonymous(
        settings: Settings,
        authorities: &Authorities,
        metrics: Arc<RegistryMetrics>,
    ) -> Result<Self, SettingsError> {
        let credentials = credentials::Settings::default();
        let settings = Settings { credentials, client_identity: None, stand_ins: Vec::new(), ..settings };
        Self::build(&settings, authorities, &metrics, true)
    }

    fn build(
        settings: &Settings,
        authorities: &Authorities,
        metrics: &Arc<RegistryMetrics>,
        is_aside: bool,
    ) -> Result<Self, SettingsError> {
        let has_stand_ins = !settings.stand_ins.is_empty();
        let registry = |(at, settings): (usize, Settings)| {
            let role = if at == 0 { HostRole::Registry } else { HostRole::Other };
            let registry = registry(&settings, authorities, metrics, (!is_aside).then_some(role))?;
            Ok(Registry { has_stand_ins, ..registry })
        };
        let registries = settings.of_addresses().into_iter().enumerate().map(registry);
        Ok(Self { addresses: Arc::new(Addresses::new(registries.collect::<Result<_, SettingsError>>()?)) })
    }

    /// Sets the memory budget, which other upstreams may share. It precedes the first
    /// [`for_client`](Upstream::for_client).
    #[must_use]
    pub fn with_memory(mut self, memory: Memory) -> Self {
        if let Some(addresses) = Arc::get_mut(&mut self.addresses) {
            addresses.set_memory(&memory);
        }
        self
    }
}

/// Makes the state of one address. `role` is that of its host; `None`: its requests go beside those of the
/// registry's account.
fn registry(
    settings: &Settings,
    authorities: &Authorities,
    metrics: &Arc<RegistryMetrics>,
    role: Option<HostRole>,
) -> Result<Registry, SettingsError> {
    let base_locator = BaseLocator::new(BaseSetting::read(&settings.upstream)?);
    let root = &base_locator.likely().root;
    let trusted = settings
        .trusted_hosts
        .iter()
        .map(|text| text.parse().map_err(|source| SettingsError::TrustedHost { text: text.clone(), source }));
    let upstream_scope = UpstreamScope::new(settings.upstream.clone(), trusted.collect::<Result<_, _>>()?);
    let transport = Arc::new(Transport {
        registry: settings.name.clone(),
        connections: Connections::new(settings, authorities)?,
        upstream_scope,
        metrics: metrics.clone(),
        memory: Memory::default(),
        header_timeout: settings.header_timeout,
        budget: Arc::default(),
    });
    let gates = match role {
        None => Gates::of_others(&settings.name, metrics.clone()),
        Some(role) => Gates::of_registry(&settings.name, metrics.clone(), root, role),
    };
    let [manifest_head_trust, blob_head_trust] = [(); 2].map(|()| Arc::new(RepositoryHeadTrust::of(root)));
    Ok(Registry {
        address: settings.upstream.clone(),
        transport,
        gates: Arc::new(gates),
        auth: Auth::new(settings, authorities, metrics.clone()),
        base_locator: Arc::new(base_locator),
        manifest_head_trust,
        blob_head_trust,
        header_timeout: settings.header_timeout,
        is_aside: role != Some(HostRole::Registry),
        has_stand_ins: false,
    })
}

#[async_trait]
impl Upstream for HttpUpstream {
    async fn head_manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
        stakes: Stakes,
    ) -> Result<Described, Error> {
        let describe = |registry| manifest::describe(registry, repository, reference, stakes).boxed();
        let (described, sent_by) = self.addresses.ask(describe).await?.apart();
        Ok(match described {
            Described::Head(head) => Described::Head(ManifestHead { sent_by, ..head }),
            Described::Whole(body) => Described::Whole(ManifestBody { sent_by, ..body }),
        })
    }

    async fn get_manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<ManifestBody, Error> {
        let get = |registry| manifest::get(registry, repository, reference).boxed();
        let given = match reference {
            Reference::Digest(digest) => self.addresses.ask_for_bytes(digest, get).await?,
            Reference::Tag(_) => self.addresses.ask(get).await?,
        };
        let (body, sent_by) = given.apart();
        Ok(ManifestBody { sent_by, ..body })
    }

    async fn head_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        stakes: Stakes,
    ) -> Result<BlobHead, Error> {
        let head = |registry| blob::head(registry, repository, digest, stakes).boxed();
        Ok(self.addresses.ask(head).await?.value)
    }

    async fn get_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        range: BlobRange,
    ) -> Result<BlobStream, Error> {
        let get = |registry| blob::get(registry, repository, digest, range).boxed();
        let given = match range {
            BlobRange::Further(_) | BlobRange::Last(_) => self.addresses.ask_one(digest, get).await?,
            BlobRange::Whole | BlobRange::From(_) | BlobRange::Span(_) => {
                self.addresses.ask_for_bytes(digest, get).await?
            }
        };
        Ok(self.addresses.watched(digest, given))
    }

    async fn list(&self, request: &ListRequest) -> Result<ListPage, Error> {
        let given = self.addresses.ask(|registry| list::get(registry, request).boxed()).await?;
        let (page, sent_by) = given.apart();
        Ok(ListPage { sent_by, ..page })
    }

    fn logins(&self) -> Vec<LoginStatus> {
        self.addresses.registries().flat_map(|registry| registry.auth.statuses()).collect()
    }

    /// A client's login goes to the first address alone: a stand-in does not say what the registry lets the
    /// client read.
    fn for_client(&self, login: Option<ClientLogin>) -> Option<Arc<dyn Upstream>> {
        let registry = self.addresses.first().for_client(login);
        Some(Arc::new(Self { addresses: Arc::new(Addresses::new(vec![registry])) }))
    }

    async fn check_login(&self) -> Result<(), Error> {
        login_check::check(self.addresses.first()).await
    }

    async fn forget_tokens(&self, repository: &Repository) {
        for registry in self.addresses.registries() {
            registry.auth.forget_tokens(repository).await;
        }
    }

    fn has_login_worked(&self) -> bool {
        self.addresses.first().auth.has_login_worked()
    }

    fn addresses(&self) -> Vec<AddressStatus> {
        self.addresses.statuses()
    }

    fn note_wrong(&self, digest: &Digest, senders: &Senders) -> bool {
        self.addresses.note_wrong(digest, senders)
    }

    fn disconnect(&self) {
        self.addresses.registries().for_each(|registry| registry.transport.connections.close());
    }
}

#[cfg(test)]
mod tests;
