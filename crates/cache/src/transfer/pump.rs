//! Receives an upstream's body into a fill: batches are written off the runtime's threads, one at a time, and
//! the bytes that arrive meanwhile form the next batch. That gives back-pressure without a timer.

use std::mem;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use budget::{Budget, Share};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use oci::Hasher;
use policy::resume::FLOOR_RATE;
use storage::{Spool, StoreError};
use telemetry::BypassReason;
use tokio::time::Instant;

use crate::bandwidth::Bandwidth;
use crate::fill::Fill;
use crate::fill::relay::{DELAY_MAX, Pushed};

/// The largest size of one batch, in bytes.
const BATCH_BYTES_MAX: u64 = 1 << 20;

/// The size that one batch may have however much memory other batches use, in bytes: so each transfer
/// continues while the disk is slow.
const BATCH_BYTES_MIN: u64 = 64 * 1024;

/// The grace period for reading bytes that are already on the wire, once a span is covered.
const DRAIN_TIME: Duration = Duration::from_millis(25);

/// The target of the bytes.
pub(crate) enum Sink {
    /// Into the store's spool.
    Spool(Arc<Spool>),
    /// Through memory to the readers, because the blob is not stored.
    Relay { hasher: Box<Hasher>, front: u64 },
}

impl Sink {
    /// The blob's size in bytes that an upstream told before, to this process or an earlier one.
    pub(super) fn size_on_record(&self) -> Option<u64> {
        match self {
            Self::Spool(spool) => spool.size(),
            Self::Relay { .. } => None,
        }
    }

    /// The hash and the length of the blob's contiguous beginning.
    pub(super) fn front(&self) -> (Hasher, u64) {
        match self {
            Self::Spool(spool) => spool.front(),
            Self::Relay { hasher, front } => (Hasher::clone(hasher), *front),
        }
    }
}

/// Why a transfer stopped before its end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The upstream's request or body failed.
    Upstream(upstream::Error),
    /// The body was cut, too slow, or shorter than announced.
    Cut(&'static str),
    /// The store refused the bytes, and they cannot be relayed.
    Store(StoreError),
    /// Other transfers have claimed its whole rest: it was too slow, or its bytes cannot be stored.
    TakenOver,
    /// It has no readers, and the store has failed.
    Abandoned,
}

/// The reception of one claimed span.
pub(crate) struct Pump<'a> {
    pub(crate) fill: &'a Arc<Fill>,
    pub(crate) span: u64,
    /// The position of the next byte to receive.
    pub(crate) position: u64,
    /// When to leave the rest to another transfer, once this one has enough.
    pub(crate) leave_at: Option<Instant>,
    /// Bytes to drop first, because the upstream began before the requested byte.
    pub(crate) skip: u64,
    /// Whether this is the front of the fill, which may switch from the store to the relay.
    pub(crate) may_relay: bool,
    /// The longest time for which the body may come below [`FLOOR_RATE`].
    pub(crate) drip_max: Duration,
    /// The limit on bytes from the upstream.
    pub(crate) limit: &'a Bandwidth,
    /// Called with the size of each received chunk.
    pub(crate) received: &'a (dyn Fn(u64) + Send + Sync),
    /// Whether the store has room for the blob's bytes up to a position. Called for the front, before it
    /// writes.
    pub(crate) has_room: &'a (dyn Fn(u64) -> bool + Send + Sync),
    /// Called when the sink switches from the store to the relay.
    pub(crate) store_failed: &'a (dyn Fn(&StoreError) + Send + Sync),
}

type Body = BoxStream<'static, Result<Bytes, upstream::Error>>;
type Write = BoxFuture<'static, (Batch, Result<(), StoreError>)>;

