//! Held blobs that no held manifest names, with the order in which they were last used.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use oci::Digest;

use crate::clock::Seconds;

/// Orphans that are known by name at a time. There are few of them; what a crash leaves is one image's blobs.
const ORPHAN_COUNT_MAX: usize = 16_384;

/// The orphans. A blob that was one stays here until it is looked at.
#[derive(Debug, Default)]
pub(crate) struct Orphans {
    order: BinaryHeap<Reverse<(Seconds, Digest)>>,
    /// There were more than are known.
    is_short: bool,
}

impl Orphans {
    pub(crate) fn add(&mut self, digest: Digest, used: Seconds) {
        if self.order.len() < ORPHAN_COUNT_MAX {
            self.order.push(Reverse((used, digest)));
        } else {
            self.is_short = true;
        }
    }

    /// The place of the first in line: its last use, as far as that was known.
    pub(crate) fn oldest(&self) -> Option<Seconds> {
        self.order.peek().map(|Reverse((used, _))| *used)
    }

    /// Takes out the first in line, if its place is at `until` at the latest.
    pub(crate) fn take_oldest(&mut self, until: Seconds) -> Option<(Seconds, Digest)> {
        if self.oldest()? > until {
            return None;
        }
        self.order.pop().map(|Reverse(first)| first)
    }

    /// Whether the store has to be searched for more. Says so once.
    pub(crate) fn must_be_searched(&mut self) -> bool {
        self.order.is_empty() && std::mem::take(&mut self.is_short)
    }

    /// The memory that they take, in bytes, about.
    pub(crate) fn memory_bytes(&self) -> usize {
        // Each digest has its own allocation for the text.
        self.order.capacity() * size_of::<(Seconds, Digest)>() + self.order.len() * 80
    }
}

#[cfg(test)]
mod tests {
    use oci::Algorithm;

    use super::*;

    #[test]
    fn the_oldest_comes_first_and_what_does_not_fit_is_searched_for() {
        let digest = |number: usize| Digest::of(Algorithm::Sha256, &number.to_le_bytes());
        let mut orphans = Orphans::default();
        for number in 0..=ORPHAN_COUNT_MAX {
            orphans.add(digest(number), u32::try_from(1 + number % 2).unwrap());
        }
        assert!(!orphans.must_be_searched());
        assert_eq!((orphans.oldest(), orphans.take_oldest(0)), (Some(1), None));
        let mut taken = 0;
        while orphans.take_oldest(1).is_some() {
            taken += 1;
        }
        assert_eq!((taken, orphans.oldest()), (ORPHAN_COUNT_MAX / 2, Some(2)));
        while orphans.take_oldest(2).is_some() {}
        assert!(orphans.must_be_searched() && !orphans.must_be_searched());
    }
}
