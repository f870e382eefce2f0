//! The state of one upstream registry.

use std::sync::Arc;
use std::time::Duration;

use oci::Repository;
use policy::head_trust::Stakes;
use tokio::time::Instant;
use url::Url;

use crate::auth::Auth;
use crate::base::BaseLocator;
use crate::error::{Error, ErrorKind};
use crate::gates::Gates;
use crate::head_trust::RepositoryHeadTrust;
use crate::transport::Transport;

/// One registry, as its operations need it.
#[derive(Debug)]
pub(crate) struct Registry {
    /// The configured address.
    pub(crate) address: Url,
    pub(crate) transport: Arc<Transport>,
    pub(crate) gates: Arc<Gates>,
    pub(crate) auth: Auth,
    pub(crate) base_locator: Arc<BaseLocator>,
    pub(crate) manifest_head_trust: Arc<RepositoryHeadTrust>,
    pub(crate) blob_head_trust: Arc<RepositoryHeadTrust>,
    /// The longest wait for the head of one answer.
    pub(crate) header_timeout: Duration,
    /// Whether its requests go beside those of the registry's account, or to a stand-in. Then the metrics
    /// show the health and the limits of the other ones.
    pub(crate) is_aside: bool,
    /// Whether the upstream has other addresses, which are asked at once if this one cannot be reached.
    pub(crate) has_stand_ins: bool,
}

impl Registry {
    /// Tells whether a negative answer must be confirmed before stored content is given up: the request,
    /// which began at `since`, may have carried a token that was revoked.
    pub(crate) async fn may_be_said_to_a_dead_token(
        &self,
        error: &Error,
        repository: &Repository,
        stakes: Stakes,
        since: Instant,
    ) -> bool {
        stakes == Stakes::Held
            && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Denied)
            && self.auth.forget_older_tokens(repository, since).await
    }

    /// The same registry for one client, which has this login or none. They share connections and breakers,
    /// and no token and no pause.
    pub(crate) fn for_client(&self, login: Option<credentials::Login>) -> Self {
        Self {
            transport: Arc::clone(&self.transport),
            gates: Arc::new(self.gates.for_client()),
            auth: self.auth.for_client(login),
            base_locator: Arc::clone(&self.base_locator),
            manifest_head_trust: Arc::clone(&self.manifest_head_trust),
            blob_head_trust: Arc::clone(&self.blob_head_trust),
            address: self.address.clone(),
            has_stand_ins: false,
            ..*self
        }
    }

    /// Returns the deadline for the head of an answer, or for a whole document.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.header_timeout
    }

    /// Returns the URL of `path` behind `/v2/` at the likely base. `path` must need no escapes.
    pub(crate) fn url(&self, path: &str) -> Url {
        self.base_locator.likely().url(path)
    }
}
