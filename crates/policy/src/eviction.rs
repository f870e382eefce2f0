//! Decides how many bytes a store has to give up, and which images may go.
//!
//! A limit has two marks. Nothing goes below the high mark, which is the limit itself; above it, images go
//! until the low mark is reached. The distance keeps a full store from removing an image for every one that
//! comes.

use std::time::Duration;

use crate::image::ImagePattern;

/// An image that was used within this time stays: its client may be about to ask for the layers.
pub const KEEP_USED: Duration = Duration::from_secs(600);

/// The distance between the marks, in hundredths of the limit.
const DISTANCE_PERCENT: u64 = 5;

/// An amount of bytes, or a share of the file system's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cap {
    /// Bytes.
    Bytes(u64),
    /// Hundredths of the file system's size.
    Percent(u8),
}

impl Cap {
    /// Returns the bytes of this cap on a file system of `total` bytes. `None`: it is a share, and the size
    /// is unknown.
    pub fn bytes(self, total: Option<u64>) -> Option<u64> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Percent(percent) => total.map(|total| hundredths(total, u64::from(percent.min(100)))),
        }
    }
}

/// The limits of one registry's store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes that the store may hold.
    pub max: Option<Cap>,
    /// An image goes when it was not used for this time.
    pub unused_for: Option<Duration>,
    /// Of each repository, this many tags stay: those that were used most recently.
    pub keep_tags: Option<u32>,
    /// Images that no limit and no rule removes.
    pub keep: Vec<ImagePattern>,
}

/// The limits of all stores together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommonLimits {
    /// The most bytes that all stores may hold.
    pub max: Option<Cap>,
    /// The bytes that stay free on each file system with a store.
    pub free_min: Option<Cap>,
}

/// The bytes that a store takes, or several together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Verified blobs and manifests, and the lists of repositories with an image.
    pub held: u64,
    /// Loose lists: those of repositories without an image.
    pub lists: u64,
    /// Unfinished blobs.
    pub partial: u64,
    /// Damaged files that were set aside.
    pub quarantine: u64,
    /// The sizes of the blobs that are on their way in. Their first bytes are in `partial` already.
    pub announced: u64,
}

impl Used {
    /// Returns the bytes in use once all announced blobs are complete. A blob on its way is part of `partial`
    /// and of `announced`, so the larger of the two counts.
    pub fn total(&self) -> u64 {
        let coming = self.partial.max(self.announced);
        self.held.saturating_add(self.lists).saturating_add(self.quarantine).saturating_add(coming)
    }

    /// Returns the bytes that are on the disk.
    pub fn written(&self) -> u64 {
        self.held.saturating_add(self.lists).saturating_add(self.partial).saturating_add(self.quarantine)
    }

    /// Returns the announced bytes that have yet to reach the disk.
    pub fn awaited(&self) -> u64 {
        self.announced.saturating_sub(self.partial)
    }

    /// Returns what two stores take together.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self {
            held: self.held.saturating_add(other.held),
            lists: self.lists.saturating_add(other.lists),
            partial: self.partial.saturating_add(other.partial),
            quarantine: self.quarantine.saturating_add(other.quarantine),
            announced: self.announced.saturating_add(other.announced),
        }
    }
}

/// Returns the bytes that have to go so that `used` keeps to `cap`; 0 up to the cap.
pub fn over_cap(used: u64, cap: u64) -> u64 {
    if used <= cap { 0 } else { used - (cap - hundredths(cap, DISTANCE_PERCENT)) }
}

/// Returns the bytes that have to go so that `floor` bytes stay free, where `awaited` bytes are still to be
/// written; 0 down to the floor.
pub fn under_floor(free: u64, awaited: u64, floor: u64) -> u64 {
    let wanted = floor.saturating_add(awaited);
    if free >= wanted { 0 } else { wanted.saturating_add(hundredths(floor, DISTANCE_PERCENT)) - free }
}

/// Returns how many of the `files` that a file system can have stay free where `floor` of its `total` bytes
/// do: the same share.
pub fn file_floor(files: u64, floor: u64, total: u64) -> u64 {
    let share = u128::from(files) * u128::from(floor.min(total)) / u128::from(total.max(1));
    u64::try_from(share).unwrap_or(u64::MAX)
}

/// The standing of a store, or of all stores together, against its limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The bytes in use.
    pub used: Used,
    /// Bytes of `used` that must not go.
    pub pinned: u64,
    /// No image can go for now: all the rest was used lately, or could not be removed.
    pub is_exhausted: bool,
    /// Nothing goes at all: no server keeps the store to its limits.
    pub is_at_rest: bool,
    /// The most bytes that may be in use.
    pub cap: Option<u64>,
    /// Free bytes of the file system, and how many of them have to stay free.
    pub free: Option<(u64, u64)>,
}

