//! Decides how many connections and answers a process accepts at once, so that files and upstream connections
//! remain for each accepted client.
//!
//! One plan covers the whole process. It depends on the limits of the system and on the operator's settings.
//! No other code computes a share.

/// The default bound on client connections.
pub const CONNECTIONS: usize = 10_000;

/// The default bound on requests that are being answered.
pub const ANSWERS: usize = 8_192;

/// Descriptors that the process needs beside its clients' connections and answers: for listeners, logs and
/// locks, for the admin listener's connections and those that are turned away, and for idle connections to
/// upstreams.
const OWN_COUNT: usize = 512;

/// The share of all answers, in eighths, that may have an upstream request in flight.
const ASKING_EIGHTHS: usize = 3;

/// Descriptors for all answers, in eighths of their number. Each answer reads from a file, and an answer with
/// an upstream request has a connection too. (A transfer writes to the file that its readers read from. One
/// that outlives all its clients has a file of its own, and [`OWN_COUNT`] has room for some hundreds of
/// these.)
const DESCRIPTOR_EIGHTHS: usize = 8 + ASKING_EIGHTHS;

/// The most small blobs that all stores together keep open.
const KEPT_OPEN_COUNT_MAX: usize = 4096;

/// If descriptors are few, one in this many is for a small blob that is kept open.
const KEPT_OPEN_SHARE: usize = 10;

/// The most bytes of small blobs in transfer that all stores together hold in memory.
const COLLECTED_BYTES_MAX: u64 = 32 << 20;

/// Small blobs of all stores together that are whole and wait for the disk, each with an open file.
const UNSTORED_COUNT_MAX: usize = 1024;

/// However many registries there are, each may have so many, so that a slow disk makes them durable together.
const UNSTORED_COUNT_MIN: usize = 16;

/// Logins of clients that upstreams have accepted and that all registries together remember, each with the
/// tables of its client.
const PROVED_COUNT_MAX: usize = 1024;

/// Other logins of clients that all registries together remember.
const UNPROVED_COUNT_MAX: usize = 256;

/// Of these, one registry remembers no more than this, and no fewer however many registries there are.
const PROVED_COUNTS_OF_ONE: (usize, usize) = (16, 256);
const UNPROVED_COUNTS_OF_ONE: (usize, usize) = (8, 64);

/// With fewer descriptors wharf refuses to start, unless they suffice for all wanted bounds: a server for a
/// handful of clients only seems to work.
const DESCRIPTORS_MIN: usize = 1024;

/// If the operator set only one of the two bounds, the other keeps one part in this many of the descriptors.
const KEPT_FOR_THE_OTHER: usize = 4;

/// The bounds that the operator set; `None` leaves a bound to wharf.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Client connections at once.
    pub connections: Option<usize>,
    /// Connections of one client.
    pub per_client: Option<usize>,
    /// Requests that are answered at once.
    pub answers: Option<usize>,
}

/// The bounds of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Client connections at once.
    pub connections: usize,
    /// Connections of one client. By default half of all connections, so that the other half remains for
    /// other clients.
    pub per_client: usize,
    /// Requests that are answered at once.
    pub answers: usize,
    /// The part of the answers that may depend on one registry's upstream.
    pub per_registry: UpstreamShare,
    /// The part of the answers that may depend on all upstreams together.
    pub all: UpstreamShare,
    /// Small blobs that one registry's store may keep open.
    pub kept_open: usize,
    /// Bytes of small blobs in transfer that one registry's store may hold in memory.
    pub collected_bytes: u64,
    /// Small blobs of one registry that may be whole and wait for the disk.
    pub unstored: usize,
    /// Set if the descriptors do not suffice for all wanted bounds.
    pub shortfall: Option<Shortfall>,
}

/// The answers that may depend on upstreams. One upstream that hangs leaves room for the others, and several
/// that hang leave room for stored content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpstreamShare {
    /// Requests that wait for an upstream or are served along a transfer from it.
    pub waiting: usize,
    /// Requests to an upstream and transfers from it, each shared by any number of clients' requests.
    pub asking: usize,
}

/// The logins of clients that one registry remembers, if its clients pull with their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoginShare {
    /// Logins that the upstream has accepted.
    pub proved: usize,
    /// Others.
    pub unproved: usize,
}

impl LoginShare {
    /// Returns one registry's share if the clients of `registry_count` registries pull with their own logins.
    pub fn of_one(registry_count: usize) -> Self {
        let share = |all: usize, (min, max): (usize, usize)| (all / registry_count.max(1)).clamp(min, max);
        Self {
            proved: share(PROVED_COUNT_MAX, PROVED_COUNTS_OF_ONE),
            unproved: share(UNPROVED_COUNT_MAX, UNPROVED_COUNTS_OF_ONE),
        }
    }
}

/// The descriptors do not suffice for all wanted bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortfall {
    /// The number of descriptors that would suffice.
    pub descriptors_needed: usize,
    /// Whether a bound is less than the operator set, and not only less than a default.
    pub is_less_than_asked: bool,
}

/// There are too few descriptors to serve at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooFewDescriptors {
    /// The number of descriptors available.
    pub descriptors: usize,
    /// The number that a start needs.
    pub descriptors_min: usize,
    /// The number that would suffice for all wanted bounds.
    pub descriptors_needed: usize,
}

