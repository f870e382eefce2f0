//! Decides which address of an upstream gets a request if the upstream has several, and how much the answer
//! of an address is worth.
//!
//! The first address is the registry. Every other address stands in for it while it fails, and may lag
//! behind it. So a stand-in's content is as good, because a digest proves it; its word on a tag never moves
//! a tag that is held; and its no counts as an outage of the first address.
//!
//! An address that delivered wrong bytes for a digest comes last for that digest: see [`Doubts`].

use std::time::{Duration, Instant};

use oci::Digest;

use crate::freshness::{TagPlan, TagRecord, Unreachable};

/// The rest of an address after its first failure; it doubles from there.
pub const REST_MIN: Duration = Duration::from_secs(1);
/// The longest rest between two probes.
pub const REST_MAX: Duration = Duration::from_secs(30);

/// The health of one address. The caller owns the clock and keeps this behind its lock.
#[derive(Clone, Copy, Debug, Default)]
pub struct AddressHealth {
    /// The time of the next probe, while the address rests.
    probe_at: Option<Instant>,
    rest: Duration,
    is_probing: bool,
}

impl AddressHealth {
    /// Tells whether requests go to the other addresses first.
    pub fn is_resting(&self) -> bool {
        self.probe_at.is_some()
    }

    /// Notes that a request could not connect, or stayed silent. Returns true if the rest begins now.
    pub fn fail(&mut self, now: Instant) -> bool {
        if self.is_resting() {
            return false;
        }
        self.rest_again(now);
        true
    }

    /// Notes that the address answered a request. Returns true if that ends a rest.
    pub fn answer(&mut self) -> bool {
        let was_resting = self.is_resting();
        *self = Self { is_probing: self.is_probing, ..Self::default() };
        was_resting
    }

    /// Tells whether to probe the address now. A caller that gets true reports back to
    /// [`probed`](Self::probed).
    pub fn take_probe(&mut self, now: Instant) -> bool {
        let is_due = self.probe_at.is_some_and(|probe_at| now >= probe_at);
        if !is_due || self.is_probing {
            return false;
        }
        self.is_probing = true;
        true
    }

    /// Settles a probe; `None` if it was abandoned. Returns true if it ends the rest. The next rest is still
    /// the longer one until a request is answered, because some hosts answer nothing but the probe.
    pub fn probed(&mut self, is_up: Option<bool>, now: Instant) -> bool {
        self.is_probing = false;
        match is_up {
            Some(true) => self.probe_at.take().is_some(),
            Some(false) if self.is_resting() => {
                self.rest_again(now);
                false
            }
            Some(false) | None => false,
        }
    }

    fn rest_again(&mut self, now: Instant) {
        self.rest = (self.rest * 2).clamp(REST_MIN, REST_MAX);
        self.probe_at = Some(now + self.rest);
    }
}

/// The doubt about an address for one digest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Doubt {
    /// It has delivered no wrong bytes.
    #[default]
    None,
    /// It delivered a part of wrong content, beside others.
    Shared,
    /// It delivered wrong content alone, or a part of it twice.
    Proved,
}

/// The doubts about the addresses of an upstream for one digest. They cannot grow without end, so a retry
/// after each one that is new ends too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Doubts(Vec<Doubt>);

impl Doubts {
    /// Starts without a doubt about any of `count` addresses.
    pub fn of(count: usize) -> Self {
        Self(vec![Doubt::None; count])
    }

    /// Returns the doubt about an address.
    pub fn about(&self, at: usize) -> Doubt {
        self.0.get(at).copied().unwrap_or_default()
    }

    /// Tells whether the address delivered wrong content.
    pub fn is_proved(&self, at: usize) -> bool {
        self.about(at) == Doubt::Proved
    }

    /// Notes that content was wrong which `senders` delivered; `are_all`: they delivered all of it. Returns
    /// true if a retry is worthwhile: it goes to another address than before, which may have the right bytes.
    pub fn note(&mut self, senders: &[usize], are_all: bool) -> bool {
        let before = self.clone();
        let is_alone = are_all && senders.len() == 1;
        for at in senders {
            if let Some(doubt) = self.0.get_mut(*at) {
                *doubt = if is_alone || *doubt != Doubt::None { Doubt::Proved } else { Doubt::Shared };
            }
        }
        *self != before && self.0.iter().any(|doubt| *doubt != Doubt::Proved)
    }
}

/// Returns the addresses in the order in which they get a request: as configured, those that rest last.
/// `broken` is the address at which a transfer of the same content has just broken off: it comes after the
/// other healthy ones. An address in doubt comes after all that are less so, even if those rest: a connection
/// that fails costs less than wrong bytes.
pub fn order(resting: &[bool], broken: Option<usize>, doubts: &Doubts) -> Vec<usize> {
    let mut order: Vec<usize> = (0..resting.len()).collect();
    order.sort_by_key(|at| (doubts.about(*at), resting[*at], broken == Some(*at)));
    order
}

/// Tells whether a stand-in's word on a tag may be used. wharf cannot know which of two words is newer, so a
/// held tag stays as it is for as long as it may be served in an outage of the first address.
pub fn may_stand_in_name(held: Option<(&TagRecord, TagPlan)>, named: &Digest) -> bool {
    let outlives_outage =
        |plan| matches!(plan, TagPlan::Serve | TagPlan::Revalidate { if_unreachable: Unreachable::Serve });
    held.is_none_or(|(record, plan)| record.digest == *named || !outlives_outage(plan))
}

#[cfg(test)]
mod tests;
