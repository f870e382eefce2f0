//! Responses to ranges, right (RFC 9110 section 14) or wrong.

/// A wrong response to a range. Requests without a satisfiable range are not affected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeLie {
    /// 416, although the bytes exist.
    NotSatisfiable,
    /// Another range than requested, correctly labelled: it starts this many bytes later (or earlier).
    Shifted(i64),
    /// Labelled as requested, but the bytes begin this many bytes later (or earlier).
    ClaimsAsked(i64),
    /// Right, except that the size of the whole is this.
    WrongTotal(u64),
    /// 206 without `Content-Range`.
    NoContentRange,
}

/// The meaning of a `Range` header for content of a known size; `end` is exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// No header, or one that must be ignored: another unit, malformed, or several ranges.
    Whole,
    /// These bytes.
    Span { start: u64, end: u64 },
    /// Bytes that do not exist.
    Nothing,
}

impl Asked {
    pub(crate) fn read(header: Option<&str>, size: u64) -> Self {
        let Some((first, last)) = header.and_then(|value| value.strip_prefix("bytes=")?.split_once('-'))
        else {
            return Self::Whole;
        };
        match (number(first), number(last)) {
            (Some(start), None) if last.is_empty() => Self::span(start, size, size),
            (Some(start), Some(last)) if start <= last => Self::span(start, last.saturating_add(1), size),
            (None, Some(count)) if first.is_empty() => Self::span(size.saturating_sub(count), size, size),
            _ => Self::Whole,
        }
    }

    fn span(start: u64, end: u64, size: u64) -> Self {
        let end = end.min(size);
        if start < end { Self::Span { start, end } } else { Self::Nothing }
    }
}

fn number(digits: &str) -> Option<u64> {
    if digits.bytes().all(|digit| digit.is_ascii_digit()) { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests;
