//! Passages: bodies that are passed through to one client, when a blob cannot be stored and its transfer
//! cannot be joined.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use oci::{ByteRange, Digest, Hasher};
use upstream::{BlobRange, Senders};

use super::Transfer;
use crate::asker::Asking;
use crate::blob_reader::{BlobReader, Piece};
use crate::error::PullError;
use crate::permits::ClientPermit;

/// An upstream's body for one client. It keeps its newest chunk back until the digest of a whole blob is
/// verified. Only the client can verify a part of a blob.
pub(super) struct Passing {
    body: BoxStream<'static, Result<Bytes, upstream::Error>>,
    transfer: Arc<Transfer>,
    skip: u64,
    remaining: u64,
    hasher: Option<Hasher>,
    /// The address of the body, and whether it is the whole blob.
    senders: Senders,
    kept: Option<Bytes>,
    _client: Option<ClientPermit>,
    _asking: Asking,
}

/// The blob of a passage.
pub(crate) struct Passage {
    /// The whole blob's size in bytes.
    pub(crate) size: u64,
    /// The range that the reader returns.
    pub(crate) range: ByteRange,
    pub(crate) reader: BlobReader,
}

/// Requests the blob and passes on the range that `resolve` returns for its size. `client` and `asking` are
/// held to the end.
pub(crate) async fn pass(
    transfer: Arc<Transfer>,
    client: Option<ClientPermit>,
    asking: Asking,
    from: u64,
    resolve: impl FnOnce(u64) -> Result<ByteRange, PullError>,
) -> Result<Passage, PullError> {
    let request = if from == 0 { BlobRange::Whole } else { BlobRange::From(from) };
    let stream = asking.upstream().get_blob(&transfer.repository, &transfer.digest, request).await?;
    let told = match stream.size {
        None => transfer.look_up_size().await,
        told => told,
    };
    let Some(size) = told else {
        return Err(PullError::unavailable(
            "the upstream does not tell the blob's size, and it cannot be stored",
        ));
    };
    let range = resolve(size)?;
    let Some(skip) = range.start.checked_sub(stream.start) else {
        return Err(PullError::unavailable("the upstream began after the requested byte"));
    };
    let is_whole = range.start == 0 && range.end == size;
    let remaining = range.end - range.start;
    let hasher = is_whole.then(|| Hasher::new(transfer.digest.algorithm()));
    let passing = Passing {
        body: stream.body,
        transfer,
        skip,
        remaining,
        hasher,
        senders: Senders::only(stream.sent_by),
        kept: None,
        _client: client,
        _asking: asking,
    };
    Ok(Passage { size, range, reader: BlobReader::streamed(remaining, passing.chunks()) })
}

/// The bytes that a relay has dropped before a reader read them.
pub(super) struct Rest {
    pub(super) range: ByteRange,
    /// The whole blob's size in bytes, as the client was told.
    pub(super) size: u64,
    /// The hash of the blob up to the range's start, if the range reaches the blob's end.
    pub(super) hasher: Option<Hasher>,
}

/// Requests the rest of the bytes for one reader alone. `client` is held to the end.
///
/// # Errors
/// The upstream's; [`PullError::UpstreamUnavailable`] too when no permit is free.
pub(super) async fn pass_on(
    transfer: Arc<Transfer>,
    client: Option<ClientPermit>,
    rest: Rest,
) -> Result<Passing, PullError> {
    let ByteRange { start, end } = rest.range;
    let asking = transfer.blobs.asker.ask().map_err(|_| {
        PullError::unavailable(
            "the client was too slow for a transfer that cannot be stored, and too many other requests are in \
             flight to fetch the rest; try again",
        )
    })?;
    let request = match (start, end == rest.size) {
        (0, true) => BlobRange::Whole,
        (_, true) => BlobRange::From(start),
        (_, false) => BlobRange::Span(rest.range),
    };
    let stream = asking.upstream().get_blob(&transfer.repository, &transfer.digest, request).await?;
    if stream.size.is_some_and(|size| size != rest.size) {
        return Err(PullError::unavailable("the upstream changed the blob's size"));
    }
    let Some(skip) = start.checked_sub(stream.start) else {
        return Err(PullError::unavailable("the upstream began after the requested byte"));
    };
    Ok(Passing {
        body: stream.body,
        transfer,
        skip,
        remaining: end - start,
        hasher: rest.hasher,
        senders: Senders { addresses: vec![stream.sent_by], are_all: start == 0 },
        kept: None,
        _client: client,
        _asking: asking,
    })
}

impl Passing {
    fn chunks(self) -> BoxStream<'static, Result<Piece, PullError>> {
        stream::try_unfold(self, |mut passing| async move {
            let chunk = passing.next().await?;
            Ok(chunk.map(|bytes| (Piece::Bytes(bytes), passing)))
        })
        .boxed()
    }

    /// The chunk before the newest one; the last one only once the digest is verified.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, PullError> {
        while self.remaining > 0 {
            let mut bytes = match self.body.next().await {
                Some(Ok(bytes)) => bytes,
                Some(Err(error)) => return Err(error.into()),
                None => return Err(PullError::unavailable("the upstream's body was shorter than announced")),
            };
            self.transfer.metrics().fetched_bytes(bytes.len() as u64);
            let wait = self.transfer.blobs.shared.bandwidths.upstream.take(bytes.len() as u64);
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
            self.skip -= skipped as u64;
            bytes = bytes.slice(skipped..);
            bytes.truncate(usize::try_from(self.remaining).unwrap_or(usize::MAX));
            self.remaining -= bytes.len() as u64;
            if let Some(hasher) = &mut self.hasher {
                hasher.update(&bytes);
            }
            if bytes.is_empty() {
                continue;
            }
            if let Some(kept) = self.kept.replace(bytes) {
                return Ok(Some(kept));
            }
        }
        if let Some(hasher) = self.hasher.take() {
            verify(&self.transfer, hasher.finish(), &self.senders)?;
        }
        Ok(self.kept.take())
    }
}

fn verify(transfer: &Transfer, got: Digest, senders: &Senders) -> Result<(), PullError> {
    if got == transfer.digest {
        return Ok(());
    }
    transfer.metrics().verify_failed();
    transfer.blobs.connections.ask_plainly(&transfer.digest);
    // Its client has got bytes of the blob, so only the next request can go on at another address.
    transfer.blobs.asker.note_wrong(&transfer.digest, senders);
    let digest = &transfer.digest;
    Err(PullError::mismatch(format!(
        "{digest} was requested, and the upstream's bytes have the digest {got}"
    )))
}
