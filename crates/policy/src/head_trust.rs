//! Decides whether to believe a negative answer to HEAD.
//!
//! Some registries and proxies answer HEAD with 404 or 403 where a GET returns the content. So a GET decides
//! until HEAD and GET have agreed for this repository. After that, a HEAD alone is believed about content
//! that is not stored here, so that probes for signatures and missing tags cost no GET. Stored content is
//! never given up because of a HEAD.

use std::time::{Duration, Instant};

/// The time for which an agreement between HEAD and GET counts.
pub const AGREEMENT_TTL: Duration = Duration::from_secs(3600);

/// The time for which no HEAD is believed after a GET contradicted one.
pub const CONTRADICTION_TTL: Duration = Duration::from_secs(3600);

/// The two kinds of negative answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Negative {
    /// 404 or 410.
    Absent,
    /// 401, 403 or 451.
    Refused,
}

/// The cost of believing a negative answer wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stakes {
    /// Stored content, or a grant, would be given up.
    Held,
    /// A client gets a negative answer, and nothing else changes.
    Nothing,
}

/// The weight of a negative answer to HEAD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Nothing: a GET decides.
    None,
    /// As much as the GET that it last agreed with.
    AsGet {
        /// Whether that GET was answered by the registry itself, and not by a router or portal.
        is_authoritative: bool,
    },
}

/// The record of HEAD against GET for one repository and one kind of content.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadTrust {
    absent: Option<Agreement>,
    refused: Option<Agreement>,
    belied_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Agreement {
    /// The time of the agreement; `None` for a registry that is known to agree.
    at: Option<Instant>,
    is_authoritative: bool,
}

impl HeadTrust {
    /// Returns the state for a registry that is known to answer HEAD as it answers GET.
    pub fn known() -> Self {
        let known = Some(Agreement { at: None, is_authoritative: true });
        Self { absent: known, refused: known, belied_at: None }
    }

    /// Evaluates a HEAD that was answered with `no`.
    pub fn evaluate(&self, no: Negative, stakes: Stakes, now: Instant) -> Proof {
        let is_recent = |at: Instant, lasts: Duration| now.saturating_duration_since(at) < lasts;
        if stakes == Stakes::Held || self.belied_at.is_some_and(|at| is_recent(at, CONTRADICTION_TTL)) {
            return Proof::None;
        }
        match if no == Negative::Absent { self.absent } else { self.refused } {
            Some(seen) if seen.at.is_none_or(|at| is_recent(at, AGREEMENT_TTL)) => {
                Proof::AsGet { is_authoritative: seen.is_authoritative }
            }
            _ => Proof::None,
        }
    }

    /// Notes that a GET gave the same `no` as the HEAD before it.
    pub fn note_agreement(&mut self, no: Negative, is_authoritative: bool, now: Instant) {
        let slot = if no == Negative::Absent { &mut self.absent } else { &mut self.refused };
        if slot.is_none_or(|seen| seen.at.is_some()) {
            *slot = Some(Agreement { at: Some(now), is_authoritative });
        }
    }

    /// Notes that a GET returned the content that the HEAD before it denied.
    pub fn note_contradiction(&mut self, now: Instant) {
        self.belied_at = Some(now);
    }
}

#[cfg(test)]
mod tests;