impl Pump<'_> {
    /// Receives until the span's end, which may change meanwhile. Bytes received before a failure are still
    /// written.
    pub(crate) async fn run(&mut self, sink: &mut Sink, mut body: Body) -> Result<(), Stop> {
        let mut batch = Batch::at(self.position, self.fill.batches());
        let mut write: Option<Write> = None;
        let mut ended: Option<Result<(), Stop>> = None;
        let mut floor = Floor::new(self.drip_max);
        let mut is_held_up = false;
        let mut paused_until: Option<Instant> = None;
        let fill = Arc::clone(self.fill);
        let mut taken_over = pin!(fill.claims().taken_over(self.span));
        loop {
            // One write at a time: bytes that arrive meanwhile form the next batch.
            if write.is_none() && batch.length > 0 {
                let next = batch.take();
                match sink {
                    Sink::Relay { .. } => self.relay(sink, next.chunks).await?,
                    Sink::Spool(_) if self.may_relay && !(self.has_room)(next.offset + next.length) => {
                        self.turn_to_relay(sink, next, BypassReason::NoRoom).await?;
                    }
                    Sink::Spool(spool) => write = Some(write_batch(spool.clone(), next)),
                }
            }
            // Returns only once all received bytes are written.
            if write.is_none()
                && let Some(ended) = ended
            {
                return ended;
            }
            // A full batch and the limit stop the reading below. The upstream is not blamed for that time.
            let may_read = batch.has_room() && paused_until.is_none();
            if is_held_up == may_read {
                is_held_up = !is_held_up;
                self.fill.claims().hold_up(self.span, is_held_up);
            }
            tokio::select! {
                // Writes first, so that a fast body cannot starve them.
                biased;
                (written, result) = finished(&mut write), if write.is_some() => {
                    write = None;
                    match result {
                        Ok(()) => self.fill.publish(),
                        Err(error) if !self.may_relay => return Err(Stop::Store(error)),
                        Err(error) => {
                            (self.store_failed)(&error);
                            self.turn_to_relay(sink, written, BypassReason::StoreFailed).await?;
                        }
                    }
                }
                () = reached(paused_until), if paused_until.is_some() && ended.is_none() => {
                    paused_until = None;
                }
                chunk = floor.next(&mut body), if ended.is_none() && may_read => {
                    let len = chunk.as_ref().ok().and_then(Option::as_ref).map_or(0, Bytes::len);
                    ended = self.receive(sink, chunk, &mut batch);
                    let wait = self.limit.take(len as u64);
                    if !wait.is_zero() {
                        floor.excuse(wait);
                        paused_until = Some(Instant::now() + wait);
                    }
                }
                () = &mut taken_over, if ended.is_none() => ended = Some(Err(Stop::TakenOver)),
                () = reached(self.leave_at), if ended.is_none() && batch.has_room() => {
                    // The transfer ahead may have released its span meanwhile; then this one continues.
                    if self.position >= self.fill.claims().advance(self.span, self.position).enough {
                        ended = Some(Ok(()));
                    } else {
                        self.leave_at = None;
                    }
                }
            }
        }
    }

    /// Receives one chunk. Returns the result of the span once it has ended.
    fn receive(
        &mut self,
        sink: &Sink,
        chunk: Result<Option<Bytes>, Stop>,
        batch: &mut Batch,
    ) -> Option<Result<(), Stop>> {
        let mut bytes = match chunk {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Some(Ok(())),
            Err(stop) => return Some(Err(stop)),
        };
        (self.received)(bytes.len() as u64);
        let skipped = self.skip.min(bytes.len() as u64);
        self.skip -= skipped;
        if skipped > 0 {
            self.fill.claims().skip(self.span, skipped);
        }
        bytes = bytes.slice(skipped as usize..);
        let stop = self.stop_for(sink, self.position + bytes.len() as u64);
        bytes.truncate(usize::try_from(stop.saturating_sub(self.position)).unwrap_or(usize::MAX));
        self.position += bytes.len() as u64;
        batch.push(bytes);
        let reach = self.fill.claims().advance(self.span, self.position);
        if self.position >= reach.enough {
            self.leave_at.get_or_insert_with(|| Instant::now() + DRAIN_TIME);
        }
        (self.position >= reach.stop).then_some(Ok(()))
    }

    /// The stop of the span, after bytes up to `end` were received. If the transfer after it does not
    /// deliver, this one continues over its claim.
    fn stop_for(&self, sink: &Sink, end: u64) -> u64 {
        let mut stop = self.fill.claims().advance(self.span, self.position).stop;
        let Sink::Spool(spool) = sink else { return stop };
        let gaps = || spool.gaps(self.fill.size().unwrap_or(u64::MAX));
        while end >= stop
            && let Some(further) = self.fill.claims().extend(self.span, gaps)
        {
            stop = further;
        }
        stop
    }

    /// Switches to the relay after a failure of the store, or when it has no room. The stored bytes before
    /// the first hole are read back, as far as they are not hashed yet; from there on the bytes are relayed
    /// in order. The batch that the store refused is still in memory: if it is next in order, the transfer
    /// continues, otherwise a new one begins at the hole.
    async fn turn_to_relay(&self, sink: &mut Sink, refused: Batch, reason: BypassReason) -> Result<(), Stop> {
        let Sink::Spool(spool) = &*sink else { return self.relay(sink, refused.chunks).await };
        let (hasher, front) = spool.hash_front().await;
        self.fill.begin_relay(front, hasher.clone(), reason);
        *sink = Sink::Relay { hasher: Box::new(hasher), front };
        self.fill.publish();
        if front != refused.offset {
            return Err(Stop::Cut("the store took no more bytes, beyond a hole"));
        }
        self.relay(sink, refused.chunks).await
    }

    async fn relay(&self, sink: &mut Sink, chunks: Vec<Bytes>) -> Result<(), Stop> {
        let Sink::Relay { hasher, front } = sink else { return Ok(()) };
        for chunk in chunks {
            hasher.update(&chunk);
            *front += chunk.len() as u64;
            self.push(&chunk, hasher).await?;
            self.fill.publish();
        }
        Ok(())
    }

    /// Pushes a chunk into the window. While that is full, the transfer waits for its slowest readers, and
    /// charges each of them the time; once their time is used up, the window moves on.
    async fn push(&self, chunk: &Bytes, hash: &Hasher) -> Result<(), Stop> {
        let mut progress = self.fill.watch();
        loop {
            let (pushed, laggards) = self.fill.push_to_relay(chunk, hash);
            let patience = match pushed {
                Pushed::Taken => return Ok(()),
                Pushed::Unneeded => return Err(Stop::Abandoned),
                Pushed::Full(patience) => patience,
            };
            let since = Instant::now();
            // Readers publish when they advance in a relay; the deadline bounds a silent one.
            let _ = tokio::time::timeout(patience.unwrap_or(DELAY_MAX), progress.changed()).await;
            laggards.iter().filter_map(Weak::upgrade).for_each(|reader| reader.charge(since.elapsed()));
        }
    }
}

