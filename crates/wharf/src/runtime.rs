//! The runtime that serves, and in which order it does what is ready.

use tokio::runtime::Builder;

/// After so many turns of connections at most, sockets and timers are looked at. The runtime's own 61 are meant
/// for turns of microseconds; one that encrypts takes a hundred of them.
const EVENT_INTERVAL: u32 = 31;

/// No more of what is ready is taken from the kernel at a time, so that all of it has had its turn before the next look.
/// With more, a crowd's connections go over from a thread's own queue of 256 into one that is looked at last, and those
/// that answer at once overtake them again and again.
const EVENT_COUNT_MAX: usize = EVENT_INTERVAL as usize;

/// A runtime yet to be built.
pub(crate) fn builder() -> Builder {
    let mut builder = Builder::new_multi_thread();
    builder
        .enable_all()
        .event_interval(EVENT_INTERVAL)
        .max_io_events_per_tick(EVENT_COUNT_MAX)
        .thread_name("wharf");
    builder
}

#[cfg(test)]
mod tests;
