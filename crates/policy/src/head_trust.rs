//! Whether a registry's HEAD is believed when it says no.
//!
//! There are registries and proxies whose HEAD says 404, or 403, where a GET gives the content. So a GET decides,
//! until HEAD and GET were seen to agree about this repository: from then on a HEAD alone is believed about what is not
//! held here, so that probes for signatures and missing tags cost no GET. What is held is never given up for a HEAD.

use std::time::{Duration, Instant};

/// The time for which an agreement between HEAD and GET counts.
pub const AGREEMENT_TTL: Duration = Duration::from_secs(3600);

/// The time for which no HEAD counts after a GET note_contradiction one.
pub const CONTRADICTION_TTL: Duration = Duration::from_secs(3600);

/// The two sorts of no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Negative {
    /// 404 or 410.
    Absent,
    /// 401, 403 or 451.
    Refused,
}

/// The stakes of believing a no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stakes {
    /// Something is held here, or was granted, and would be given up.
    Held,
    /// A client is told no, and that is all.
    Nothing,
}

/// The proof that a HEAD gives when it says no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Nothing: a GET decides.
    None,
    /// As much as the GET that it was last seen to agree with: that one was the registry's own word, or not.
    AsGet {
        /// Whether it was.
        is_own_word: bool,
    },
}

/// What the HEADs of one repository were worth so far, for one kind of content.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadTrust {
    absent: Option<Agreement>,
    refused: Option<Agreement>,
    belied_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Agreement {
    /// When it was seen; none for one that is known and needs no seeing.
    at: Option<Instant>,
    is_own_word: bool,
}

impl HeadTrust {
    /// For a registry that is known to answer HEAD as it answers GET.
    pub fn known() -> Self {
        let known = Some(Agreement { at: None, is_own_word: true });
        Self { absent: known, refused: known, belied_at: None }
    }

    /// Weighs a HEAD that says `no`.
    pub fn weigh(&self, no: Negative, stakes: Stakes, now: Instant) -> Proof {
        let is_recent = |at: Instant, lasts: Duration| now.saturating_duration_since(at) < lasts;
        if stakes == Stakes::Held || self.belied_at.is_some_and(|at| is_recent(at, CONTRADICTION_TTL)) {
            return Proof::None;
        }
        match if no == Negative::Absent { self.absent } else { self.refused } {
            Some(seen) if seen.at.is_none_or(|at| is_recent(at, AGREEMENT_TTL)) => {
                Proof::AsGet { is_own_word: seen.is_own_word }
            }
            _ => Proof::None,
        }
    }

    /// A GET said the same `no` as the HEAD before it.
    pub fn note_agreement(&mut self, no: Negative, is_own_word: bool, now: Instant) {
        let slot = if no == Negative::Absent { &mut self.absent } else { &mut self.refused };
        if slot.is_none_or(|seen| seen.at.is_some()) {
            *slot = Some(Agreement { at: Some(now), is_own_word });
        }
    }

    /// A GET gave what the HEAD before it denied.
    pub fn note_contradiction(&mut self, now: Instant) {
        self.belied_at = Some(now);
    }
}

#[cfg(test)]
mod tests;
