//! The series that exist from the start; see [`Labels::expected`].

use crate::label::Labels;
use crate::metrics::{ByAccess, ByClose, ByOrder, ByReload, ByUnrouted};
use crate::registry_metrics::{
    ByBypass, ByCall, ByChange, ByEnd, ByEvicted, ByFailure, ByKind, ByLeftAlone, ByLogin, ByRequest,
    ByUpstreamKind, ByUpstreamRequest,
};
use crate::values::{
    AccessRefused, Answered, BypassReason, Changed, CloseReason, Evicted, FillEnd, Kind, LeftAlone,
    LoginAsked, Ordered, PullFailure, Reloaded, Status, StoreCall, UpstreamKind,
};

/// Refusals of objects and lists, with their status.
const REFUSALS: [(Answered, u16); 12] = [
    (Answered::NotFound, 404),
    (Answered::Unconfirmed, 404),
    (Answered::Denied, 403),
    (Answered::Throttled, 429),
    (Answered::Unavailable, 502),
    (Answered::Timeout, 504),
    (Answered::Overloaded, 503),
    (Answered::Offline, 502),
    (Answered::DigestMismatch, 502),
    (Answered::Store, 500),
    (Answered::Invalid, 400),
    (Answered::Left, 499),
];

/// Outcomes of served objects.
const FETCHED: [Answered; 3] = [Answered::Hit, Answered::Miss, Answered::Join];

impl Labels for ByRequest {
    fn expected() -> Vec<Self> {
        let contents = [Kind::Manifest, Kind::Blob, Kind::Tags, Kind::Referrers];
        let refused =
            contents.into_iter().flat_map(|kind| REFUSALS.map(|(outcome, status)| (kind, outcome, status)));
        let given = contents.into_iter().flat_map(|kind| {
            let outcomes = FETCHED.into_iter().chain([Answered::Stale, Answered::Cut]);
            outcomes.map(move |outcome| (kind, outcome, 200))
        });
        let parts = FETCHED.into_iter().chain([Answered::Bypass, Answered::Cut]);
        let parts = parts.map(|outcome| (Kind::Blob, outcome, 206));
        let held = FETCHED.map(|outcome| (Kind::Blob, outcome, 304));
        let further = [
            (Kind::Blob, Answered::Bypass, 200),
            (Kind::Blob, Answered::Range, 416),
            (Kind::Manifest, Answered::Revalidated, 200),
            (Kind::Manifest, Answered::Revalidated, 304),
            (Kind::Manifest, Answered::Hit, 304),
            (Kind::Manifest, Answered::Stale, 304),
            (Kind::Version, Answered::Version, 200),
            (Kind::Catalog, Answered::Hit, 200),
            (Kind::Catalog, Answered::Store, 500),
            (Kind::Other, Answered::Invalid, 400),
            (Kind::Other, Answered::Invalid, 404),
        ];
        let all = refused.chain(given).chain(parts).chain(held).chain(further);
        all.map(|(kind, outcome, status)| Self { kind, outcome, status: Status::new(Some(status)) }).collect()
    }
}

impl Labels for ByUpstreamRequest {
    fn expected() -> Vec<Self> {
        let statuses = [200, 401, 403, 404, 429, 500, 502, 503, 504].map(Some).into_iter().chain([None]);
        let further = [
            (UpstreamKind::GetBlob, Some(206)),
            (UpstreamKind::Redirect, Some(206)),
            (UpstreamKind::GetBlob, Some(307)),
            (UpstreamKind::HeadBlob, Some(307)),
        ];
        let of_kind = |kind: &UpstreamKind| {
            let kind = *kind;
            statuses.clone().map(move |status| (kind, status))
        };
        let all = UpstreamKind::ALL.iter().flat_map(of_kind).chain(further);
        all.map(|(kind, status)| Self { kind, status: Status::new(status) }).collect()
    }
}

impl Labels for ByEnd {
    fn expected() -> Vec<Self> {
        let failures = [
            PullFailure::NotFound,
            PullFailure::Unconfirmed,
            PullFailure::Denied,
            PullFailure::Throttled,
            PullFailure::Timeout,
            PullFailure::Unavailable,
            PullFailure::Overloaded,
            PullFailure::DigestMismatch,
            PullFailure::Store,
        ];
        let ends = [FillEnd::Done].into_iter().chain(failures.map(FillEnd::Failed));
        ends.map(|end| Self { end }).collect()
    }
}

impl Labels for ByFailure {
    fn expected() -> Vec<Self> {
        let reasons = [
            PullFailure::Unavailable,
            PullFailure::Timeout,
            PullFailure::Throttled,
            PullFailure::Overloaded,
            PullFailure::Unconfirmed,
            PullFailure::DigestMismatch,
            PullFailure::NotFound,
        ];
        reasons.map(|reason| Self { reason }).into()
    }
}

impl Labels for ByCall {
    fn expected() -> Vec<Self> {
        let calls = [
            StoreCall::Open,
            StoreCall::Create,
            StoreCall::Pread,
            StoreCall::Pwritev,
            StoreCall::Write,
            StoreCall::Fsync,
            StoreCall::Fdatasync,
            StoreCall::Syncfs,
            StoreCall::Ftruncate,
            StoreCall::Rename,
            StoreCall::Unlink,
            StoreCall::Mkdir,
            StoreCall::Rmdir,
            StoreCall::Stat,
            StoreCall::Fstat,
            StoreCall::Statvfs,
            StoreCall::Readdir,
            StoreCall::Flock,
            StoreCall::SpawnBlocking,
        ];
        calls.map(|call| Self { call }).into()
    }
}

/// Implements [`Labels`] for sets with a single label of which every value is expected.
macro_rules! all_expected {
    ($($labels:ident { $label:ident: $values:ident },)+) => {$(
        impl Labels for $labels {
            fn expected() -> Vec<Self> {
                $values::ALL.iter().map(|value| Self { $label: *value }).collect()
            }
        }
    )+};
}

all_expected! {
    ByKind { kind: Kind },
    ByUpstreamKind { kind: UpstreamKind },
    ByBypass { reason: BypassReason },
    ByLeftAlone { reason: LeftAlone },
    ByLogin { result: LoginAsked },
    ByChange { changed: Changed },
    ByEvicted { reason: Evicted },
    ByAccess { reason: AccessRefused },
    ByClose { why: CloseReason },
    ByReload { result: Reloaded },
    ByOrder { result: Ordered },
}

impl Labels for ByUnrouted {
    fn expected() -> Vec<Self> {
        let all = [
            (Answered::Health, 200),
            (Answered::Health, 503),
            (Answered::Version, 200),
            (Answered::Challenge, 200),
            (Answered::About, 200),
            (Answered::About, 404),
            (Answered::Unsupported, 405),
            (Answered::Malformed, 400),
            (Answered::Malformed, 414),
            (Answered::Redirected, 308),
            (Answered::Misdirected, 421),
            (Answered::Browser, 403),
            (Answered::UnknownHost, 404),
            (Answered::UnknownRegistry, 404),
            (Answered::Disagree, 404),
            (Answered::NoSelector, 404),
            (Answered::Overloaded, 503),
        ];
        all.map(|(reason, status)| Self { reason, status: Status::new(Some(status)) }).into()
    }
}
