//! The reading side of a fill: follows the writer at its own pace and keeps the unverified tail back.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use oci::{ByteRange, Hasher};
use policy::approach::{self, SMALL_RANGE_BYTES_MAX};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Transfer;
use super::passing::{self, Passing, Rest};
use crate::blob_reader::{BlobReader, FilePiece, Piece};
use crate::error::PullError;
use crate::fill::reader_handle::ReaderHandle;
use crate::fill::{Available, Fill, Phase, Progress};

/// A body that reaches the blob's end keeps its last bytes, of this number, back until the digest is
/// verified.
const TAIL_BYTES: u64 = 64 * 1024;

/// The time that a response's head waits for the first byte of its body. If the transfer fails within that
/// time, the client gets an error response, and not a body that breaks off.
const FIRST_BYTE_WAIT_MAX: Duration = Duration::from_secs(5);

/// The longest pause between two transfers for a byte that none of them delivered.
const FAR_PAUSE_MAX: Duration = Duration::from_secs(30);

/// Follows a fill over a range. Dropping it does not affect the fill.
struct Follower {
    fill: Arc<Fill>,
    transfer: Arc<Transfer>,
    /// Starts far transfers when the range is far ahead.
    far: Option<Far>,
    progress: watch::Receiver<Progress>,
    reader: ReaderHandle,
    range: ByteRange,
    /// The blob's size, as the client is told.
    size: u64,
    /// Whether it may read the blob's end before the digest is verified.
    reads_unverified_tail: bool,
    /// Whether it has read bytes from a relay.
    has_joined_relay: bool,
    /// The hash of the blob up to its position, if all bytes that it has read were hashed with the relay's.
    hasher: Option<Hasher>,
}

/// Starts transfers for a range far ahead of the front.
struct Far {
    transfer: Arc<Transfer>,
    is_small: bool,
    /// The position of the last transfer, the earliest time for another one there, and the pause after that.
    started: Option<(u64, Instant, Duration)>,
}

/// The source of a body's bytes.
enum Reading {
    Following(Box<Follower>),
    /// From the upstream, for this reader alone: the relay has moved on without it.
    Passing(Box<Passing>),
}

/// The bytes in the fill at the reader's position.
enum Found {
    /// A piece that can be served, and its length.
    Piece(Piece, u64),
    Nothing,
    /// The relay has dropped the next byte.
    Gone,
}

/// A client's request, once the blob's size is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// The range, which is inside the blob.
    pub(crate) range: ByteRange,
    /// The whole blob's size in bytes.
    pub(crate) size: u64,
    /// Whether the client named the range's last byte or its length, and so wants no more.
    pub(crate) is_closed: bool,
}

impl Wanted {
    fn is_small(&self) -> bool {
        self.is_closed && self.range.len() <= SMALL_RANGE_BYTES_MAX
    }

    /// Whether it is inside the tail that other readers keep back. A client that reads only the tail does not
    /// get a complete body. Clients that pull lazily read it first, for the table of contents.
    fn lies_in_tail(&self) -> bool {
        self.is_closed && self.range.start > 0 && self.range.start >= self.size.saturating_sub(TAIL_BYTES)
    }
}

/// A reader of the wanted range. Waits for its first byte, but not longer than `FIRST_BYTE_WAIT_MAX`.
///
/// # Errors
/// The fill's, if it fails in that time.
pub(crate) async fn follow(
    fill: &Arc<Fill>,
    reader: ReaderHandle,
    transfer: Arc<Transfer>,
    wanted: Wanted,
) -> Result<BlobReader, PullError> {
    let range = wanted.range;
    reader.move_to(range.start);
    if fill.is_relaying() {
        // The relay no longer waits for a reader at the beginning.
        fill.publish();
    }
    let far = Far { transfer: transfer.clone(), is_small: wanted.is_small(), started: None };
    let mut follower = Follower {
        fill: fill.clone(),
        transfer,
        far: (range.start > 0).then_some(far),
        progress: fill.watch(),
        reader,
        range,
        size: wanted.size,
        reads_unverified_tail: wanted.lies_in_tail(),
        has_joined_relay: false,
        hasher: None,
    };
    // After that time the head is sent, and a failure breaks the body off.
    tokio::time::timeout(FIRST_BYTE_WAIT_MAX, follower.begin()).await.unwrap_or(Ok(()))?;
    Ok(BlobReader::streamed(range.end - range.start, pieces(follower)))
}

