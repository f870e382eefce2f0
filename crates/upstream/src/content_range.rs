//! The `Content-Range` header of a 206.

use oci::ByteRange;

/// The value of a `Content-Range` header with a range in it (RFC 9110, section 14.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ContentRange {
    /// The bytes that follow; not empty.
    pub(crate) range: ByteRange,
    /// The size of the whole, if given.
    pub(crate) size: Option<u64>,
}

impl ContentRange {
    /// Reads `bytes <first>-<last>/<size>`, where the size may be `*`. None for anything else, such as a last
    /// byte before the first or past the end.
    pub(crate) fn parse(value: &str) -> Option<Self> {
        let rest = value.trim().strip_prefix("bytes ")?;
        let (range, size) = rest.trim_start().split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let (start, last) = (parse_digits(first)?, parse_digits(last)?);
        let size = if size == "*" { None } else { Some(parse_digits(size)?) };
        let end = last.checked_add(1)?;
        let fits = start < end && size.is_none_or(|size| end <= size);
        fits.then_some(Self { range: ByteRange { start, end }, size })
    }
}

fn parse_digits(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

#[cfg(test)]
mod tests;
