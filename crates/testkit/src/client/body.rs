//! Tracks the remaining part of a body (RFC 9112 section 6.3).

use super::{Broken, Head};

/// The remaining part of the current body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// None: the body has ended.
    Nothing,
    /// This number of bytes.
    Bytes(u64),
    /// This number of bytes of the current chunk, then more chunks.
    Chunk(u64),
    /// The size line of the next chunk.
    ChunkLine,
    /// The end of a chunk's line, then another chunk.
    ChunkEnd,
    /// All bytes until the connection ends.
    UntilClose,
}

impl Left {
    /// The body that the head announces, in response to this method.
    pub(crate) fn after(head: &Head, method: &str) -> Result<Self, Broken> {
        if method == "HEAD" || matches!(head.status, 100..200 | 204 | 304) {
            return Ok(Self::Nothing);
        }
        if head.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            return Ok(Self::ChunkLine);
        }
        match head.header("content-length") {
            None => Ok(Self::UntilClose),
            Some("0") => Ok(Self::Nothing),
            Some(length) => {
                let malformed = |_| Broken::Malformed(format!("content-length: {length}"));
                length.parse().map(Self::Bytes).map_err(malformed)
            }
        }
    }

    /// The most that may be read now.
    pub(crate) fn limit(self) -> u64 {
        match self {
            Self::Nothing | Self::ChunkLine | Self::ChunkEnd => 0,
            Self::Bytes(count) | Self::Chunk(count) => count,
            Self::UntilClose => u64::MAX,
        }
    }

    /// The remaining part after `count` more bytes, at most [`Left::limit`].
    pub(crate) fn minus(self, count: u64) -> Self {
        match self {
            Self::Bytes(left) if left == count => Self::Nothing,
            Self::Bytes(left) => Self::Bytes(left - count),
            Self::Chunk(left) if left == count => Self::ChunkEnd,
            Self::Chunk(left) => Self::Chunk(left - count),
            other => other,
        }
    }
}
