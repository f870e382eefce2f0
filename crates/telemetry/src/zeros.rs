//! The series that exist from the start: a counter that first shows at 1 has no increase, and an alert on its increase
//! misses the first event, which is often the only one.
//!
//! Combinations that do not occur are left out; one that does all the same appears with its first event.

use crate::kind::{Kind, UpstreamKind};

/// Refusals of contents and lists, with their status.
const REFUSALS: [(&str, u16); 12] = [
    ("not_found", 404),
    ("unconfirmed", 404),
    ("denied", 403),
    ("throttled", 429),
    ("unavailable", 502),
    ("timeout", 504),
    ("overloaded", 503),
    ("offline", 502),
    ("digest_mismatch", 502),
    ("store", 500),
    ("invalid", 400),
    ("left", 499),
];

/// Outcomes of what was fetched.
const FETCHED: [&str; 3] = ["hit", "miss", "join"];

/// Every kind of request that a registry answers, how, and with which status.
pub(crate) fn requests() -> impl Iterator<Item = (Kind, &'static str, u16)> {
    let contents = [Kind::Manifest, Kind::Blob, Kind::Tags, Kind::Referrers];
    let refused =
        contents.into_iter().flat_map(|kind| REFUSALS.map(|(outcome, status)| (kind, outcome, status)));
    let given = contents.into_iter().flat_map(|kind| {
        FETCHED.into_iter().chain(["stale", "cut"]).map(move |outcome| (kind, outcome, 200))
    });
    let parts = FETCHED.into_iter().chain(["bypass", "cut"]).map(|outcome| (Kind::Blob, outcome, 206));
    let held = FETCHED.map(|outcome| (Kind::Blob, outcome, 304));
    let further = [
        (Kind::Blob, "bypass", 200),
        (Kind::Blob, "range", 416),
        (Kind::Manifest, "revalidated", 200),
        (Kind::Manifest, "revalidated", 304),
        (Kind::Manifest, "hit", 304),
        (Kind::Manifest, "stale", 304),
        (Kind::Version, "version", 200),
        (Kind::Catalog, "hit", 200),
        (Kind::Catalog, "store", 500),
        (Kind::Other, "invalid", 400),
        (Kind::Other, "invalid", 404),
    ];
    refused.chain(given).chain(parts).chain(held).chain(further)
}

/// Every kind of request to an upstream, and what comes back.
pub(crate) fn upstream_requests() -> impl Iterator<Item = (UpstreamKind, Option<u16>)> {
    let kinds = [
        UpstreamKind::HeadManifest,
        UpstreamKind::GetManifest,
        UpstreamKind::HeadBlob,
        UpstreamKind::GetBlob,
        UpstreamKind::Token,
        UpstreamKind::List,
        UpstreamKind::Redirect,
        UpstreamKind::Version,
    ];
    let statuses = [200, 401, 403, 404, 429, 500, 502, 503, 504].map(Some).into_iter().chain([None]);
    let further = [
        (UpstreamKind::GetBlob, Some(206)),
        (UpstreamKind::Redirect, Some(206)),
        (UpstreamKind::GetBlob, Some(307)),
        (UpstreamKind::HeadBlob, Some(307)),
    ];
    kinds.into_iter().flat_map(move |kind| statuses.clone().map(move |status| (kind, status))).chain(further)
}

/// Ends of a transfer into the store.
pub(crate) const FILL_ENDS: [&str; 10] = [
    "done",
    "not_found",
    "unconfirmed",
    "denied",
    "throttled",
    "timeout",
    "unavailable",
    "overloaded",
    "digest_mismatch",
    "store",
];

/// Reasons not to store an answer.
pub(crate) const BYPASSES: [&str; 1] = ["store_failed"];

/// Reasons for a stored answer to stand in.
pub(crate) const STALE_REASONS: [&str; 7] =
    ["unavailable", "timeout", "throttled", "overloaded", "unconfirmed", "digest_mismatch", "not_found"];

/// Things that are left alone upstream.
pub(crate) const LEFT_ALONE: [&str; 4] = ["path", "host", "registry", "throttled"];

/// The calls to the storage that are made while it serves.
pub(crate) const STORE_CALLS: [&str; 15] = [
    "open",
    "pread",
    "pwritev",
    "write",
    "fsync",
    "fdatasync",
    "ftruncate",
    "rename",
    "unlink",
    "mkdir",
    "stat",
    "fstat",
    "readdir",
    "flock",
    "spawn_blocking",
];

/// Ends of a client's connection.
pub(crate) const CLOSED: [&str; 14] = [
    "done",
    "left",
    "idle",
    "slow_head",
    "slow_reader",
    "no_answer",
    "cut",
    "malformed",
    "tls",
    "linger",
    "drain",
    "refused",
    "dropped",
    "panic",
];

/// Answers that no registry gives, with their status.
pub(crate) const UNROUTED: [(&str, u16); 15] = [
    ("health", 200),
    ("health", 503),
    ("version", 200),
    ("about", 200),
    ("about", 404),
    ("unsupported", 405),
    ("malformed", 400),
    ("malformed", 414),
    ("misdirected", 421),
    ("browser", 403),
    ("unknown_host", 404),
    ("unknown_registry", 404),
    ("disagree", 404),
    ("no_selector", 404),
    ("overloaded", 503),
];
