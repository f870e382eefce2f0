//! File descriptors: as many as the system grants, and no more promised to clients than there are.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use server::Settings;

/// What the process opens beside its clients' connections and answers: listeners, logs and locks, the admin
/// listener's connections, those that are turned away, and idle connections to upstreams.
const OWN_COUNT: usize = 512;

/// An answer opens the file that it is read from; and so many eighths of all answers may each have asked an upstream,
/// over a connection of its own.
pub(crate) const ASKING_EIGHTHS: usize = 3;

/// Raises the limit of this process to what it may have, and returns it; none: there is no limit. The soft limit is
/// low for the sake of programs that use select(2) (systemd.exec(5), "Process Properties"), which this one does not.
pub(crate) fn raise_limit() -> Option<usize> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let limit = if raised.is_ok() { maximum } else { current };
    limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

/// Lowers the bounds of `settings` to what fits into `limit` descriptors: a client that is accepted must find files
/// and upstream connections left. Returns what to tell the operator, if they were lowered.
pub(crate) fn fit(settings: &mut Settings, limit: Option<usize>) -> Option<String> {
    let (connection_count, answer_count) = (settings.connection_count_max, settings.answer_count_max);
    let answers_take = answer_count.saturating_mul(8 + ASKING_EIGHTHS).div_ceil(8);
    let wanted = connection_count.saturating_add(answers_take).saturating_add(OWN_COUNT);
    let limit = limit.filter(|limit| *limit < wanted)?;
    // One half for the connections, the other for what their answers open.
    let half = limit.saturating_sub(OWN_COUNT) / 2;
    settings.connection_count_max = connection_count.min(half).max(1);
    settings.answer_count_max = answer_count.min(half * 8 / (8 + ASKING_EIGHTHS)).max(1);
    let share = settings.client_connection_count_max as f64 / connection_count as f64;
    let client_count = (settings.connection_count_max as f64 * share).ceil() as usize;
    settings.client_connection_count_max = settings.client_connection_count_max.min(client_count);
    Some(format!(
        "this process may open {limit} files: {} connections and {} answers at once are served, not {connection_count} \
         and {answer_count}; raise the limit of open files to {wanted} (LimitNOFILE of systemd, nofile of a container)",
        settings.connection_count_max, settings.answer_count_max
    ))
}

#[cfg(test)]
mod tests;
