//! The limits of the process: as many files as the system grants, no more promised to clients than there are, and no
//! core file.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use server::Settings;

/// What the process opens beside its clients' connections and answers: listeners, logs and locks, the admin
/// listener's connections, those that are turned away, and idle connections to upstreams.
const OWN_COUNT: usize = 512;

/// So many eighths of all answers may each have asked an upstream.
pub(crate) const ASKING_EIGHTHS: usize = 3;

/// What all answers take, in eighths of their number: each the file that it is read from, and those that have asked an
/// upstream a connection to it. (What comes in is read from the file that the transfer writes. One that outlives all
/// its clients has a file beside these, of which [`OWN_COUNT`] has room for some hundreds.)
const ANSWERS_TAKE_EIGHTHS: usize = 8 + ASKING_EIGHTHS;

/// Small blobs that all stores together keep open.
const KEPT_OPEN_COUNT_MAX: usize = 4096;

/// Where descriptors are few, one of so many is for a small blob that is kept open.
const KEPT_OPEN_SHARE: usize = 10;

/// Raises the limit of this process to what it may have, and returns it; none: there is no limit. The soft limit is
/// low for the sake of programs that use select(2) (systemd.exec(5), "Process Properties"), which this one does not.
pub(crate) fn raise_limit() -> Option<usize> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let limit = if raised.is_ok() { maximum } else { current };
    limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

/// Keeps the memory, which holds passwords, out of core files (getrlimit(2), `RLIMIT_CORE`).
pub(crate) fn forbid_core_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Core);
    // A limit may always be lowered; where even that is refused, nothing is worse than before.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum });
}

/// How many small blobs all stores together may keep open within `limit` descriptors.
pub(crate) fn kept_open(limit: Option<usize>) -> usize {
    limit.map_or(KEPT_OPEN_COUNT_MAX, |limit| (limit / KEPT_OPEN_SHARE).min(KEPT_OPEN_COUNT_MAX))
}

/// Fewer descriptors than this are refused where the bounds do not fit into them: a server for a handful of clients
/// looks as if it worked.
const LIMIT_MIN: usize = 1024;

/// With fewer connections than this, the operator is warned: one large cluster opens as many.
const EASY_CONNECTION_COUNT_MIN: usize = 2000;

/// So few descriptors that serving would be a pretence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "open-file limit is {limit}, which is too few for a server; raise it to {LIMIT_MIN} at least, better to {wanted} \
     (LimitNOFILE=, --ulimit nofile)"
)]
pub(crate) struct TooFew {
    limit: usize,
    wanted: usize,
}

/// The bounds were lowered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shortage {
    /// What to tell the operator.
    pub(crate) text: String,
    /// Whether it is likely to be felt.
    pub(crate) is_grave: bool,
}

/// Lowers the bounds of `settings` to what fits into `limit` descriptors: a client that is accepted must find files
/// and upstream connections left. Returns what to tell the operator, if they were lowered.
///
/// # Errors
/// [`TooFew`].
pub(crate) fn fit(settings: &mut Settings, limit: Option<usize>) -> Result<Option<Shortage>, TooFew> {
    let (connection_count, answer_count) = (settings.connection_count_max, settings.answer_count_max);
    let answers_take = answer_count.saturating_mul(ANSWERS_TAKE_EIGHTHS).div_ceil(8);
    let wanted_by_clients = connection_count.saturating_add(answers_take);
    let Some(limit) = limit else { return Ok(None) };
    let available = limit.saturating_sub(OWN_COUNT + kept_open(Some(limit)));
    if available >= wanted_by_clients {
        return Ok(None);
    }
    let wanted = wanted_by_clients.saturating_add(OWN_COUNT + KEPT_OPEN_COUNT_MAX);
    if limit < LIMIT_MIN {
        return Err(TooFew { limit, wanted });
    }
    // Connections and answers are lowered alike.
    let fitted = |count: usize| (count as f64 / wanted_by_clients as f64 * available as f64) as usize;
    settings.connection_count_max = fitted(connection_count).max(1);
    settings.answer_count_max = fitted(answer_count).max(1);
    let share = settings.client_connection_count_max as f64 / connection_count as f64;
    let client_count = (settings.connection_count_max as f64 * share).ceil() as usize;
    settings.client_connection_count_max = settings.client_connection_count_max.min(client_count);
    let text = format!(
        "open-file limit is {limit}: serving at most {} connections and {} requests at once (wanted {connection_count} \
         and {answer_count}). For more, raise it to {wanted} (LimitNOFILE=, --ulimit nofile)",
        settings.connection_count_max, settings.answer_count_max
    );
    Ok(Some(Shortage { text, is_grave: settings.connection_count_max < EASY_CONNECTION_COUNT_MIN }))
}

#[cfg(test)]
mod tests;
