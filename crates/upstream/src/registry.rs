//! What asking one registry takes.

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
    pub(crate) transport: Transport,
    pub(crate) gates: Gates,
    pub(crate) auth: Auth,
    pub(crate) base_locator: BaseLocator,
    pub(crate) manifest_head_trust: RepositoryHeadTrust,
    pub(crate) blob_head_trust: RepositoryHeadTrust,
    /// The longest wait for the head of one answer.
    pub(crate) header_timeout: Duration,
}

impl Registry {
    /// Whether a no, to a question that began at `since`, is to be asked again before anything is given up
    /// for it: it was said to a token that may have died.
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

    /// When the head of an answer, or a whole document, must be there.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.header_timeout
    }

    /// The URL of `path` behind `/v2/` at the likely place, which has only characters that a path may hold as
    /// they are.
    pub(crate) fn url(&self, path: &str) -> Url {
        self.base_locator.likely().url(path)
    }
}
