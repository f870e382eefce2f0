//! Several ranges in one header.

use super::one::{ByteRange, RangeRequest, is_blank, parse_spec};

/// The most ranges in one header. Podman's tools ask for up to 1,024 parts of a layer at once.
pub const RANGE_COUNT_MAX: usize = 1024;

/// The most ranges that may overlap others. More would make an answer far larger than its content, and no
/// client needs that (RFC 9110, section 14.2).
const OVERLAP_COUNT_MAX: usize = 2;

/// The ranges that a `Range` header names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RangeSet {
    /// One.
    One(RangeRequest),
    /// At least two, and at most [`RANGE_COUNT_MAX`], in the order given.
    Several(Vec<RangeRequest>),
}

/// The bytes that a [`RangeSet`] selects from a content of known size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResolvedRanges {
    /// No byte: the answer is 416.
    Unsatisfiable,
    /// These parts, at least one, in the order of the header.
    Parts(Vec<ByteRange>),
    /// Too much for an answer in parts: the header is ignored, and the answer is the whole content.
    WholeContent,
}

impl RangeSet {
    /// Reads the value of a `Range` header (RFC 9110, section 14.2).
    ///
    /// `None` means that the header is ignored and the answer is the whole content: it has another unit, is
    /// outside the grammar, or names too many ranges. Numbers beyond `u64` count as `u64::MAX`, which lies
    /// past the end of every content.
    pub fn parse(header: &str) -> Option<Self> {
        let (unit, set) = header.split_once('=')?;
        if !unit.trim_matches(is_blank).eq_ignore_ascii_case("bytes") {
            return None;
        }
        // Recipients skip empty list elements (section 5.6.1.2).
        let mut specs =
            set.split(',').map(|spec| spec.trim_matches(is_blank)).filter(|spec| !spec.is_empty());
        let first = parse_spec(specs.next()?)?;
        let Some(second) = specs.next() else { return Some(Self::One(first)) };
        let mut ranges = vec![first, parse_spec(second)?];
        for spec in specs {
            if ranges.len() == RANGE_COUNT_MAX {
                return None;
            }
            ranges.push(parse_spec(spec)?);
        }
        Some(Self::Several(ranges))
    }

    /// Returns the selected bytes of a content of `size` bytes. Ranges outside the content are left out. The
    /// others are neither merged nor sorted: some clients match parts to ranges by position.
    pub fn resolve(&self, size: u64) -> ResolvedRanges {
        let parts: Vec<ByteRange> = match self {
            Self::One(range) => range.resolve(size).into_iter().collect(),
            Self::Several(ranges) => ranges.iter().filter_map(|range| range.resolve(size)).collect(),
        };
        let asked: u128 = parts.iter().map(|part| u128::from(part.len())).sum();
        if parts.is_empty() {
            ResolvedRanges::Unsatisfiable
        } else if asked > u128::from(size) || overlap_count(&parts) > OVERLAP_COUNT_MAX {
            ResolvedRanges::WholeContent
        } else {
            ResolvedRanges::Parts(parts)
        }
    }
}

/// Counts the parts that start before an earlier part has ended.
fn overlap_count(parts: &[ByteRange]) -> usize {
    let mut sorted = parts.to_vec();
    sorted.sort_unstable_by_key(|part| (part.start, part.end));
    let mut end = 0;
    let mut count = 0;
    for part in sorted {
        count += usize::from(part.start < end);
        end = end.max(part.end);
    }
    count
}

#[cfg(test)]
mod tests;
