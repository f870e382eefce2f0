//! The query string of a request: decoded once, and read only for the keys that the API has.

/// A query string as it was sent, without the question mark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Query<'a>(&'a str);

/// The reasons why a query string cannot be used.
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
    /// Takes the text behind the question mark. `None` reads as empty.
    pub fn new(query: Option<&'a str>) -> Self {
        Self(query.unwrap_or_default())
    }

    /// Returns the first value of `key`, decoded once, or `None` if the key is missing or has no value.
    ///
    /// # Errors
    /// [`QueryError::Encoding`] if that value cannot be decoded. Other keys are not read.
    pub fn value(&self, key: &'static str) -> Result<Option<String>, QueryError> {
        self.values(key).next().transpose()
    }

    /// Returns each parameter as sent: its name, and its value if there is an equals sign.
    pub fn pairs(&self) -> impl Iterator<Item = (&'a str, Option<&'a str>)> + use<'a> {
        self.0.split('&').filter(|pair| !pair.is_empty()).map(|pair| match pair.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (pair, None),
        })
    }

    /// Returns every non-empty value of `key`, decoded once, in the order sent.
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
    let is_escape = |behind: &str| {
        behind.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    // The library would leave a `%` without two digits as it is.
    let is_well_formed = text.split('%').skip(1).all(is_escape);
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8().ok();
    decoded.filter(|_| is_well_formed).map(Into::into)
}

#[cfg(test)]
mod tests;
