//! Shares a large blob among several transfers: parts just ahead of the front are fetched over further
//! connections, while that makes the blob faster.
//!
//! They run within the fill's own task and end with it. A transfer that fails, or is far slower than the
//! others, leaves its part to them.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use policy::connections::{self, Flow, INTERVAL, Plan, REPLACED_COUNT_MAX, STEADY_TIME, Trial};
use policy::pace::Pace;
use storage::Spool;
use tokio::time::{Instant, MissedTickBehavior};
use tracing::debug;

use super::Transfer;
use super::fetch::{Claimed, Role};
use super::pump::{Sink, Stop};
use crate::fill::Fill;
use crate::permits::PermitHolder;

/// Measurements and decisions about one fill.
struct Sharing {
    /// Number of further transfers that should run beside the front.
    wanted: usize,
    is_settled: bool,
    trial: Option<(Trial, Instant)>,
    /// Connections on trial that were replaced because they were far slower than the others.
    replaced_count: u32,
    /// Pace of the part that ended last.
    idle: Option<Pace>,
    /// Times of measurement with the bytes that the front and the parts had received by then; the newest
    /// last.
    measured: VecDeque<(Instant, u64)>,
    rate: u64,
    rate_before: u64,
}

impl Transfer {
    /// Shares the fill among further transfers while it is polled. Returns when there will be none.
    pub(super) async fn share(&self, fill: &Arc<Fill>) {
        let connections_max = self.settings().connections_per_blob_max;
        let Some(spool) = fill.spool() else { return };
        let mut progress = fill.watch();
        let Ok(size) = progress.wait_for(|progress| progress.size.is_some()).await.map(|told| told.size)
        else {
            return;
        };
        let size = size.unwrap_or_default();
        let mut parts = FuturesUnordered::new();
        let mut sharing = Sharing::new(fill);
        let mut ticks = tokio::time::interval_at(Instant::now() + INTERVAL, INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                Some((ended, pace)) = parts.next(), if !parts.is_empty() => sharing.note_end(&ended, pace),
                _ = ticks.tick() => {
                    if fill.is_relaying() {
                        // From here on the bytes are needed in order.
                        fill.claims().set_part_bytes(u64::MAX);
                        return;
                    }
                    if fill.claims().end_lost(size) {
                        debug!(registry = %self.registry(), digest = %self.digest, "a transfer is far slower than the others and is ended");
                    }
                    let remaining_bytes = spool.gaps(size).iter().map(oci::ByteRange::len).sum();
                    let flow = sharing.measure(fill, remaining_bytes, parts.len() + 1);
                    let plan = sharing.plan(&flow);
                    // A blob without clients gets only one connection.
                    let may_add = flow.connections < connections_max
                        && fill.has_clients()
                        // A further connection would only share what wharf lets through.
                        && !self.blobs.shared.bandwidths.upstream.is_spent()
                        && self.may_ask_for_parts(fill);
                    if self.may_ask_for_parts(fill) {
                        sharing.set_part_bytes(fill, &flow, plan == Plan::Add && may_add);
                    } else {
                        // With each part the upstream would send all bytes before it.
                        sharing.wanted = 0;
                        fill.claims().set_part_bytes(u64::MAX);
                    }
                    if plan == Plan::Add
                        && may_add
                        && let Some(part) = self.start_part(fill, spool, size, None)
                    {
                        sharing.begin_trial(&flow);
                        parts.push(part);
                    }
                }
            }
            while parts.len() < sharing.wanted
                && self.may_ask_for_parts(fill)
                && let Some(part) = self.start_part(fill, spool, size, sharing.idle)
            {
                parts.push(part);
            }
        }
    }

    /// The transfer of the next part; `None`: nothing is left to share, or the registry has enough
    /// connections.
    fn start_part<'a>(
        &'a self,
        fill: &'a Arc<Fill>,
        spool: &'a Arc<Spool>,
        size: u64,
        idle: Option<Pace>,
    ) -> Option<impl Future<Output = (Result<(), Stop>, Option<Pace>)> + use<'a>> {
        let connection = self.blobs.connections.try_open(self.settings().connections_max)?;
        let (span, range) = fill.claims().claim_part(|| spool.gaps(size), idle)?;
        let claimed = Claimed::new(fill, span, connection);
        self.metrics().part_started();
        debug!(registry = %self.registry(), digest = %self.digest, start = range.start, end = range.end, "fetching a part beside the front");
        let mut sink = Sink::Spool(spool.clone());
        Some(async move {
            let fetched = self.fetch(fill, &mut sink, (span, range), Role::Part).await;
            let pace = claimed.give_back();
            if let Err(stop) = &fetched {
                // The next claim includes its missing bytes.
                debug!(registry = %self.registry(), digest = %self.digest, ?stop, "a part ended early");
            }
            (fetched, pace)
        })
    }
}

