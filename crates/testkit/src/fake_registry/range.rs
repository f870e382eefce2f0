//! Ranges of bytes, answered truly (RFC 9110 section 14) or not.

/// How an answer to a range lies. Nothing happens to requests without a satisfiable range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeLie {
    /// 416, although there are such bytes.
    NotSatisfiable,
    /// Another range than requested, correctly labelled: it starts this many bytes later (or earlier).
    Shifted(i64),
    /// Labelled as asked, but the bytes begin so much later (or earlier).
    ClaimsAsked(i64),
    /// Right but for the size of the whole, which is given as this.
    WrongTotal(u64),
    /// 206 without `Content-Range`.
    NoContentRange,
}

/// What a `Range` header asks of content of a known size; `end` is exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// No header, or one that is to be ignored: another unit, malformed, or several ranges.
    Whole,
    /// These bytes.
    Span { start: u64, end: u64 },
    /// Bytes that are not there.
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
