//! A backend's rules and bounds.

use std::num::NonZeroU64;
use std::time::{Duration, SystemTime};

use policy::capacity::{self, UpstreamShare};
use policy::freshness::{TagRule, TagTtl};

/// The rules and bounds of one backend.
#[derive(Clone, Debug)]
pub struct Settings {
    /// When a tag is checked again, and when a stale one may be served.
    pub tags: TagRule,
    /// For tags that match a pattern, another time until the next check than `tags.ttl`. The first match
    /// counts.
    pub tag_ttls: Vec<TagTtl>,
    /// Whether stored content is linked to the repositories to which the upstream granted it. True for a
    /// registry with credentials: there one repository's grant proves nothing for another.
    pub links: bool,
    /// How long a word of the upstream about access is valid before it is asked again: with `links` a grant,
    /// and for clients that get only public repositories, that one is public.
    pub auth_ttl: Duration,
    /// Whether each client pulls with its own login. Then a refusal is about one login, and takes nothing
    /// away from the store.
    pub passthrough: bool,
    /// Whether `_catalog` is served.
    pub catalog: bool,
    /// Whether one-part repository names get the prefix `library/`, as on Docker Hub.
    pub hub_names: bool,
    /// Blobs up to this size, in bytes, are verified before a client gets the first byte.
    pub verify_first_bytes_max: u64,
    /// The time for which a not-found or a refusal is remembered.
    pub negative_ttl: Duration,
    /// The longest a manifest request waits for the upstream before it gets a stale copy or an error.
    pub manifest_deadline: Duration,
    /// The time that a client's range far ahead of the front waits before it gets its own transfer.
    pub far_range_wait: Duration,
    /// The most transfers of one fill for its front and for far ranges together.
    pub transfers_per_fill_max: usize,
    /// The most connections that share one large blob to make it faster, including the first one.
    pub connections_per_blob_max: usize,
    /// A blob gets a further connection only while fewer than this number fetch blobs from the registry.
    pub connections_max: usize,
    /// Layers of one image that are fetched at a time ahead of the client that downloads it; 0: none.
    pub read_ahead_count: usize,
    /// Bytes per second from the upstream, for all transfers together; `None`: no limit.
    pub upstream_bandwidth: Option<NonZeroU64>,
    /// Bytes per second to clients, for all answers together; `None`: no limit.
    pub client_bandwidth: Option<NonZeroU64>,
    /// The longest time that a fill continues without a new byte before it fails.
    pub fill_stall_max: Duration,
    /// The longest time that a body may be slower than 1 KiB/s before it is resumed.
    pub drip_max: Duration,
    /// Requests that wait for the upstream or follow a transfer from it. A further one is refused at once.
    pub waiting_count_max: usize,
    /// Requests to the upstream and transfers from it, each shared by any number of clients. A further one is
    /// refused at once.
    pub asking_count_max: usize,
    /// The wall clock, which dates records. It may be set at any time, in either direction.
    pub wall_clock: fn() -> SystemTime,
}

impl Settings {
    /// The default of `auth_ttl`.
    pub const AUTH_TTL: Duration = Duration::from_secs(15 * 60);
    /// The default of `catalog`.
    pub const CATALOG: bool = true;
    /// The default of `connections_per_blob_max`. Throttles for each connection seldom leave it less than a
    /// quarter of the line, and a browser opens no fewer connections to one host.
    pub const CONNECTIONS_PER_BLOB: usize = 4;
    /// The default of `connections_max`: four clients that pull three blobs at a time, and a large blob
    /// beside them.
    pub const CONNECTIONS: usize = 16;

    /// The default of `read_ahead_count`: together with the three layers that clients download at a time,
    /// less than half of [`CONNECTIONS`](Self::CONNECTIONS).
    pub const READ_AHEAD: usize = 4;

    /// The defaults for a public registry under `tags`.
    pub fn new(tags: TagRule) -> Self {
        let share = UpstreamShare::of_one(capacity::ANSWERS);
        Self {
            tags,
            tag_ttls: Vec::new(),
            links: false,
            auth_ttl: Self::AUTH_TTL,
            passthrough: false,
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
            upstream_bandwidth: None,
            client_bandwidth: None,
            fill_stall_max: Duration::from_secs(45),
            drip_max: Duration::from_secs(30),
            waiting_count_max: share.waiting,
            asking_count_max: share.asking,
            wall_clock: SystemTime::now,
        }
    }

    /// The same settings, with rules that do not contradict each other.
    pub(crate) fn consistent(mut self) -> Self {
        if self.links {
            // A tag that is served without a check also skips the check of its grant.
            let ttls = self.tag_ttls.iter_mut().map(|rule| &mut rule.ttl);
            ttls.chain([&mut self.tags.ttl]).for_each(|ttl| *ttl = (*ttl).min(self.auth_ttl));
        }
        self
    }

    /// The same settings, with deadlines that allow for the upstream's timeouts: `header_timeout` for each
    /// response head, `idle_timeout` between two bytes.
    #[must_use]
    pub fn waiting(self, header_timeout: Duration, idle_timeout: Duration) -> Self {
        Self {
            // One response for the tag, and one for the manifest.
            manifest_deadline: header_timeout.saturating_mul(2),
            drip_max: self.drip_max.max(idle_timeout),
            // A silent transfer ends after `idle_timeout`, and the next one has half of that to begin.
            fill_stall_max: self.fill_stall_max.max(idle_timeout.saturating_add(idle_timeout / 2)),
            ..self
        }
    }
}
