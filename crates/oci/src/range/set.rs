//! Several ranges in one header.

use super::one::{ByteRange, RangeRequest, is_blank, parse_spec};

/// How many ranges one header may name. The container tools of podman ask for up to 1,024 parts of a layer at once.
pub const RANGE_COUNT_MAX: usize = 1024;

/// How many of the ranges may overlap others. More make an answer that is far larger than its content, and serve no
/// client (RFC 9110, section 14.2).
const OVERLAP_COUNT_MAX: usize = 2;

/// The ranges that a `Range` header names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RangeSet {
    /// One.
    One(RangeRequest),
    /// At least two, and at most [`RANGE_COUNT_MAX`], in the order given.
    Several(Vec<RangeRequest>),
}

/// What a [`RangeSet`] means for a content of known size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meant {
    /// No byte of it: to be answered 416.
    Nothing,
    /// These parts, at least one, in the order in which they were asked for.
    Parts(Vec<ByteRange>),
    /// More than is given in parts: the header is to be ignored, so that the whole content is the answer.
    Whole,
}

impl RangeSet {
    /// Reads the value of a `Range` header (RFC 9110, section 14.2).
    ///
    /// None stands for a header that is to be ignored, so that the whole content is the answer: another unit, a text
    /// outside the grammar, or too many ranges. Numbers beyond `u64` count as `u64::MAX`, which lies past the end of
    /// every content.
    pub fn parse(header: &str) -> Option<Self> {
        let (unit, set) = header.split_once('=')?;
        if !unit.trim_matches(is_blank).eq_ignore_ascii_case("bytes") {
            return None;
        }
        // Empty list elements are to be skipped by recipients (section 5.6.1.2).
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

    /// The bytes meant, for a content of `size` bytes. Ranges that lie outside are left out, the others stay apart and
    /// in their order: some clients take each part for the range at the same place.
    pub fn resolve(&self, size: u64) -> Meant {
        let parts: Vec<ByteRange> = match self {
            Self::One(range) => range.resolve(size).into_iter().collect(),
            Self::Several(ranges) => ranges.iter().filter_map(|range| range.resolve(size)).collect(),
        };
        let asked: u128 = parts.iter().map(|part| u128::from(part.len())).sum();
        if parts.is_empty() {
            Meant::Nothing
        } else if asked > u128::from(size) || overlap_count(&parts) > OVERLAP_COUNT_MAX {
            Meant::Whole
        } else {
            Meant::Parts(parts)
        }
    }
}

/// How many of the parts begin before the end of one that begins before them.
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