/// The limit that leaves no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// The most bytes that may be in use.
    Cap(u64),
    /// The free bytes, and how many of them have to stay free.
    Floor {
        /// The file system's free bytes.
        free: u64,
        /// Those that have to stay free.
        floor: u64,
    },
}

/// Tells whether `size` more bytes can be stored, after everything that may go has gone if need be.
pub fn fits(standing: &Standing, size: u64) -> bool {
    lack(standing, size).is_none()
}

/// Returns the limit that leaves no room for `size` more bytes. `None`: they [fit](fits).
pub fn lack(standing: &Standing, size: u64) -> Option<Lack> {
    let Standing { used, pinned, is_exhausted, is_at_rest, cap, free } = *standing;
    // Blobs on their way stay. Unfinished ones that no client asks for any more go, and so do damaged files
    // and loose lists.
    let held = if is_exhausted { used.held } else { pinned.min(used.held) };
    let partial = used.partial.min(used.announced);
    let staying = match is_at_rest {
        true => used,
        false => Used { held, lists: 0, partial, quarantine: 0, ..used },
    };
    let is_over = |cap: &u64| staying.total().saturating_add(size) > *cap;
    let is_under = |(free, floor): &(u64, u64)| {
        let evictable = used.total() - staying.total();
        let wanted = size.saturating_add(used.awaited()).saturating_add(*floor);
        free.saturating_add(evictable) < wanted
    };
    let over = cap.filter(is_over).map(Lack::Cap);
    over.or_else(|| free.filter(is_under).map(|(free, floor)| Lack::Floor { free, floor }))
}

/// As [`fits`], for a manifest. It may go beyond a limit by the distance of the marks, and take half of the
/// bytes that have to stay free: without it, blobs that had room are of no use.
pub fn fits_manifest(standing: &Standing, size: u64) -> bool {
    lack_for_manifest(standing, size).is_none()
}

/// As [`lack`], for a manifest. Returns the limit as it is for other contents, which the operator has set.
pub fn lack_for_manifest(standing: &Standing, size: u64) -> Option<Lack> {
    let Standing { cap, free, .. } = *standing;
    let wider = cap.map(|cap| cap.saturating_add(hundredths(cap, DISTANCE_PERCENT)));
    let lower = free.map(|(free, floor)| (free, floor / 2));
    match lack(&Standing { cap: wider, free: lower, ..*standing }, size)? {
        Lack::Cap(_) => cap.map(Lack::Cap),
        Lack::Floor { .. } => free.map(|(free, floor)| Lack::Floor { free, floor }),
    }
}

/// The reason for which an image has to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The store, or all stores together, hold too much.
    Cap,
    /// The file system has too few free bytes.
    FreeSpace,
    /// It was not used for a long time.
    Unused,
    /// Its repository has enough tags that were used more recently.
    KeepTags,
    /// An operator named it.
    Purge,
}

/// An image, as far as it matters whether it may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The time since its last use.
    pub unused: Duration,
    /// An operator pinned it.
    pub is_pinned: bool,
    /// It matches a pattern of [`Limits::keep`].
    pub is_kept: bool,
    /// One of its blobs is on its way in.
    pub is_busy: bool,
}

/// The decision on a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes.
    Go,
    /// It stays, and is worth another look when this time has passed.
    Stay(Duration),
}

/// Decides whether an image may go for this reason.
pub fn may_go(candidate: &Candidate, reason: Reason, limits: &Limits) -> Verdict {
    if candidate.is_busy || candidate.is_pinned {
        return Verdict::Stay(KEEP_USED);
    }
    // A purge is an explicit order, so neither rules nor a recent use count. A pin is one too, and must be
    // taken back first.
    if reason == Reason::Purge {
        return Verdict::Go;
    }
    if candidate.is_kept {
        return Verdict::Stay(KEEP_USED);
    }
    let unused_min = match reason {
        Reason::Unused => limits.unused_for.unwrap_or(Duration::MAX).max(KEEP_USED),
        _ => KEEP_USED,
    };
    match unused_min.checked_sub(candidate.unused) {
        None | Some(Duration::ZERO) => Verdict::Go,
        Some(rest) => Verdict::Stay(rest),
    }
}

/// Sorts a repository's tags, each with the time of its last use, so that those that [`Limits::keep_tags`]
/// gives up come last; returns how many stay. Of tags with the same time, the later name stays: versions
/// count up.
pub fn sort_kept_tags<T: Ord>(tags: &mut [(u32, T)], keep_tags: u32) -> usize {
    tags.sort_unstable_by(|one, other| other.cmp(one));
    usize::try_from(keep_tags).unwrap_or(usize::MAX).min(tags.len())
}

/// Returns so many hundredths of `bytes`, without overflow.
fn hundredths(bytes: u64, percent: u64) -> u64 {
    u64::try_from(u128::from(bytes) * u128::from(percent) / 100).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