/// Received bytes that are being written or will be.
struct Batch {
    offset: u64,
    chunks: Vec<Bytes>,
    length: u64,
    /// The memory of the batches of all transfers, and this one's share of it.
    batches: Budget,
    share: Share,
}

impl Batch {
    fn at(offset: u64, batches: &Budget) -> Self {
        Self { offset, chunks: Vec::new(), length: 0, batches: batches.clone(), share: batches.overdraw(0) }
    }

    fn has_room(&self) -> bool {
        self.length < BATCH_BYTES_MIN || (self.length < BATCH_BYTES_MAX && !self.batches.is_spent())
    }

    fn push(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.length += bytes.len() as u64;
            self.share.overdraw(bytes.len() as u64);
            self.chunks.push(bytes);
        }
    }

    /// Takes the bytes so far; the batch continues after them.
    fn take(&mut self) -> Self {
        let next = Self::at(self.offset + self.length, &self.batches);
        mem::replace(self, next)
    }
}

fn write_batch(spool: Arc<Spool>, batch: Batch) -> Write {
    Box::pin(async move {
        let result = spool.write(batch.offset, batch.chunks.clone()).await;
        (batch, result)
    })
}

/// Returns at `time`; never, if it is `None`.
async fn reached(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Returns when the current write ends; never, if there is none.
async fn finished(write: &mut Option<Write>) -> (Batch, Result<(), StoreError>) {
    match write {
        Some(write) => write.await,
        None => std::future::pending().await,
    }
}

/// Ends a body that is slower than the floor: such a transfer is as good as cut.
struct Floor {
    window: Duration,
    since: Instant,
    bytes: u64,
}

impl Floor {
    fn new(window: Duration) -> Self {
        Self { window, since: Instant::now(), bytes: 0 }
    }

    /// Leaves a wait that is about to come out of the window.
    fn excuse(&mut self, wait: Duration) {
        self.since += wait;
    }

    /// The next chunk of the body. The window counts only time spent waiting for the upstream's bytes or
    /// writing them, so a fast upstream with a slow disk passes.
    async fn next(&mut self, body: &mut Body) -> Result<Option<Bytes>, Stop> {
        let chunk = match tokio::time::timeout_at(self.since + self.window, body.next()).await {
            Err(_) if self.bytes >= FLOOR_RATE * self.window.as_secs() => {
                *self = Self::new(self.window);
                return Ok(Some(Bytes::new()));
            }
            Err(_) => return Err(Stop::Cut("the body was slower than 1 KiB/s")),
            Ok(None) => return Ok(None),
            Ok(Some(Err(error))) => return Err(Stop::Upstream(error)),
            Ok(Some(Ok(chunk))) => chunk,
        };
        self.bytes += chunk.len() as u64;
        Ok(Some(chunk))
    }
}
