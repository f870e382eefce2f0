//! Panics are counted where they strike: the tasks that they end are of many rooms, and some are nobody's.

use std::panic;
use std::sync::Arc;

use telemetry::Metrics;

/// Counts every panic of the process from now on, before it is printed as ever.
pub(crate) fn count_in(metrics: Arc<Metrics>) {
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |what| {
        metrics.panicked();
        print(what);
    }));
}

#[cfg(test)]
mod tests;
