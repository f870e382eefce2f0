//! A URL that prints without its secrets.

use std::fmt;
use std::str::FromStr;

use url::{ParseError, Url};

/// A URL whose `Display` and `Debug` show scheme, host, port and path only.
///
/// User name and password become `***@`, and the query becomes `?***`: the signed addresses that registries
/// redirect to carry a key there. It omits the fragment.
#[derive(Clone, PartialEq, Eq)]
pub struct RedactedUrl(Url);

impl RedactedUrl {
    /// Returns the whole URL. A review looks at every call.
    pub fn expose(&self) -> &Url {
        &self.0
    }
}

impl From<Url> for RedactedUrl {
    fn from(url: Url) -> Self {
        Self(url)
    }
}

/// The error comes from the `url` crate, which does not quote the text.
impl FromStr for RedactedUrl {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        text.parse().map(Self)
    }
}

impl fmt::Display for RedactedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = &self.0;
        if url.cannot_be_a_base() {
            // No part of such a URL, `data:` or `mailto:`, is known to be free of secrets.
            return write!(f, "{}:***", url.scheme());
        }
        write!(f, "{}://", url.scheme())?;
        if !url.username().is_empty() || url.password().is_some() {
            f.write_str("***@")?;
        }
        f.write_str(url.host_str().unwrap_or_default())?;
        if let Some(port) = url.port() {
            write!(f, ":{port}")?;
        }
        f.write_str(url.path())?;
        if url.query().is_some() {
            f.write_str("?***")?;
        }
        Ok(())
    }
}

impl fmt::Debug for RedactedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests;