fn pieces(follower: Follower) -> BoxStream<'static, Result<Piece, PullError>> {
    stream::try_unfold(Reading::Following(Box::new(follower)), |mut reading| async move {
        loop {
            let piece = match reading {
                Reading::Following(ref mut follower) => match follower.next().await? {
                    Found::Piece(piece, _) => Some(piece),
                    Found::Nothing => None,
                    Found::Gone => {
                        reading = Reading::Passing(Box::new(follower.pass_on().await?));
                        continue;
                    }
                },
                Reading::Passing(ref mut passing) => passing.next().await?.map(Piece::Bytes),
            };
            return Ok(piece.map(|piece| (piece, reading)));
        }
    })
    .boxed()
}

impl Follower {
    /// Waits until the first byte can be served.
    async fn begin(&mut self) -> Result<(), PullError> {
        while self.range.start < self.range.end && matches!(self.look()?, Found::Nothing) {
            self.wait(self.range.start).await;
        }
        // The piece was not consumed.
        self.hasher = None;
        Ok(())
    }

    /// The next piece. [`Found::Nothing`] only at the end of the range.
    async fn next(&mut self) -> Result<Found, PullError> {
        loop {
            let position = self.reader.position();
            if position >= self.range.end {
                return Ok(Found::Nothing);
            }
            let found = self.look()?;
            match found {
                Found::Piece(_, length) => self.move_to(position + length),
                Found::Gone => {}
                Found::Nothing => {
                    self.wait(position).await;
                    continue;
                }
            }
            return Ok(found);
        }
    }

    fn move_to(&self, position: u64) {
        // At its end it needs no more bytes, however slow its client is.
        self.reader.move_to(if position < self.range.end { position } else { u64::MAX });
        if self.fill.is_relaying() {
            // The relay may be waiting for this reader.
            self.fill.publish();
        }
    }

    /// The piece that can be served now, if there is one.
    fn look(&mut self) -> Result<Found, PullError> {
        let progress = self.progress.borrow_and_update().clone();
        let position = self.reader.position();
        if let Phase::Failed(error) = progress.phase {
            // Once the relay has moved past this reader, a failure of the transfer no longer concerns it.
            let is_left_behind = || matches!(self.fill.available(position), Available::Gone);
            return match error {
                PullError::UpstreamUnavailable { .. } if is_left_behind() => self.take(position, 0),
                error => Err(error),
            };
        }
        if progress.size.is_some_and(|size| size != self.size) {
            return Err(PullError::unavailable(
                "the blob does not have the size that a manifest or a HEAD announced",
            ));
        }
        let limit = self.limit(&progress);
        if position < limit { self.take(position, limit - position) } else { Ok(Found::Nothing) }
    }

    /// The piece at `position`, at most `length_max` bytes. The caller advances by its length.
    fn take(&mut self, position: u64, length_max: u64) -> Result<Found, PullError> {
        let available = self.fill.available(position);
        if matches!(available, Available::Relayed(..) | Available::Gone) && self.is_unhashed(position) {
            return Err(PullError::unavailable("the store failed under bytes that were not hashed yet"));
        }
        match available {
            Available::Stored(blob, available) => {
                let end = position + length_max.min(available);
                let piece = FilePiece::first(blob, position, end);
                let length = piece.length;
                Ok(Found::Piece(Piece::File(piece), length))
            }
            Available::Relayed(mut bytes, hash) => {
                self.has_joined_relay = true;
                let whole = bytes.len();
                bytes.truncate(usize::try_from(length_max).unwrap_or(usize::MAX));
                self.hash(position, &bytes, hash.filter(|_| bytes.len() == whole).map(|hash| *hash));
                let length = bytes.len() as u64;
                Ok(Found::Piece(Piece::Bytes(bytes), length))
            }
            Available::Nothing => Ok(Found::Nothing),
            Available::Gone => Ok(Found::Gone),
        }
    }

