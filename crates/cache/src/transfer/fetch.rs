//! Sends one request for a claimed span of a blob, and receives the response.

use std::sync::Arc;

use oci::ByteRange;
use policy::pace::Pace;
use policy::resume::Mode;
use storage::StoreError;
use upstream::{BlobRange, BlobStream, ErrorKind};

use super::Transfer;
use super::pump::{Pump, Sink, Stop};
use crate::connections::Connection;
use crate::fill::{Fill, Promised};

/// The role of a transfer in its fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It completes the blob from its first missing byte on.
    Front(Mode),
    /// It serves a range that the front will not reach soon.
    Far,
    /// It fetches a part just ahead of the front, to make the blob faster.
    Part,
}

/// A claimed span with its connection, released however its transfer ends, even by a panic.
pub(super) struct Claimed {
    fill: Arc<Fill>,
    span: u64,
    _connection: Connection,
}

impl Claimed {
    pub(super) fn new(fill: &Arc<Fill>, span: u64, connection: Connection) -> Self {
        Self { fill: Arc::clone(fill), span, _connection: connection }
    }

    /// Releases the span now. Returns its pace, if it received any bytes.
    pub(super) fn give_back(self) -> Option<Pace> {
        self.fill.release(self.span)
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        self.fill.release(self.span);
    }
}

impl Transfer {
    /// Fetches one claimed span into `sink`.
    pub(super) async fn fetch(
        &self,
        fill: &Arc<Fill>,
        sink: &mut Sink,
        (span, range): (u64, ByteRange),
        role: Role,
    ) -> Result<(), Stop> {
        // With the size from an earlier process, a hole can be requested without the bytes after it.
        let size = fill.size().or_else(|| sink.size_on_record());
        let reaches_end = size.is_none_or(|size| range.end >= size);
        let request = request(range, reaches_end, role);
        if matches!(request, BlobRange::Whole | BlobRange::From(_)) {
            fill.claims().note_open_end(span);
        }
        if role == Role::Front(Mode::Whole) {
            fill.claims().note_plain(span);
        }
        let asking = self.asking();
        let answer = tokio::select! {
            // A response that has arrived is used even if the span was taken over: it says something about
            // ranges.
            biased;
            answer = asking.upstream().get_blob(&self.repository, &self.digest, request) => answer,
            () = fill.claims().taken_over(span) => return Err(Stop::TakenOver),
        };
        let refuses_parts = match &answer {
            Ok(stream) => stream.start != range.start,
            // There may be no further bytes.
            Err(_) if role == Role::Front(Mode::Rest) => false,
            // A refusal of a further connection says nothing about ranges.
            Err(error) => error.is_range_refused(),
        };
        if refuses_parts {
            self.blobs.connections.note_refusal();
            fill.claims().set_part_bytes(u64::MAX);
        }
        let stream = answer.map_err(Stop::Upstream)?;
        if request != BlobRange::Whole {
            fill.claims().note_range();
        }
        let skip = match range.start.checked_sub(stream.start) {
            Some(0) => 0,
            // The body began too early. Only the front has all bytes up to its claim, so only it may drop
            // those bytes and continue; and only to the blob's end, or all of it would be fetched again for
            // the next hole.
            Some(skip)
                if role == Role::Front(Mode::Whole) || role == Role::Front(Mode::Ranges) && reaches_end =>
            {
                fill.claims().note_plain(span);
                skip
            }
            // As an unusable response it makes the front request the rest in one piece.
            Some(_) if role == Role::Front(Mode::Ranges) => {
                let error = upstream::Error::new(ErrorKind::Invalid, self.registry(), RANGE_IGNORED);
                return Err(Stop::Upstream(error));
            }
            Some(_) => return Err(Stop::Cut(RANGE_IGNORED)),
            None => return Err(Stop::Cut("the upstream began after the requested byte")),
        };
        self.take_size(fill, sink, stream.size).await?;
        if matches!(role, Role::Front(_)) {
            self.make_room(fill, sink, range.start).await?;
        }
        self.receive(fill, sink, (span, range.start), skip, role, stream).await
    }

    /// Receives the body of the claimed span `span` from `position` on, after `skip` bytes to drop first.
    pub(super) async fn receive(
        &self,
        fill: &Arc<Fill>,
        sink: &mut Sink,
        (span, position): (u64, u64),
        skip: u64,
        role: Role,
        stream: BlobStream,
    ) -> Result<(), Stop> {
        fill.claims().note_sender(stream.sent_by);
        let received = |bytes| self.metrics().fetched_bytes(bytes);
        let store_failed = |error: &StoreError| self.store_failed(error);
        let has_room = |end| self.has_room_to(fill, end);
        let mut pump = Pump {
            fill,
            span,
            position,
            leave_at: None,
            skip,
            may_relay: matches!(role, Role::Front(_)),
            drip_max: self.settings().drip_max,
            limit: &self.blobs.shared.bandwidths.upstream,
            received: &received,
            has_room: &has_room,
            store_failed: &store_failed,
        };
        pump.run(sink, stream.body).await?;
        conclude_span(fill, span, pump.position)
    }

    /// Takes the size from the first response; a later one that disagrees is not of the same blob.
    pub(super) async fn take_size(
        &self,
        fill: &Arc<Fill>,
        sink: &Sink,
        told: Option<u64>,
    ) -> Result<(), Stop> {
        match (fill.size(), told) {
            (Some(known), Some(told)) if known != told => {
                return Err(Stop::Cut("the upstream changed the blob's size"));
            }
            (None, Some(size)) => {
                if let Sink::Spool(spool) = sink
                    && let Err(error) = spool.set_size(size)
                {
                    // Without the recorded size, the blob cannot be resumed after a restart.
                    self.store_failed(&error);
                }
            }
            _ => {}
        }
        // If there are holes, the upstream has told the size before.
        let told = told.or_else(|| sink.size_on_record());
        if told.or(fill.size()).is_none() && fill.promised() == Promised::Unasked {
            // Clients get this size while bytes arrive. The digest shows whether it was right.
            let promised = self.look_up_size().await;
            fill.promise(promised.map_or(Promised::Untold, Promised::Size));
        }
        fill.flowing(told);
        Ok(())
    }
}

/// The request for `range`. `reaches_end`: the range extends to the blob's end, as far as is known.
fn request(range: ByteRange, reaches_end: bool, role: Role) -> BlobRange {
    match (role, range.start, reaches_end) {
        (Role::Front(Mode::Whole), ..) => BlobRange::Whole,
        // A refusal of a further connection is not retried, and does not count against the upstream.
        (Role::Far | Role::Part, ..) => BlobRange::Further(range),
        (Role::Front(Mode::Ranges | Mode::Rest), 0, true) => BlobRange::Whole,
        (Role::Front(Mode::Ranges | Mode::Rest), start, true) => BlobRange::From(start),
        (Role::Front(Mode::Ranges | Mode::Rest), _, false) => BlobRange::Span(range),
    }
}

/// Checks that a body that ended cleanly reached its span's end. While the blob's size is unknown, that is
/// decided later.
fn conclude_span(fill: &Fill, span: u64, position: u64) -> Result<(), Stop> {
    let Some(size) = fill.size() else { return Ok(()) };
    if position < fill.claims().advance(span, position).enough.min(size) {
        return Err(Stop::Cut("the body was shorter than announced"));
    }
    Ok(())
}

pub(super) const RANGE_IGNORED: &str = "the upstream ignored the requested range";
