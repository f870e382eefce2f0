//! Measures the scheduling delay of the runtime's timers: the time that every task waits for a thread.

use std::sync::Arc;
use std::time::Duration;

use telemetry::Metrics;
use tokio::runtime::Handle;
use tokio::time::Instant;

/// Between two measurements of an idle runtime.
const IDLE_INTERVAL: Duration = Duration::from_millis(100);

/// Between two measurements of a busy runtime: enough samples for the 99th percentile of one second.
const BUSY_INTERVAL: Duration = Duration::from_millis(5);

/// The share of one thread's time above which a runtime is busy. Measuring often takes less.
const BUSY_SHARE_MIN: f64 = 0.02;

/// Measures for ever. Measurements have fixed due times, so a stall delays every one that falls into it, as
/// it delays requests.
pub(crate) async fn watch(metrics: Arc<Metrics>) {
    let mut interval = IDLE_INTERVAL;
    let (mut due, mut busy) = (Instant::now(), busy());
    loop {
        due += interval;
        tokio::time::sleep_until(due).await;
        let late = due.elapsed();
        metrics.timer_late(late);
        if late >= interval {
            // Catch up on the measurements that were due during the stall.
            continue;
        }
        let busy_before = std::mem::replace(&mut busy, self::busy());
        let is_busy = busy.saturating_sub(busy_before) > interval.mul_f64(BUSY_SHARE_MIN);
        interval = if is_busy { BUSY_INTERVAL } else { IDLE_INTERVAL };
    }
}

/// The time that all threads of the runtime have been busy so far.
fn busy() -> Duration {
    let metrics = Handle::current().metrics();
    (0..metrics.num_workers()).map(|worker| metrics.worker_total_busy_duration(worker)).sum()
}

#[cfg(test)]
mod tests;
