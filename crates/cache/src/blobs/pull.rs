//! The roads to a blob: from the store; from the store while it is hashed; along a fill; past a store that fails.

use std::sync::Arc;

use oci::{ByteRange, Digest, RangeRequest, Repository};
use policy::head_trust::Stakes;
use storage::OpenBlob;
use telemetry::BypassReason;

use super::Blobs;
use crate::answer::{BlobAnswer, Keeping, Want};
use crate::blob_reader::BlobReader;
use crate::error::PullError;
use crate::fill::reader::Wanted;
use crate::fill::table::{Boarding, FillWriter};
use crate::fill::transfer::{First, Transfer};
use crate::fill::{passing, reader};
use crate::grants::Content;
use crate::outcome::Outcome;
use crate::permits::ClientPermit;

/// A larger stored blob is described by its file's length, unhashed: what is wrong with it shows when it is read.
pub(super) const DESCRIBE_UNHASHED_BYTES_MIN: u64 = 256 << 20;

/// So many fills for other repositories may be refused before a caller takes their refusal for its own.
const REFUSED_JOIN_COUNT_MAX: u32 = 8;

// An answer's future is moved around before it is polled. The roads that a hit does not take are boxed, here and for
// manifests, so that a hit does not pay for their size.
impl Blobs {
    /// Pulls a blob or a range of it.
    ///
    /// # Errors
    /// See [`PullError`].
    pub(crate) async fn pull(
        self: &Arc<Self>,
        repository: &Repository,
        digest: &Digest,
        range: Option<RangeRequest>,
        want: Want,
    ) -> Result<BlobAnswer, PullError> {
        if let Some(blob) = self.stored.open(digest).await {
            self.grants.prove(Content::Blob, repository, digest).await?;
            if self.stored.is_known(digest, &blob) {
                return answer_stored(blob, range.as_ref(), want);
            }
            let unhashed = Box::pin(self.pull_unhashed(repository, digest, range.as_ref(), want, blob));
            if let Some(answer) = unhashed.await? {
                return Ok(answer);
            }
        }
        Box::pin(self.pull_missing(repository, digest, range.as_ref(), want)).await
    }

    /// A stored blob that this process has not hashed yet. The upstream is not needed. A small one is hashed first, a
    /// large one while it is served. `None`: its bytes turned out to be wrong, and none of them has left; so it is
    /// missing.
    async fn pull_unhashed(
        self: &Arc<Self>,
        repository: &Repository,
        digest: &Digest,
        range: Option<&RangeRequest>,
        want: Want,
        blob: OpenBlob,
    ) -> Result<Option<BlobAnswer>, PullError> {
        let is_right = match want {
            Want::Get if blob.size() > self.shared.settings.verify_first_bytes_max => {
                let transfer = self.transfer(repository, digest);
                let start = |writer| transfer.clone().spawn_hashing(writer, blob.clone());
                let (boarding, size) = self.board(&transfer, None, start).await?;
                return self.follow(transfer, boarding, size, range, None).await.map(Some);
            }
            Want::Head if blob.size() > DESCRIBE_UNHASHED_BYTES_MIN => true,
            Want::Get | Want::Head => self.stored.is_right(digest, &blob).await,
        };
        if is_right { answer_stored(blob, range, want).map(Some) } else { Ok(None) }
    }

    /// A blob that the store does not have.
    async fn pull_missing(
        self: &Arc<Self>,
        repository: &Repository,
        digest: &Digest,
        range: Option<&RangeRequest>,
        want: Want,
    ) -> Result<BlobAnswer, PullError> {
        let key = (repository.clone(), digest.clone());
        self.grants.refused_blobs().check(&key)?;
        self.refuse_suspect(digest)?;
        let answer = match want {
            Want::Head => self.describe(repository, digest, range).await,
            Want::Get => self.fetch(repository, digest, range).await,
        };
        self.grants.refused_blobs().remember(key, &answer);
        answer
    }

    /// Fetches a blob, or follows the fill that fetches it already.
    async fn fetch(
        self: &Arc<Self>,
        repository: &Repository,
        digest: &Digest,
        range: Option<&RangeRequest>,
    ) -> Result<BlobAnswer, PullError> {
        let client = self.asker.admit()?;
        let transfer = self.transfer(repository, digest);
        let first = First::of(range);
        let start = |writer| transfer.clone().spawn(writer, first);
        let (boarding, size) = self.board(&transfer, first, start).await?;
        let fill = &boarding.fill;
        // What was stored meanwhile, or what another repository fetches, is this one's only if it is granted.
        if fill.is_held() || fill.repository() != repository {
            self.grants.prove(Content::Blob, repository, digest).await?;
        }
        self.follow(transfer, boarding, size, range, Some(client)).await
    }

