//! A backend's rules and bounds.

use std::time::{Duration, SystemTime};

use policy::capacity::{self, UpstreamShare};
use policy::freshness::TagRule;

/// The rules and bounds of one backend.
#[derive(Clone, Debug)]
pub struct Settings {
    /// When a tag is checked again, and what stands in when the upstream cannot be asked.
    pub tags: TagRule,
    /// Whether stored blobs are linked to the repositories through which the upstream granted them. True
    /// for a registry with credentials: there one repository's grant proves nothing for another.
    pub links: bool,
    /// With `links`: how long the upstream's grant holds before it is asked again.
    pub auth_ttl: Duration,
    /// Whether `_catalog` answers.
    pub catalog: bool,
    /// Whether one-part repository names get `library/` put in front, as on Docker Hub.
    pub hub_names: bool,
    /// Blobs up to this size, in bytes, are verified before the first byte leaves.
    pub verify_first_bytes_max: u64,
    /// The time for which a not-found or a refusal is remembered.
    pub negative_ttl: Duration,
    /// The longest a manifest request waits for the upstream before it gets a stale copy or an error.
    pub manifest_deadline: Duration,
    /// The time that a range far ahead of a fill waits for it before a transfer of its own is started.
    pub far_range_wait: Duration,
    /// Transfers that one fill may run side by side for its front and for ranges far ahead of it.
    pub transfers_per_fill_max: usize,
    /// Connections that may share one large blob, the first one included, where that makes it come faster.
    pub connections_per_blob_max: usize,
    /// A blob gets a further connection only while fewer than this many bring blobs from the registry.
    pub connections_max: usize,
    /// Layers of one image that are fetched ahead of the client that downloads it, at a time; 0: none.
    pub read_ahead_count: usize,
    /// The longest a fill goes on without a new byte before it gives up.
    pub fill_stall_max: Duration,
    /// The longest time for which a body may bring less than 1 KiB/s before it is resumed.
    pub drip_max: Duration,
    /// Requests that wait for the upstream or are served along a transfer from it. A further one is refused at once.
    pub waiting_count_max: usize,
    /// Requests to the upstream and transfers from it, each shared by any number of clients. A further one is refused at
    /// once.
    pub asking_count_max: usize,
    /// The wall clock, by which records are dated and aged. It may be set at any time, in either direction.
    pub wall_clock: fn() -> SystemTime,
}

impl Settings {
    /// The default of `auth_ttl`.
    pub const AUTH_TTL: Duration = Duration::from_secs(15 * 60);
    /// The default of `catalog`.
    pub const CATALOG: bool = true;
    /// The default of `connections_per_blob_max`. What throttles each connection seldom leaves less than a quarter of
    /// a line to one. And a browser opens no fewer to one host.
    pub const CONNECTIONS_PER_BLOB: usize = 4;
    /// The default of `connections_max`: four clients that pull three blobs at a time, and a large blob beside them.
    pub const CONNECTIONS: usize = 16;

    /// The default of `read_ahead_count`: with the three layers that clients download at a time, less than half of
    /// [`CONNECTIONS`](Self::CONNECTIONS).
    pub const READ_AHEAD: usize = 4;

    /// The defaults for a public registry under `tags`.
    pub fn new(tags: TagRule) -> Self {
        let share = UpstreamShare::of_one(capacity::ANSWERS);
        Self {
            tags,
            links: false,
            auth_ttl: Self::AUTH_TTL,
            catalog: Self::CATALOG,
            hub_names: false,
            verify_first_bytes_max: 256 * 1024,
            negative_ttl: Duration::from_secs(3),
            manifest_deadline: Duration::from_secs(10),
            far_range_wait: Duration::from_secs(1),
            transfers_per_fill_max: 4,
            connections_per_blob_max: Self::CONNECTIONS_PER_BLOB,
            connections_max: Self::CONNECTIONS,
            read_ahead_count: Self::READ_AHEAD,
            fill_stall_max: Duration::from_secs(45),
            drip_max: Duration::from_secs(30),
            waiting_count_max: share.waiting,
            asking_count_max: share.asking,
            wall_clock: SystemTime::now,
        }
    }

    /// The same, with rules that do not undo each other.
    pub(crate) fn consistent(mut self) -> Self {
        if self.links {
            // A tag that is served unasked is a grant that is not asked again.
            self.tags.ttl = self.tags.ttl.min(self.auth_ttl);
        }
        self
    }

    /// The same, waiting for an upstream as long as that is allowed to take: `header_timeout` for each answer's head,
    /// `idle_timeout` between two bytes. What depends on one waits no shorter than the one itself.
    #[must_use]
    pub fn waiting(self, header_timeout: Duration, idle_timeout: Duration) -> Self {
        Self {
            // One answer for the tag, and one for the manifest itself.
            manifest_deadline: header_timeout.saturating_mul(2),
            drip_max: self.drip_max.max(idle_timeout),
            // Silence ends one transfer, and the next one has the half of it to begin.
            fill_stall_max: self.fill_stall_max.max(idle_timeout.saturating_add(idle_timeout / 2)),
            ..self
        }
    }
}
