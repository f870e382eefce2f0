//! How a fill gets its bytes: claims what is missing, fetches it, and resumes after cuts.

use std::sync::Arc;
use std::time::Duration;

use oci::{ByteRange, Hasher};
use policy::connections::INTERVAL;
use policy::head_trust::Stakes;
use policy::pace::Pace;
use storage::{Spool, StoreError};
use tracing::debug;
use upstream::{BlobRange, BlobStream, ErrorKind};

use super::pump::{Pump, Sink, Stop};
use super::resumption::{Next, Patience};
use super::spans::Claim;
use super::transfer::Transfer;
use super::{Fill, Promised};
use crate::error::PullError;

/// How long a transfer that tells no size waits for a HEAD that may.
const SIZE_WAIT_MAX: Duration = Duration::from_secs(5);

/// Which part of the fill a transfer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It completes the blob from the front; `ranges_work` as long as nothing speaks against it.
    Front { ranges_work: bool },
    /// It completes the blob if the upstream ended a body too soon whose length nobody knows.
    Rest,
    /// It serves a range that the front will not reach soon.
    Far,
    /// It fetches a part just ahead of the front, to make the blob come faster.
    Part,
}

/// A claimed span, given back however its transfer ends, a panic included.
pub(super) struct Claimed {
    pub(super) fill: Arc<Fill>,
    pub(super) span: u64,
}

impl Claimed {
    /// Returns how fast the span came, if anything came.
    pub(super) fn give_back(self) -> Option<Pace> {
        self.fill.release(self.span)
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        self.fill.release(self.span);
    }
}

/// The end of a blob that was asked for and not claimed yet; over however that ends.
struct Expected<'a>(&'a Arc<Fill>);

impl Drop for Expected<'_> {
    fn drop(&mut self) {
        self.0.expect_no_tail();
    }
}

impl Transfer {
    /// Fetches until nothing is missing, resuming where a transfer broke off.
    pub(super) async fn fetch_all(&self, fill: &Arc<Fill>, sink: &mut Sink) -> Result<(), PullError> {
        let mut patience = Patience::new(self.settings().fill_stall_max, fill.received_bytes());
        let mut role = Role::Front { ranges_work: !fill.is_asked_plainly() };
        let mut progress = fill.watch();
        let mut pace = None;
        loop {
            progress.mark_unchanged();
            if role == (Role::Front { ranges_work: true })
                && fill.are_ranges_in_doubt()
                && patience.ask_whole()
            {
                self.take_role(fill, &mut role, Role::Front { ranges_work: false });
            }
            let is_one_piece = role == Role::Front { ranges_work: false };
            let claim = match sink {
                Sink::Spool(_) => fill.claim_front(|| missing(fill, sink, is_one_piece), pace),
                Sink::Relay { .. } => fill.claim_in_order(|| missing(fill, sink, is_one_piece)),
            };
            let (span, range) = match claim {
                Claim::Complete => return Ok(()),
                Claim::Wait => {
                    // Others have the rest. They publish each write and their end; one that is slow by now may say
                    // nothing for long.
                    let _ = tokio::time::timeout(INTERVAL, progress.changed()).await;
                    continue;
                }
                Claim::Fetch(span, range) => (span, range),
            };
            let before = fill.received_bytes();
            let lane = self.blobs.lanes.enter();
            let claimed = Claimed { fill: fill.clone(), span };
            let fetched = self.fetch(fill, sink, span, range, role).await;
            pace = claimed.give_back();
            drop(lane);
            let grew = fill.received_bytes() > before;
            if fill.size().is_none() && (grew || fetched.is_ok()) {
                // Nobody told the length, and a connection may break after the last byte: the digest tells.
                let (hasher, length) = front(sink);
                if hasher.finish() == self.digest {
                    fill.set_size(length);
                    continue;
                }
            }
            let stop = match fetched {
                Ok(()) if fill.size().is_some() => continue,
                // Others have what it was asked for. It goes on with what is missing by now.
                Err(Stop::TakenOver) => continue,
                Err(stop) if fill.size().is_some() || grew || role != Role::Rest || is_outage(&stop) => stop,
                _ => {
                    // The digest says that this was not all: the rest is asked for once.
                    if role == Role::Rest {
                        fill.set_size(front(sink).1);
                    }
                    role = Role::Rest;
                    continue;
                }
            };
            let is_invalid = matches!(&stop, Stop::Upstream(error) if error.kind() == ErrorKind::Invalid);
            if is_invalid && range.start > 0 && role == (Role::Front { ranges_work: true }) {
                // An upstream that cannot resume gives the whole again; what is there is skipped.
                self.take_role(fill, &mut role, Role::Front { ranges_work: false });
                continue;
            }
            match self.after_stop(fill, &stop, &mut patience, role, range.start).await {
                Next::Again(next, pause) => {
                    debug!(digest = %self.digest, ?stop, ?next, "resuming");
                    self.metrics().resumed();
                    self.take_role(fill, &mut role, next);
                    tokio::time::sleep(pause).await;
                }
                Next::GiveUp => return Err(self.give_up(stop)),
            }
        }
    }