    /// Updates the hash with relayed bytes; `hash` is that of the blob up to their end, if it is known.
    fn hash(&mut self, position: u64, bytes: &[u8], hash: Option<Hasher>) {
        self.hasher = hash.or_else(|| {
            let mut hasher = self.hasher.take().or_else(|| self.fill.hash_at_origin(position))?;
            hasher.update(bytes);
            Some(hasher)
        });
    }

    /// Fetches the rest from the upstream, for this reader alone, because the relay has moved on. A body that
    /// reaches the blob's end ends cleanly only if both parts together have the digest.
    async fn pass_on(&mut self) -> Result<Passing, PullError> {
        let position = self.reader.position();
        let begun = self.hasher.take().or_else(|| self.fill.hash_at_origin(position));
        let reaches_end = self.range.end == self.size && !self.reads_unverified_tail;
        let hasher = match begun {
            _ if !reaches_end => None,
            Some(hasher) => Some(hasher),
            None if position == 0 => Some(Hasher::new(self.fill.digest().algorithm())),
            // No byte was served yet, so this is a part of a blob, which the client verifies.
            None if position == self.range.start => None,
            None => {
                return Err(PullError::unavailable(
                    "the client was too slow for a transfer that cannot be stored",
                ));
            }
        };
        let rest =
            Rest { range: ByteRange { start: position, end: self.range.end }, size: self.size, hasher };
        passing::pass_on(self.transfer.clone(), self.reader.take_client(), rest).await
    }

    /// Whether this body has stored bytes from beyond the relay's origin, which the relay's digest does not
    /// cover.
    fn is_unhashed(&self, position: u64) -> bool {
        let is_beyond = self.fill.relay_origin().is_some_and(|origin| position > origin);
        is_beyond && !self.has_joined_relay && position > self.range.start
    }

    /// The position at which this body must stop for now. Unverified bytes may be served, but not the tail of
    /// the blob to a client that may have the rest, so no client gets a complete wrong body.
    fn limit(&self, progress: &Progress) -> u64 {
        match &progress.phase {
            Phase::Verified => self.range.end,
            Phase::Flowing if !self.transfer.is_verified_first(self.size) => {
                if self.range.end == self.size && !self.reads_unverified_tail {
                    self.size.saturating_sub(TAIL_BYTES)
                } else {
                    self.range.end
                }
            }
            _ => 0,
        }
    }

    /// Waits for progress of the fill. A range that the fill will not reach in time gets a far transfer.
    async fn wait(&mut self, position: u64) {
        let range = ByteRange { start: position, end: self.range.end };
        match self.far.as_mut().map(|far| far.advance(&self.fill, range)) {
            None => drop(self.progress.changed().await),
            Some(patience) => drop(tokio::time::timeout(patience, self.progress.changed()).await),
        }
    }
}

impl Far {
    /// Starts a transfer for `range` if it is due. Returns the time until the next check, unless the fill
    /// makes progress before.
    fn advance(&mut self, fill: &Arc<Fill>, range: ByteRange) -> Duration {
        let wait_max = self.transfer.settings().far_range_wait;
        if fill.size().is_none() {
            return wait_max;
        }
        let approach = fill.claims().approach(range.start);
        if let Some(patience) = approach::wait(approach.as_ref(), self.is_small, wait_max) {
            return patience;
        }
        let now = Instant::now();
        let before = self.started.filter(|(position, ..)| *position == range.start);
        if let Some((_, not_before, _)) = before
            && now < not_before
        {
            return not_before - now;
        }
        if self.transfer.clone().spawn_far(fill, range) {
            // If this one delivers nothing either, the pause before the next is longer.
            let pause = before.map_or(wait_max, |(.., pause)| pause);
            self.started = Some((range.start, now + pause, (pause * 2).min(FAR_PAUSE_MAX)));
        }
        // If the bound on transfers is reached, one that ends wakes this reader.
        wait_max
    }
}
