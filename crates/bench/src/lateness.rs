//! The delay of timers on a server's runtime, from wharf's own metrics.

use std::io;

use crate::admin;
use crate::peer::Peer;
use crate::report::Figures;

const BUCKET: &str = "wharf_runtime_lateness_seconds_bucket{le=\"";

/// The longest acceptable delay, in seconds; it is one of the metric's bounds.
const BEARABLE: f64 = 0.005;

/// The metric's buckets: their upper bounds in seconds, and the number of measurements within each.
#[derive(Clone, Debug)]
pub(crate) struct Lateness(Vec<(f64, f64)>);

impl Lateness {
    /// The server's counts so far; `None` if it has no such metric.
    pub(crate) fn read(peer: &Peer) -> io::Result<Option<Self>> {
        if peer.admin.is_none() {
            return Ok(None);
        }
        let text = admin::get(peer, "/metrics")?;
        let buckets = text.lines().filter_map(|line| {
            let (bound, count) = line.strip_prefix(BUCKET)?.split_once("\"} ")?;
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? };
            Some((bound, count.parse().ok()?))
        });
        let buckets: Vec<_> = buckets.collect();
        Ok((!buckets.is_empty()).then_some(Self(buckets)))
    }

    /// The measurements since `before`: the bound of the bucket with the 99th percentile, in milliseconds,
    /// and the share above the acceptable delay, in percent.
    pub(crate) fn since(&self, before: &Self) -> Figures {
        let counts: Vec<(f64, f64)> =
            self.0.iter().zip(&before.0).map(|(now, before)| (now.0, now.1 - before.1)).collect();
        let all = counts.last().map_or(0.0, |(_, count)| *count);
        let within = |share: f64| counts.iter().find(|(_, count)| *count >= all * share);
        let bearable = counts.iter().rfind(|(bound, _)| *bound <= BEARABLE).map_or(0.0, |(_, count)| *count);
        vec![
            ("timer p99 within ms", within(0.99).map_or(f64::NAN, |(bound, _)| bound * 1e3)),
            ("timer > 5 ms late %", (all - bearable) / all * 100.0),
        ]
    }
}

/// The delays of timers on `server` during `measure`, as figures; none for a server without this metric.
pub(crate) fn during(server: &Peer, measure: impl FnOnce() -> io::Result<Figures>) -> io::Result<Figures> {
    let before = Lateness::read(server)?;
    let mut figures = measure()?;
    if let (Some(before), Some(after)) = (before, Lateness::read(server)?) {
        figures.extend(after.since(&before));
    }
    Ok(figures)
}