    /// The front goes on in that role. As long as it asks for the whole, nobody else asks for a part.
    fn take_role(&self, fill: &Arc<Fill>, role: &mut Role, next: Role) {
        if let Role::Front { ranges_work } = next {
            fill.ask_plainly(!ranges_work);
            if !ranges_work {
                fill.set_part_bytes(u64::MAX);
                fill.make_way();
            }
        }
        *role = next;
    }

    fn give_up(&self, stop: Stop) -> PullError {
        match stop {
            Stop::Upstream(error) => error.into(),
            Stop::Cut(what) => PullError::unavailable(format!("the upstream's transfer broke off: {what}")),
            Stop::Store(error) => {
                self.store_failed(&error);
                PullError::from(&error)
            }
            Stop::TakenOver | Stop::Abandoned => {
                PullError::unavailable("every client left, and nothing can be stored")
            }
        }
    }

    /// Fetches one claimed span.
    pub(super) async fn fetch(
        &self,
        fill: &Arc<Fill>,
        sink: &mut Sink,
        span: u64,
        range: ByteRange,
        role: Role,
    ) -> Result<(), Stop> {
        // What an earlier process was told lets a hole be asked for alone, and not with all that is behind it.
        let size = fill.size().or_else(|| size_on_record(sink));
        let reaches_end = size.is_none_or(|size| range.end >= size);
        let request = match (range.start, reaches_end) {
            _ if role == (Role::Front { ranges_work: false }) => BlobRange::Whole,
            _ if matches!(role, Role::Far | Role::Part) => BlobRange::Further(range),
            (0, true) => BlobRange::Whole,
            (start, true) => BlobRange::From(start),
            (_, false) => BlobRange::Span(range),
        };
        if matches!(request, BlobRange::Whole | BlobRange::From(_)) {
            fill.note_open_end(span);
        }
        if role == (Role::Front { ranges_work: false }) {
            fill.note_plain(span);
        }
        let asking = self.asking();
        let answer = tokio::select! {
            biased;
            answer = asking.get_blob(&self.repository, &self.digest, request) => answer,
            () = fill.taken_over(span) => return Err(Stop::TakenOver),
        };
        let is_front = matches!(role, Role::Front { .. });
        let refuses_parts = match &answer {
            Ok(stream) => stream.start != range.start,
            // There may be no rest.
            Err(_) if role == Role::Rest => false,
            // That a further connection was refused says nothing about ranges.
            Err(error) => error.is_range_refused(),
        };
        if refuses_parts {
            self.blobs.lanes.note_refusal();
            fill.set_part_bytes(u64::MAX);
        }
        let stream = answer.map_err(Stop::Upstream)?;
        if request != BlobRange::Whole {
            fill.note_range();
        }
        let skip = match range.start.checked_sub(stream.start) {
            Some(0) => 0,
            // The front has come past those bytes; anybody else would fetch them twice.
            Some(skip) if is_front && (reaches_end || role == Role::Front { ranges_work: false }) => {
                fill.note_plain(span);
                skip
            }
            // Nor is all of it to come again for the next hole.
            Some(_) if is_front => return Err(Stop::Upstream(ignored_range(self.registry()))),
            Some(_) => return Err(Stop::Cut("the upstream ignored the range that was asked for")),
            None => return Err(Stop::Cut("the upstream began after the byte that was asked for")),
        };
        self.take_size(fill, sink, stream.size).await?;
        self.receive(fill, sink, span, (range.start, skip), is_front || role == Role::Rest, stream).await
    }

    /// Fetches so many last bytes of a blob whose size is not known, if nobody has claimed them by the time the answer
    /// says where they begin. Until then they are expected.
    pub(super) async fn fetch_last(
        &self,
        fill: &Arc<Fill>,
        spool: &Arc<Spool>,
        length: u64,
    ) -> Result<(), Stop> {
        let _lane = self.blobs.lanes.enter();
        let expected = Expected(fill);
        let request = BlobRange::Last(length);
        let answer = self.asking().get_blob(&self.repository, &self.digest, request).await;
        let stream = answer.map_err(Stop::Upstream)?;
        fill.note_range();
        let Some(size) = stream.size.filter(|size| size.saturating_sub(length) == stream.start) else {
            return Err(Stop::Cut("the upstream ignored the range that was asked for"));
        };
        let range = ByteRange { start: stream.start, end: size };
        let claim = fill.claim_expected(range, || spool.gaps(size));
        drop(expected);
        let Some((span, range)) = claim else { return Ok(()) };
        let _claimed = Claimed { fill: fill.clone(), span };
        let mut sink = Sink::Spool(spool.clone());
        self.take_size(fill, &sink, stream.size).await?;
        self.receive(fill, &mut sink, span, (range.start, 0), false, stream).await
    }

