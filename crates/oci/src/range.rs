//! Byte ranges (RFC 9110, section 14): what a client asks for, and what that means for a blob of known size.

mod one;
mod set;

pub use one::{ByteRange, RangeRequest};
pub use set::{Meant, RANGE_COUNT_MAX, RangeSet};

/// A `Range` header that is understood and does not name one range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// More than one range: read it as a [`RangeSet`].
    #[error("the header names more than one byte range")]
    Multiple,
}

impl RangeRequest {
    /// Reads the value of a `Range` header (RFC 9110, section 14.2).
    ///
    /// `Ok(None)` stands for a header that is to be ignored, so that the whole content is the answer: another
    /// unit, or a text outside the grammar. Numbers beyond `u64` count as `u64::MAX`, which lies past the end
    /// of every content.
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
