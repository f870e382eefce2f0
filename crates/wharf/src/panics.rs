//! Counts panics in the hook, because no caller sees the end of some tasks.

use std::panic;
use std::sync::Arc;

use telemetry::Metrics;

/// Counts every panic of the process from now on, and then runs the hook before it, which prints the panic.
pub(crate) fn count_in(metrics: Arc<Metrics>) {
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |what| {
        metrics.panicked();
        print(what);
    }));
}

#[cfg(test)]
mod tests;
