//! The query string of a request: decoded once, and read only for the keys that the API has.

/// A query string as it was sent, without the question mark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Query<'a>(&'a str);

/// Why a query string cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// A `%` without two hex digits, or bytes that are no UTF-8 once decoded.
    #[error("the query's `{0}` is not percent-encoded UTF-8")]
    Encoding(&'static str),
    /// A page size that is not a run of digits.
    #[error("the query's `{0}` is no number")]
    Number(&'static str),
    /// A value too long, with characters that are not visible ASCII, or outside the key's grammar.
    #[error("the query's `{0}` has no meaning here")]
    Value(&'static str),
}

impl<'a> Query<'a> {
    /// Takes the text behind the question mark; none reads as empty.
    pub fn new(query: Option<&'a str>) -> Self {
        Self(query.unwrap_or_default())
    }

    /// The first value of `key`, decoded once; none when the key is missing or has no value.
    ///
    /// # Errors
    /// [`QueryError::Encoding`] when that value cannot be decoded. Other keys are not looked at.
    pub fn value(&self, key: &'static str) -> Result<Option<String>, QueryError> {
        self.values(key).next().transpose()
    }

    /// Every non-empty value of `key`, decoded once, in the order sent.
    pub fn values(&self, key: &'static str) -> impl Iterator<Item = Result<String, QueryError>> + use<'a> {
        self.0
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .filter(move |(name, value)| *name == key && !value.is_empty())
            .map(move |(_, value)| percent_decode(value).ok_or(QueryError::Encoding(key)))
    }
}

/// Undoes percent-encoding. A `+` stays a `+`: no value of this API may hold a space, and media types such as
/// `application/vnd.example+json` are often sent unescaped.
fn percent_decode(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let (high, low) = (hex_value(bytes.next()?)?, hex_value(bytes.next()?)?);
            decoded.push(high << 4 | low);
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).ok()
}

fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
