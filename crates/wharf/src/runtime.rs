//! The runtime that serves, and the order in which it runs ready tasks.

use tokio::runtime::Builder;

/// The most task polls between two checks of sockets and timers. The runtime's default of 61 is meant for
/// polls of microseconds; a poll that encrypts takes a hundred of them.
const EVENT_INTERVAL: u32 = 31;

/// The most events taken from the kernel at a time, so that each has been polled before the next check. With
/// more, a crowd's connections overflow from a thread's local queue of 256 into the global queue, which is
/// polled last, and connections with quick answers overtake them again and again.
const EVENT_COUNT_MAX: usize = EVENT_INTERVAL as usize;

/// The builder of the runtime.
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
