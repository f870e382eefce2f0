//! Decides when a cached tag may be served without asking the upstream.
//!
//! Only tags are decided here: a digest names its content, so what is stored under one is fresh for ever.

use std::time::{Duration, SystemTime};

use oci::{Digest, MediaType};

/// What is known of a tag, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagRecord {
    /// The manifest that the tag named.
    pub digest: Digest,
    /// The media type that the upstream served it under.
    pub media_type: MediaType,
    /// The manifest's length in bytes.
    pub size: u64,
    /// The time at which the upstream last said so.
    pub checked_at: SystemTime,
}

/// What the operator set for a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TagRule {
    /// The time for which an upstream's word holds; zero: it is asked on every pull.
    pub ttl: Duration,
    /// For how long a record may stand in for an upstream that cannot be asked.
    pub stale_if_error: StaleLimit,
    /// The answer to a pull of a cached tag that the upstream no longer has.
    pub on_upstream_404: Upstream404,
    /// The upstream is never asked.
    pub offline: bool,
}

impl TagRule {
    /// The rule for a registry that the operator said nothing about.
    pub const DEFAULT: Self = Self {
        ttl: Duration::ZERO,
        stale_if_error: StaleLimit::Forever,
        on_upstream_404: Upstream404::NotFound,
        offline: false,
    };
}

/// For how long a record may stand in for an upstream that cannot be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StaleLimit {
    /// Without end.
    Forever,
    /// For this long after it ceased to be fresh.
    For(Duration),
    /// Not at all.
    Never,
}

/// What an upstream's 404 on a cached tag means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upstream404 {
    /// The tag is gone; clients are told so.
    NotFound,
    /// The record outlives its upstream.
    Serve,
}

/// What to do for a pull by tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagPlan {
    /// Serve the record; the upstream is not asked.
    Serve,
    /// Operation the upstream whether the record still holds.
    Revalidate {
        /// What to do when it cannot be asked.
        if_unreachable: Unreachable,
    },
    /// Nothing is known: fetch.
    Fetch,
    /// Nothing is known and the upstream is never asked.
    Absent,
}

/// What to do when the upstream cannot be asked: it timed out, refused, failed, or throttles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreachable {
    /// Serve the record and say that it is stale.
    Serve,
    /// Pass the failure on.
    Fail,
}

/// Decides on a pull by tag at the time `now`.
///
/// A record from the future (the clock was set back) has no known age. It is taken as no longer fresh, so that
/// it is checked once instead of being served unasked until the clock has caught up, and as just checked where
/// its staleness is measured, so that it can still bridge an outage.
pub fn plan_tag(record: Option<&TagRecord>, rule: &TagRule, now: SystemTime) -> TagPlan {
    let Some(record) = record else {
        return if rule.offline { TagPlan::Absent } else { TagPlan::Fetch };
    };
    let age = now.duration_since(record.checked_at).ok();
    if rule.offline || age.is_some_and(|age| age < rule.ttl) {
        return TagPlan::Serve;
    }
    let may_stand_in = may_stand_in(age.unwrap_or_default(), rule);
    TagPlan::Revalidate { if_unreachable: if may_stand_in { Unreachable::Serve } else { Unreachable::Fail } }
}

/// Tells whether an upstream's word of that age may stand in while it cannot be asked. Offline, any word may.
pub fn may_stand_in(age: Duration, rule: &TagRule) -> bool {
    rule.offline
        || match rule.stale_if_error {
            StaleLimit::Forever => true,
            StaleLimit::For(limit) => age.saturating_sub(rule.ttl) <= limit,
            StaleLimit::Never => false,
        }
}

#[cfg(test)]
mod tests;
