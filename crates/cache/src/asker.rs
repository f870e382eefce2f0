//! The only access to the upstream: takes the permits, refuses while the registry is offline, and bounds the
//! time.

use std::sync::Arc;
use std::time::Duration;

use oci::Digest;
use upstream::{AddressStatus, ClientLogin, LoginStatus, Senders, Upstream};

use crate::error::PullError;
use crate::offline::OfflineSwitch;
use crate::offline::gate::OnlineUpstream;
use crate::permits::{ClientPermit, PermitHolder, Permits, UpstreamPermit};
use crate::settings::Settings;

/// Grants the right to send requests to one upstream.
#[derive(Debug)]
pub(crate) struct Asker {
    /// The registry's name, as configured.
    registry: Arc<str>,
    upstream: Arc<dyn Upstream>,
    permits: Arc<Permits>,
    /// The longest a client waits for a whole document.
    document_deadline: Duration,
    offline: Arc<OfflineSwitch>,
}

/// The right to send a request. Dropping it releases the permit.
#[derive(Debug)]
pub(crate) struct Asking {
    upstream: Arc<dyn Upstream>,
    /// `None` for a transfer, whose permit is kept where it can be reclaimed.
    _permit: Option<UpstreamPermit>,
}

impl Asker {
    /// Access to `upstream`, while `offline` allows it.
    pub(crate) fn new(
        registry: Arc<str>,
        upstream: Arc<dyn Upstream>,
        offline: Arc<OfflineSwitch>,
        settings: &Settings,
        permits: Arc<Permits>,
    ) -> Self {
        offline.configure(settings.tags.offline, &upstream);
        let upstream = Arc::new(OnlineUpstream { upstream, offline: Arc::clone(&offline) });
        Self { registry, upstream, permits, document_deadline: settings.manifest_deadline, offline }
    }

    /// The same access for one client, which has this login. `None`: the upstream knows no clients.
    pub(crate) fn for_client(&self, login: ClientLogin) -> Option<Self> {
        Some(Self {
            registry: Arc::clone(&self.registry),
            upstream: self.upstream.for_client(Some(login))?,
            permits: Arc::clone(&self.permits),
            document_deadline: self.document_deadline,
            offline: Arc::clone(&self.offline),
        })
    }

    /// Whether the upstream has accepted the login.
    pub(crate) fn has_login_worked(&self) -> bool {
        self.upstream.has_login_worked()
    }

    /// Counts a client among those that wait for the upstream, until the permit is dropped. Every pull that
    /// the store alone cannot answer calls this first.
    ///
    /// # Errors
    /// [`PullError::Offline`], [`PullError::Overloaded`].
    pub(crate) fn admit(&self) -> Result<ClientPermit, PullError> {
        self.refuse_offline()?;
        self.permits.client()
    }

    /// The right to one request for a connected client.
    ///
    /// # Errors
    /// [`PullError::Offline`], [`PullError::Overloaded`].
    pub(crate) fn ask(&self) -> Result<Asking, PullError> {
        self.refuse_offline()?;
        let permit = self.permits.request()?;
        Ok(Asking { upstream: self.upstream.clone(), _permit: Some(permit) })
    }

    /// Gives `holder` the permit for a transfer. When no other permit is left, a client can reclaim it.
    ///
    /// # Errors
    /// [`PullError::Offline`], [`PullError::Overloaded`].
    pub(crate) fn permit_transfer(&self, holder: &Arc<dyn PermitHolder>) -> Result<(), PullError> {
        self.refuse_offline()?;
        self.permits.transfer(holder)
    }

    /// The right to send the requests of a transfer that [has its permit](Self::permit_transfer). Its further
    /// connections need no permit: they have their own bound.
    pub(crate) fn ask_for_transfer(&self) -> Asking {
        Asking { upstream: self.upstream.clone(), _permit: None }
    }

    /// Runs `pull` for at most the time that a client waits for a whole document.
    ///
    /// # Errors
    /// The error of `pull`; [`PullError::UpstreamUnavailable`] after that time.
    pub(crate) async fn within_deadline<T>(
        &self,
        pull: impl Future<Output = Result<T, PullError>>,
    ) -> Result<T, PullError> {
        let deadline = self.document_deadline;
        tokio::time::timeout(deadline, pull).await.unwrap_or_else(|_| {
            Err(PullError::timed_out(format!("{} did not answer within {deadline:?}", self.registry)))
        })
    }

    /// Notes that these addresses sent wrong bytes for the digest. Returns whether another one may have the
    /// right bytes.
    pub(crate) fn note_wrong(&self, digest: &Digest, senders: &Senders) -> bool {
        self.upstream.note_wrong(digest, senders)
    }

    /// The upstream's logins, without a request.
    pub(crate) fn logins(&self) -> Vec<LoginStatus> {
        self.upstream.logins()
    }

    /// The upstream's addresses and their health, without a request.
    pub(crate) fn addresses(&self) -> Vec<AddressStatus> {
        self.upstream.addresses()
    }

    fn refuse_offline(&self) -> Result<(), PullError> {
        if self.offline.state().is_offline { Err(PullError::Offline) } else { Ok(()) }
    }
}

impl Asking {
    /// The upstream, for as many requests as this right covers.
    pub(crate) fn upstream(&self) -> &dyn Upstream {
        &*self.upstream
    }
}

#[cfg(test)]
mod tests;
