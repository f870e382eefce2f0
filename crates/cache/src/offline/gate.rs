//! An upstream that is reachable only while its registry is online.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use oci::{Digest, Reference, Repository};
use policy::head_trust::Stakes;
use upstream::{
    AddressStatus, BlobHead, BlobRange, BlobStream, ClientLogin, Described, Error, ErrorKind, ListPage,
    ListRequest, LoginStatus, ManifestBody, Senders, Upstream,
};

use super::OfflineSwitch;
use super::body::Body;

/// Passes requests to the upstream while the registry is online. When it goes offline, requests and bodies
/// that are under way end with [`ErrorKind::Offline`], and their connections close.
#[derive(Debug)]
pub(crate) struct OnlineUpstream {
    pub(crate) upstream: Arc<dyn Upstream>,
    pub(crate) offline: Arc<OfflineSwitch>,
}

impl OnlineUpstream {
    async fn online<T>(&self, request: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        tokio::select! {
            // The request is not even begun while the registry is offline.
            biased;
            () = self.offline.reached() => Err(refusal(&self.offline)),
            result = request => result,
        }
    }

    fn end_when_offline(
        &self,
        body: BoxStream<'static, Result<Bytes, Error>>,
    ) -> BoxStream<'static, Result<Bytes, Error>> {
        let (body, offline) = (Arc::new(Body::new(body)), Arc::clone(&self.offline));
        offline.watch(&body);
        if offline.state().is_offline {
            // It went offline before the body was noted.
            body.end();
        }
        let chunks = stream::unfold((body, offline, false), |(body, offline, is_over)| async move {
            if is_over {
                return None;
            }
            let chunk = tokio::select! {
                biased;
                () = offline.reached() => {
                    body.end();
                    Some(Err(refusal(&offline)))
                }
                chunk = std::future::poll_fn(|context| body.poll(context)) => chunk,
            };
            let is_over = chunk.as_ref().is_some_and(Result::is_err);
            chunk.map(|chunk| (chunk, (body, offline, is_over)))
        });
        chunks.boxed()
    }
}

fn refusal(offline: &OfflineSwitch) -> Error {
    Error::new(ErrorKind::Offline, &*offline.registry, "is offline here, so wharf sends it no requests")
}

#[async_trait]
impl Upstream for OnlineUpstream {
    async fn head_manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
        stakes: Stakes,
    ) -> Result<Described, Error> {
        self.online(self.upstream.head_manifest(repository, reference, stakes)).await
    }

    async fn get_manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<ManifestBody, Error> {
        self.online(self.upstream.get_manifest(repository, reference)).await
    }

    async fn head_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        stakes: Stakes,
    ) -> Result<BlobHead, Error> {
        self.online(self.upstream.head_blob(repository, digest, stakes)).await
    }

    async fn get_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        range: BlobRange,
    ) -> Result<BlobStream, Error> {
        let stream = self.online(self.upstream.get_blob(repository, digest, range)).await?;
        Ok(BlobStream { body: self.end_when_offline(stream.body), ..stream })
    }

    async fn list(&self, request: &ListRequest) -> Result<ListPage, Error> {
        self.online(self.upstream.list(request)).await
    }

    fn logins(&self) -> Vec<LoginStatus> {
        self.upstream.logins()
    }

    fn for_client(&self, login: Option<ClientLogin>) -> Option<Arc<dyn Upstream>> {
        let upstream = self.upstream.for_client(login)?;
        Some(Arc::new(Self { upstream, offline: Arc::clone(&self.offline) }))
    }

    async fn check_login(&self) -> Result<(), Error> {
        self.online(self.upstream.check_login()).await
    }

    async fn forget_tokens(&self, repository: &Repository) {
        self.upstream.forget_tokens(repository).await;
    }

    fn has_login_worked(&self) -> bool {
        self.upstream.has_login_worked()
    }

    fn addresses(&self) -> Vec<AddressStatus> {
        self.upstream.addresses()
    }

    fn note_wrong(&self, digest: &Digest, senders: &Senders) -> bool {
        self.upstream.note_wrong(digest, senders)
    }

    fn disconnect(&self) {
        self.upstream.disconnect();
    }
}
