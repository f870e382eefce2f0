//! One range.

/// A half-open run of bytes, `start..end`, with `start <= end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ByteRange {
    /// Offset of the first byte.
    pub start: u64,
    /// Offset behind the last byte.
    pub end: u64,
}

impl ByteRange {
    /// Returns the range of a whole content of `size` bytes.
    pub fn whole(size: u64) -> Self {
        Self { start: 0, end: size }
    }

    /// Returns the number of bytes in the range.
    pub fn len(&self) -> u64 {
        self.end - self.start
    }

    /// Tells whether the range has no byte.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }
}

/// One range as a `Range` header names it, before the size of the content is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeRequest {
    /// `bytes=<start>-` or `bytes=<start>-<last>`; `last` is inclusive.
    From {
        /// Offset of the first byte.
        start: u64,
        /// Offset of the last byte; `None` reads to the end.
        last: Option<u64>,
    },
    /// `bytes=-<len>`: the last `len` bytes.
    Suffix {
        /// The number of bytes.
        len: u64,
    },
}

impl RangeRequest {
    /// Returns the selected bytes of a content of `size` bytes. An end beyond the content is cut to it.
    ///
    /// Returns `None` if the range selects no byte (the answer is 416): a start at or past the end, a last
    /// byte before the start, a suffix of no bytes, and any range of an empty content, for which no
    /// `Content-Range` could be written.
    pub fn resolve(&self, size: u64) -> Option<ByteRange> {
        let range = match *self {
            Self::From { start, last: None } => ByteRange { start, end: size },
            Self::From { start, last: Some(last) } => {
                ByteRange { start, end: last.saturating_add(1).min(size) }
            }
            Self::Suffix { len } => ByteRange { start: size.saturating_sub(len), end: size },
        };
        (range.start < range.end).then_some(range)
    }
}

pub(super) fn parse_spec(spec: &str) -> Option<RangeRequest> {
    let (first, last) = spec.split_once('-')?;
    match (first.is_empty(), last.is_empty()) {
        (true, true) => None,
        (true, false) => Some(RangeRequest::Suffix { len: parse_number(last)? }),
        (false, true) => Some(RangeRequest::From { start: parse_number(first)?, last: None }),
        (false, false) => {
            Some(RangeRequest::From { start: parse_number(first)?, last: Some(parse_number(last)?) })
        }
    }
}

/// `1*DIGIT`; a number too large for `u64` saturates.
fn parse_number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

pub(super) fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t')
}