    /// Answers along a fill. `client` is kept to the fill's end.
    async fn follow(
        self: &Arc<Self>,
        transfer: Arc<Transfer>,
        boarding: Boarding,
        size: u64,
        range: Option<&RangeRequest>,
        client: Option<ClientPermit>,
    ) -> Result<BlobAnswer, PullError> {
        let Boarding { fill, seat, joined } = boarding;
        let resolved = resolve(range, size)?;
        if !fill.has_all_from(resolved.start) {
            return self.pass(transfer, range, client).await;
        }
        seat.hold(client);
        if joined && !fill.is_held() {
            self.shared.metrics.joined();
        }
        let outcome = match joined {
            _ if fill.is_relaying() => {
                self.shared.metrics.bypassed(BypassReason::StoreFailed);
                Outcome::Bypass
            }
            _ if fill.is_held() => Outcome::Hit,
            true => Outcome::Join,
            false => Outcome::Miss,
        };
        let is_closed = !matches!(range, None | Some(RangeRequest::From { last: None, .. }));
        let is_anothers = fill.repository() != &transfer.repository;
        let wanted = Wanted { range: resolved, size, is_closed };
        let body = reader::follow(&fill, seat, transfer, wanted).await.map_err(|error| match error {
            // Refused in the middle of a transfer for another repository: that says nothing about this one.
            PullError::NotFound { detail }
            | PullError::Denied { detail }
            | PullError::Unconfirmed { detail, .. }
                if is_anothers =>
            {
                PullError::unavailable(detail)
            }
            error => error,
        })?;
        let keeping = matches!(outcome, Outcome::Miss | Outcome::Join).then(|| Keeping::new(fill.loss()));
        let (size, partial, body) = (Some(size), range.is_some(), Some(body));
        Ok(BlobAnswer { size, range: resolved, partial, body, keeping, outcome })
    }

    /// Joins the fill for the transfer's digest or starts it, and waits until an answer can be given. What the
    /// upstream refuses another repository says nothing about this one: then it is asked again.
    async fn board(
        &self,
        transfer: &Arc<Transfer>,
        first: Option<First>,
        start: impl Fn(FillWriter),
    ) -> Result<(Boarding, u64), PullError> {
        let mut patience = REFUSED_JOIN_COUNT_MAX;
        loop {
            let boarding = self.fills.join_or_start(&transfer.digest, &transfer.repository, &start);
            if let Some(first) = first.filter(|_| boarding.joined && boarding.fill.size().is_none()) {
                transfer.clone().spawn_first(&boarding.fill, first);
            }
            let ready = boarding.fill.ready(self.shared.settings.verify_first_bytes_max).await;
            let is_anothers = boarding.fill.repository() != &transfer.repository;
            match ready {
                Err(
                    PullError::NotFound { .. } | PullError::Denied { .. } | PullError::Unconfirmed { .. },
                ) if is_anothers && patience > 0 => patience -= 1,
                ready => return ready.map(|size| (boarding, size)),
            }
        }
    }

    /// The store fails and the transfer under way has moved past what this client needs.
    async fn pass(
        &self,
        transfer: Arc<Transfer>,
        range: Option<&RangeRequest>,
        client: Option<ClientPermit>,
    ) -> Result<BlobAnswer, PullError> {
        let asking = self.asker.ask()?;
        self.shared.metrics.bypassed(BypassReason::StoreFailed);
        let from = match range {
            Some(RangeRequest::From { start, .. }) => *start,
            _ => 0,
        };
        let passage = passing::pass(transfer, client, asking, from, |size| resolve(range, size)).await?;
        Ok(BlobAnswer {
            size: Some(passage.size),
            range: passage.range,
            partial: range.is_some(),
            body: Some(passage.reader),
            keeping: None,
            outcome: Outcome::Bypass,
        })
    }

    /// Describes a blob that the store does not have.
    async fn describe(
        &self,
        repository: &Repository,
        digest: &Digest,
        range: Option<&RangeRequest>,
    ) -> Result<BlobAnswer, PullError> {
        // A fill that only hashes what is stored says nothing: that is missing or wrong by now.
        let coming = self.fills.get(digest).filter(|fill| !fill.is_held());
        let (size, outcome) = match coming.and_then(|fill| fill.size()) {
            Some(size) => {
                self.grants.prove(Content::Blob, repository, digest).await?;
                (Some(size), Outcome::Join)
            }
            None => self.ask_size(repository, digest).await?,
        };
        // The upstream has it, which is what a HEAD asks. Only fetching it would tell its size.
        let (resolved, partial) = match size {
            Some(size) => (resolve(range, size)?, range.is_some()),
            None => (ByteRange { start: 0, end: 0 }, false),
        };
        Ok(BlobAnswer { size, range: resolved, partial, body: None, keeping: None, outcome })
    }

    /// The blob's size by one HEAD for all who ask, else by the word of a manifest.
    async fn ask_size(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<(Option<u64>, Outcome), PullError> {
        let _client = self.asker.admit()?;
        let ask = || {
            let (asking, repository, digest) = (self.asker.ask(), repository.clone(), digest.clone());
            async move { Ok(asking?.head_blob(&repository, &digest, Stakes::Nothing).await?.size) }
        };
        let key = (repository.clone(), digest.clone());
        let (size, joined) = self.size_flights.join_or_start(key, ask).await;
        let size = size?.or_else(|| self.sizes.get(repository, digest));
        Ok((size, if joined { Outcome::Join } else { Outcome::Miss }))
    }

    fn transfer(self: &Arc<Self>, repository: &Repository, digest: &Digest) -> Arc<Transfer> {
        let blobs = Arc::clone(self);
        Arc::new(Transfer { blobs, repository: repository.clone(), digest: digest.clone() })
    }
}

/// The answer with a stored blob that is known to be right, or with its description.
fn answer_stored(blob: OpenBlob, range: Option<&RangeRequest>, want: Want) -> Result<BlobAnswer, PullError> {
    let (size, partial) = (blob.size(), range.is_some());
    let range = resolve(range, size)?;
    let body = (want == Want::Get).then(|| BlobReader::stored(blob, range));
    Ok(BlobAnswer { size: Some(size), range, partial, body, keeping: None, outcome: Outcome::Hit })
}

fn resolve(range: Option<&RangeRequest>, size: u64) -> Result<ByteRange, PullError> {
    match range {
        None => Ok(ByteRange { start: 0, end: size }),
        Some(range) => range.resolve(size).ok_or(PullError::RangeNotSatisfiable { size }),
    }
}
