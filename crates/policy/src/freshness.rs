//! Decides when a cached tag may be served without asking the upstream.
//!
//! This covers only tags: a digest names its content, so a blob or manifest stored by digest never expires.

mod imported_tag;
mod tag_pattern;

use std::time::{Duration, SystemTime};

use oci::{Digest, MediaType};

pub use imported_tag::{ImportedTag, Replace, import_of};
pub use tag_pattern::{TagPattern, TagPatternError};

/// The manifest that a tag named at the last check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagRecord {
    /// The manifest that the tag named.
    pub digest: Digest,
    /// The media type that the upstream served it under.
    pub media_type: MediaType,
    /// The manifest's length in bytes.
    pub size: u64,
    /// The time of the last check.
    pub checked_at: SystemTime,
}

/// The settings for a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TagRule {
    /// The time for which a check stays valid. Zero checks on every pull.
    pub ttl: Duration,
    /// The limit on serving a record while the upstream is unreachable.
    pub stale_if_error: StaleLimit,
    /// The answer to a pull of a cached tag that the upstream no longer has.
    pub on_upstream_404: Upstream404,
    /// No request is sent to the upstream.
    pub offline: bool,
}

impl TagRule {
    /// The rule for a registry without settings.
    pub const DEFAULT: Self = Self {
        ttl: Duration::ZERO,
        stale_if_error: StaleLimit::Forever,
        on_upstream_404: Upstream404::NotFound,
        offline: false,
    };
}

/// The time for which a check of certain tags stays valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagTtl {
    /// The tags.
    pub pattern: TagPattern,
    /// As [`TagRule::ttl`].
    pub ttl: Duration,
}

/// The limit on serving a record while the upstream is unreachable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StaleLimit {
    /// Forever.
    Forever,
    /// For this long after its `ttl` ended.
    For(Duration),
    /// Not at all.
    Never,
}

/// The meaning of an upstream's 404 on a cached tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upstream404 {
    /// The tag is gone; clients get a 404.
    NotFound,
    /// The record is served.
    Serve,
}

/// The decision for a pull by tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagPlan {
    /// Serve the record without a check.
    Serve,
    /// Check with the upstream whether the record still holds.
    Revalidate {
        /// The fallback if the upstream is unreachable.
        if_unreachable: Unreachable,
    },
    /// There is no record: fetch.
    Fetch,
    /// There is no record, and the registry is offline.
    Absent,
}

/// The fallback if the upstream is unreachable: it timed out, refused, failed, or throttles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreachable {
    /// Serve the record, marked stale.
    Serve,
    /// Pass the failure on.
    Fail,
}

/// Decides on a pull by tag at the time `now`.
///
/// A record from the future (the clock was set back) has no known age. It counts as expired, so that it is
/// checked once instead of being served unchecked until the clock catches up. It counts as just checked for
/// `stale_if_error`, so that it can still bridge an outage.
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

/// Returns the time of the first of `rules` that is for this tag.
pub fn ttl_of(rules: &[TagTtl], repository: &str, tag: &str) -> Option<Duration> {
    rules.iter().find(|rule| rule.pattern.names(repository, tag)).map(|rule| rule.ttl)
}

/// Tells whether a record of that age may be served while the upstream is unreachable. Offline, any record
/// may.
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
