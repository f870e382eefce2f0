//! How late the runtime's timers are: what everybody waits for its threads, whoever holds them up.

use std::sync::Arc;
use std::time::Duration;

use telemetry::Metrics;
use tokio::runtime::Handle;
use tokio::time::Instant;

/// Between two looks at a runtime that rests.
const INTERVAL_AT_REST: Duration = Duration::from_millis(100);

/// Between two looks at one that is at work: often enough for the 99th percentile of a busy second.
const INTERVAL_AT_WORK: Duration = Duration::from_millis(5);

/// The share of a thread's time from which on a runtime is at work: more than looking at it often takes.
const WORK_MIN: f64 = 0.02;

/// Measures for ever. Each look is due at its time whenever the one before it came: a stall makes all
/// that fall into it late, as it would have made requests.
pub(crate) async fn watch(metrics: Arc<Metrics>) {
    let mut interval = INTERVAL_AT_REST;
    let (mut due, mut busy) = (Instant::now(), busy());
    loop {
        due += interval;
        tokio::time::sleep_until(due).await;
        let late = due.elapsed();
        metrics.timer_late(late);
        if late >= interval {
            // The looks that fell into a stall come one after the other, as often as they were due.
            continue;
        }
        let busy_before = std::mem::replace(&mut busy, self::busy());
        let is_at_work = busy.saturating_sub(busy_before) > interval.mul_f64(WORK_MIN);
        interval = if is_at_work { INTERVAL_AT_WORK } else { INTERVAL_AT_REST };
    }
}

/// What the runtime's threads have worked so far, all together.
fn busy() -> Duration {
    let metrics = Handle::current().metrics();
    (0..metrics.num_workers()).map(|worker| metrics.worker_total_busy_duration(worker)).sum()
}

#[cfg(test)]
mod tests;
