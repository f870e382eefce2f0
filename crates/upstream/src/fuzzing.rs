//! The parsers of an upstream's words, for those who check what holds for every input.

use std::time::Duration;

use http::HeaderValue;
use oci::{ByteRange, Repository};
use url::Url;

/// The value of `Authorization` and the lifetime that a token answer stands for.
pub fn parse_token(bytes: &[u8]) -> Option<(HeaderValue, Duration)> {
    let token = crate::auth::token::parse(bytes)?;
    Some((token.header, token.lifetime))
}

/// The scopes that are asked for, once a challenge named `scope` for `met`: for `met`, and for `other`.
pub fn scopes(scope: Option<&str>, met: &Repository, other: &Repository) -> [String; 2] {
    use crate::auth::scope::{Need, Scope, Scopes};
    let mut scopes = Scopes::default();
    scopes.learn(Need::Content, met, &Scope::read(scope, met));
    [scopes.of(Need::Content, met), scopes.of(Need::Content, other)]
}

/// The range and the size of a `Content-Range`.
pub fn parse_content_range(value: &str) -> Option<(ByteRange, Option<u64>)> {
    let told = crate::content_range::ContentRange::parse(value)?;
    Some((told.range, told.size))
}

/// The query of the next page that the values of `Link` headers name.
pub fn next_query(values: &[&str], page: &Url) -> Option<String> {
    crate::link::next_query(values.iter().copied(), page)
}

/// Returns the URL to which a `Location` leads, and whether credentials would go along.
///
/// # Errors
/// The text says why it is not followed.
pub fn follow_location(current: &Url, location: &[u8]) -> Result<(Url, bool), &'static str> {
    let next = crate::location::resolve_location(current, location)?;
    let is_home = crate::location::is_same_origin(current, &next);
    Ok((next, is_home))
}