impl Sharing {
    fn new(fill: &Fill) -> Self {
        Self {
            wanted: 0,
            is_settled: false,
            trial: None,
            replaced_count: 0,
            idle: None,
            measured: VecDeque::from([(Instant::now(), fill.claims().shared_bytes())]),
            rate: 0,
            rate_before: 0,
        }
    }

    fn measure(&mut self, fill: &Fill, remaining_bytes: u64, connections: usize) -> Flow {
        let (now, received_bytes) = (Instant::now(), fill.claims().shared_bytes());
        let rate_since = |(at, before): &(Instant, u64)| {
            let elapsed_ms = u64::try_from((now - *at).as_millis()).unwrap_or(u64::MAX).max(1);
            (received_bytes - before).saturating_mul(1000) / elapsed_ms
        };
        self.rate_before = self.rate;
        self.rate = self.measured.back().map_or(0, rate_since);
        let rate_for_long = self.measured.front().filter(|(at, _)| now - *at >= STEADY_TIME).map(rate_since);
        self.measured.push_back((now, received_bytes));
        while self.measured.get(1).is_some_and(|(at, _)| now - *at >= STEADY_TIME) {
            self.measured.pop_front();
        }
        let trial = self.trial.map(|(trial, since)| Trial { age: since.elapsed(), ..trial });
        Flow {
            remaining_bytes,
            rate: self.rate,
            rate_before: self.rate_before,
            rate_for_long,
            connections,
            trial,
        }
    }

    /// Decides the next step, and clears a trial that has ended.
    fn plan(&mut self, flow: &Flow) -> Plan {
        let plan = if self.is_settled { Plan::Wait } else { connections::plan(flow) };
        match plan {
            Plan::Wait => {}
            Plan::Pass | Plan::Add => self.trial = None,
            Plan::Settle => {
                self.wanted = self.wanted.saturating_sub(1);
                self.is_settled = true;
                self.trial = None;
            }
        }
        plan
    }

    fn begin_trial(&mut self, flow: &Flow) {
        self.wanted += 1;
        let trial =
            Trial { rate: flow.mean_rate(), connections: flow.connections, age: std::time::Duration::ZERO };
        self.trial = Some((trial, Instant::now()));
    }

    /// While a blob is not shared, the front fetches the rest in one piece.
    fn set_part_bytes(&self, fill: &Fill, flow: &Flow, adds_one: bool) {
        let connections = self.wanted + 1 + usize::from(adds_one);
        let part_bytes = match connections {
            1 => u64::MAX,
            _ => connections::part_bytes(&Flow { connections, ..*flow }),
        };
        fill.claims().set_part_bytes(part_bytes);
    }

    /// Notes the end of a part. A failed one costs its connection, and the trial if there is one. A part that
    /// was taken over is followed by another, and the trial begins again: one connection was slow, and not
    /// the shared line.
    fn note_end(&mut self, ended: &Result<(), Stop>, pace: Option<Pace>) {
        self.idle = pace;
        match ended {
            Ok(()) => {}
            Err(Stop::TakenOver) if self.replaced_count < REPLACED_COUNT_MAX => {
                if let Some((_, since)) = &mut self.trial {
                    self.replaced_count += 1;
                    *since = Instant::now();
                }
            }
            Err(_) => {
                self.wanted = self.wanted.saturating_sub(1);
                self.is_settled |= self.trial.take().is_some();
            }
        }
    }
}
