//! A set of byte offsets: sorted, disjoint ranges that never touch.

use oci::ByteRange;

/// A set of byte offsets. Ranges that touch are merged, so content received in order is always one range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extents(Vec<ByteRange>);

impl Extents {
    /// The set of all offsets below `end`.
    pub(crate) fn prefix(end: u64) -> Self {
        let mut extents = Self::default();
        extents.insert(ByteRange::whole(end));
        extents
    }

    /// The offsets of ranges given as start and end, in any order; a range that ends before it begins is
    /// empty.
    pub(crate) fn of(ranges: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let mut extents = Self::default();
        for (start, end) in ranges {
            extents.insert(ByteRange { start, end: end.max(start) });
        }
        extents
    }

    /// The ranges of the set.
    pub(crate) fn ranges(&self) -> &[ByteRange] {
        &self.0
    }

    /// The number of offsets in the set.
    pub(crate) fn count(&self) -> u64 {
        self.0.iter().map(ByteRange::len).sum()
    }

    /// Adds every offset of `range`.
    pub(crate) fn insert(&mut self, range: ByteRange) {
        if range.is_empty() {
            return;
        }
        let first = self.0.partition_point(|extent| extent.end < range.start);
        let behind = self.0.partition_point(|extent| extent.start <= range.end);
        let merged = self.0[first..behind].iter().fold(range, |merged, extent| ByteRange {
            start: merged.start.min(extent.start),
            end: merged.end.max(extent.end),
        });
        self.0.splice(first..behind, [merged]);
    }

    /// The number of contiguous offsets in the set from `offset` on.
    pub(crate) fn contiguous_from(&self, offset: u64) -> u64 {
        let next = self.0.partition_point(|extent| extent.end <= offset);
        match self.0.get(next) {
            Some(extent) if extent.start <= offset => extent.end - offset,
            _ => 0,
        }
    }

    /// The offsets below `size` that are not in the set.
    pub(crate) fn gaps(&self, size: u64) -> Vec<ByteRange> {
        self.gaps_in(ByteRange::whole(size))
    }

    /// The offsets of `range` that are not in the set.
    pub(crate) fn gaps_in(&self, range: ByteRange) -> Vec<ByteRange> {
        let mut gaps = Vec::new();
        let mut start = range.start;
        let first = self.0.partition_point(|extent| extent.end <= range.start);
        for extent in self.0[first..].iter().take_while(|extent| extent.start < range.end) {
            if start < extent.start {
                gaps.push(ByteRange { start, end: extent.start });
            }
            start = extent.end;
        }
        if start < range.end {
            gaps.push(ByteRange { start, end: range.end });
        }
        gaps
    }

    /// The offset after the last one in the set; 0 when it is empty.
    pub(crate) fn end(&self) -> u64 {
        self.0.last().map_or(0, |extent| extent.end)
    }
}

#[cfg(test)]
mod tests;
