//! Byte ranges (RFC 9110, section 14): the ranges of a request, and the bytes that they select from a blob of
//! known size.

mod one;
mod set;

pub use one::{ByteRange, RangeRequest};
pub use set::{RANGE_COUNT_MAX, RangeSet, ResolvedRanges};

/// The header is well formed and does not name exactly one range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// It names several ranges: read it as a [`RangeSet`].
    #[error("the header names more than one byte range")]
    Multiple,
}

impl RangeRequest {
    /// Reads the value of a `Range` header (RFC 9110, section 14.2).
    ///
    /// `Ok(None)` means that the header is ignored and the answer is the whole content: it has another unit,
    /// or is outside the grammar. Numbers beyond `u64` count as `u64::MAX`, which lies past the end of every
    /// content.
    ///
    /// # Errors
    /// [`RangeError::Multiple`] when the header names several well-formed ranges.
    pub fn parse(header: &str) -> Result<Option<Self>, RangeError> {
        match RangeSet::parse(header) {
            None => Ok(None),
            Some(RangeSet::One(range)) => Ok(Some(range)),
            Some(RangeSet::Several(_)) => Err(RangeError::Multiple),
        }
    }
}

#[cfg(test)]
mod tests;