    /// Receives the body of a claimed span from a position on, after so many bytes to drop first.
    async fn receive(
        &self,
        fill: &Arc<Fill>,
        sink: &mut Sink,
        span: u64,
        (position, skip): (u64, u64),
        may_relay: bool,
        stream: BlobStream,
    ) -> Result<(), Stop> {
        let received = |bytes| self.metrics().fetched_bytes(bytes);
        let store_failed = |error: &StoreError| self.store_failed(error);
        let mut pump = Pump {
            fill,
            span,
            position,
            leave_at: None,
            skip,
            may_relay,
            drip_max: self.settings().drip_max,
            received: &received,
            store_failed: &store_failed,
        };
        pump.run(sink, stream.body).await?;
        self.conclude_span(fill, span, pump.position)
    }

    /// A body that ended cleanly is complete if it reached its span's end. Where nobody told how long the blob
    /// is, that remains to be seen.
    fn conclude_span(&self, fill: &Arc<Fill>, span: u64, position: u64) -> Result<(), Stop> {
        let Some(size) = fill.size() else { return Ok(()) };
        if position < fill.advance(span, position).enough.min(size) {
            return Err(Stop::Cut("the body was shorter than announced"));
        }
        Ok(())
    }

    /// The first answer tells the size; a later one that disagrees is not of the same blob.
    async fn take_size(&self, fill: &Arc<Fill>, sink: &Sink, told: Option<u64>) -> Result<(), Stop> {
        match (fill.size(), told) {
            (Some(known), Some(told)) if known != told => {
                return Err(Stop::Cut("the upstream changed its mind about the blob's size"));
            }
            (None, Some(size)) => {
                if let Sink::Spool(spool) = sink
                    && let Err(error) = spool.set_size(size)
                {
                    // The size serves a resumption after a restart; without it there will be none.
                    self.store_failed(&error);
                }
            }
            _ => {}
        }
        // Where there are holes, an upstream that tells no size has told it before.
        let told = told.or_else(|| size_on_record(sink));
        if told.or(fill.size()).is_none() && fill.promised() == Promised::Unasked {
            // Clients are answered by it while the bytes flow. The digest tells whether it was true.
            let promised = self.look_up_size().await;
            fill.promise(promised.map_or(Promised::Untold, Promised::Size));
        }
        fill.flowing(told);
        Ok(())
    }

    /// The blob's size by the word of a manifest that names it, else of one HEAD.
    pub(super) async fn look_up_size(&self) -> Option<u64> {
        if let Some(size) = self.blobs.sizes.get(&self.repository, &self.digest) {
            return Some(size);
        }
        let asking = self.asking();
        let head = asking.head_blob(&self.repository, &self.digest, Stakes::Nothing);
        tokio::time::timeout(SIZE_WAIT_MAX, head).await.ok()?.ok()?.size
    }
}

/// Whether the upstream could not be asked, as opposed to having nothing further to give.
fn is_outage(stop: &Stop) -> bool {
    matches!(stop, Stop::Upstream(error) if error.kind() != ErrorKind::Invalid && !error.is_range_refused())
}

/// What the sink lacks; open-ended while the size is unknown. As one piece: with what it has in between, for an
/// upstream that would send all of that for each hole.
fn missing(fill: &Fill, sink: &Sink, is_one_piece: bool) -> Vec<ByteRange> {
    let size = fill.size();
    let gaps = match sink {
        Sink::Spool(spool) => spool.gaps(size.unwrap_or(u64::MAX)),
        Sink::Relay { front, .. } => {
            let rest = ByteRange { start: *front, end: size.unwrap_or(u64::MAX) };
            if rest.start < rest.end { vec![rest] } else { Vec::new() }
        }
    };
    match gaps[..] {
        [first, .., last] if is_one_piece => vec![ByteRange { start: first.start, end: last.end }],
        _ => gaps,
    }
}

/// What makes the front take the rest in one piece.
fn ignored_range(registry: &str) -> upstream::Error {
    upstream::Error::new(ErrorKind::Invalid, registry, "the upstream ignored the range that was asked for")
}

/// The blob's size as an upstream told it before, to this process or an earlier one.
fn size_on_record(sink: &Sink) -> Option<u64> {
    match sink {
        Sink::Spool(spool) => spool.size(),
        Sink::Relay { .. } => None,
    }
}

/// The hash and the length of what the sink has taken, where it came in order.
fn front(sink: &Sink) -> (Hasher, u64) {
    match sink {
        Sink::Spool(spool) => spool.front(),
        Sink::Relay { hasher, front } => (Hasher::clone(hasher), *front),
    }
}