impl UpstreamShare {
    /// Returns one registry's share of `answers`: three quarters may wait for it, and a quarter may have
    /// requests to it.
    pub const fn of_one(answers: usize) -> Self {
        Self { waiting: eighths(answers, 6), asking: eighths(answers, 2) }
    }

    /// Returns the share of `answers` for all registries together: seven eighths may wait, and three eighths
    /// may have requests.
    pub const fn of_all(answers: usize) -> Self {
        // Round down, so that one answer remains for hits even if there are few.
        let waiting = answers.saturating_mul(7) / 8;
        Self { waiting: if waiting == 0 { 1 } else { waiting }, asking: eighths(answers, ASKING_EIGHTHS) }
    }
}

/// Plans the bounds of a process that may have `descriptors` (`None`: any number) and serves `registry_count`
/// registries.
///
/// # Errors
/// [`TooFewDescriptors`] if `descriptors` suffice neither for all wanted bounds nor for a start.
pub fn plan(
    descriptors: Option<usize>,
    wanted: &Wanted,
    registry_count: usize,
) -> Result<Capacity, TooFewDescriptors> {
    let connections = wanted.connections.unwrap_or(CONNECTIONS);
    let answers = wanted.answers.unwrap_or(ANSWERS);
    let kept_open = descriptors.map_or(KEPT_OPEN_COUNT_MAX, kept_open_of);
    let capacity = |connections, answers, shortfall| {
        let registry_count = registry_count.max(1);
        Capacity {
            connections,
            per_client: per_client(wanted, connections),
            answers,
            per_registry: UpstreamShare::of_one(answers),
            all: UpstreamShare::of_all(answers),
            kept_open: kept_open / registry_count,
            collected_bytes: COLLECTED_BYTES_MAX / registry_count as u64,
            unstored: (UNSTORED_COUNT_MAX / registry_count).max(UNSTORED_COUNT_MIN),
            shortfall,
        }
    };
    let clients_need = connections.saturating_add(descriptors_of(answers));
    let Some(descriptors) = descriptors else { return Ok(capacity(connections, answers, None)) };
    let available = descriptors.saturating_sub(OWN_COUNT + kept_open);
    if available >= clients_need {
        return Ok(capacity(connections, answers, None));
    }
    let descriptors_needed = clients_need.saturating_add(OWN_COUNT + KEPT_OPEN_COUNT_MAX);
    if descriptors < DESCRIPTORS_MIN {
        return Err(TooFewDescriptors { descriptors, descriptors_min: DESCRIPTORS_MIN, descriptors_needed });
    }
    let (fitted_connections, fitted_answers) = fit(wanted, connections, answers, available);
    let mut fitted = capacity(fitted_connections, fitted_answers, None);
    let is_less = |asked: Option<usize>, given: usize| asked.is_some_and(|asked| given < asked);
    let is_less_than_asked = is_less(wanted.connections, fitted.connections)
        || is_less(wanted.per_client, fitted.per_client)
        || is_less(wanted.answers, fitted.answers);
    fitted.shortfall = Some(Shortfall { descriptors_needed, is_less_than_asked });
    Ok(fitted)
}

/// Divides `available` descriptors between connections and answers that together want more.
fn fit(wanted: &Wanted, connections: usize, answers: usize, available: usize) -> (usize, usize) {
    let most = available - available / KEPT_FOR_THE_OTHER;
    let (for_connections, for_answers) = match (wanted.connections, wanted.answers) {
        // The operator's bound takes precedence over the default.
        (Some(asked), None) => {
            let given = asked.min(most);
            (given, available - given)
        }
        (None, Some(asked)) => {
            let given = descriptors_of(asked).min(most);
            (available - given, given)
        }
        // Both shrink by the same factor.
        (Some(_), Some(_)) | (None, None) => {
            let need = connections as f64 + answers as f64 * (DESCRIPTOR_EIGHTHS as f64 / 8.0);
            let fitted = |count: usize| (count as f64 / need * available as f64) as usize;
            return (fitted(connections).max(1), fitted(answers).max(1));
        }
    };
    let fitted_answers = for_answers.saturating_mul(8) / DESCRIPTOR_EIGHTHS;
    (for_connections.min(connections).max(1), fitted_answers.min(answers).max(1))
}

/// Returns one client's bound out of `connections`. A setting shrinks in proportion to the connections, but
/// never below half of them: the other half is enough for other clients.
fn per_client(wanted: &Wanted, connections: usize) -> usize {
    let half = connections.div_ceil(2);
    let Some(asked) = wanted.per_client else { return half };
    let all = wanted.connections.unwrap_or(CONNECTIONS);
    if connections >= all {
        return asked;
    }
    let part = (connections as f64 * (asked as f64 / all as f64)).ceil() as usize;
    asked.min(part.max(half)).min(connections)
}

/// Returns the number of small blobs that all stores together may keep open with this many descriptors.
fn kept_open_of(descriptors: usize) -> usize {
    (descriptors / KEPT_OPEN_SHARE).min(KEPT_OPEN_COUNT_MAX)
}

fn descriptors_of(answers: usize) -> usize {
    eighths(answers, DESCRIPTOR_EIGHTHS)
}

const fn eighths(count: usize, eighths: usize) -> usize {
    count.saturating_mul(eighths).div_ceil(8)
}

#[cfg(test)]
mod tests;
