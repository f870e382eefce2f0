//! Requests of the pull half of the distribution API (distribution-spec, "Endpoints"), as one closed enum.
//!
//! Repository names contain slashes and may contain words such as `manifests`, so the parser reads a path
//! from the right. The path arrives undecoded. It may hold no escape except for the colon of a digest.

use std::borrow::Cow;

use crate::digest::{Digest, DigestError};
use crate::error_code::ErrorCode;
use crate::media_type::MediaType;
use crate::query::{Query, QueryError};
use crate::reference::{Reference, ReferenceError};
use crate::repository::{Repository, RepositoryError};

/// The largest page size asked of an upstream or answered, in entries.
pub const PAGE_COUNT_MAX: u32 = 1000;

/// The longest `last` or cursor accepted, in bytes.
const POSITION_BYTES_MAX: usize = 1024;

/// A read of the distribution API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// `/v2/` and `/v2`.
    Version,
    /// `/v2/<name>/manifests/<reference>`.
    Manifest {
        /// `<name>`.
        repository: Repository,
        /// `<reference>`.
        reference: Reference,
    },
    /// `/v2/<name>/blobs/<digest>`.
    Blob {
        /// `<name>`.
        repository: Repository,
        /// `<digest>`.
        digest: Digest,
    },
    /// `/v2/<name>/tags/list`.
    Tags {
        /// `<name>`.
        repository: Repository,
        /// The requested part of the list.
        page: Page,
    },
    /// `/v2/<name>/referrers/<digest>`.
    Referrers {
        /// `<name>`.
        repository: Repository,
        /// The subject's digest.
        digest: Digest,
        /// Only referrers of this artifact type, a media type.
        artifact_type: Option<String>,
        /// The requested part of the list.
        page: Page,
    },
    /// `/v2/_catalog`.
    Catalog {
        /// The requested part of the list.
        page: Page,
    },
}

/// The requested part of a list (distribution-spec, "Listing Tags").
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The most entries to return, 0 to [`PAGE_COUNT_MAX`]; larger numbers are cut to that. Zero asks for an
    /// empty list without a `Link`, as the specification says. `None` leaves the number to the server.
    pub n: Option<u32>,
    /// The entry behind which the page starts. Visible ASCII.
    pub last: Option<String>,
    /// An upstream's own cursor: one of [`CURSOR_KEYS`] and its opaque value, from the `Link` that the client
    /// follows. Visible ASCII.
    pub cursor: Option<(&'static str, String)>,
}

impl Page {
    /// Reads the page that a query asks for. It ignores keys that no list has.
    ///
    /// # Errors
    /// [`QueryError`] if a value cannot be used.
    pub fn parse(query: Query<'_>) -> Result<Self, QueryError> {
        let n = match query.value("n")? {
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                // A run of digits that does not fit is a large number, not a malformed one.
                Some(digits.parse().unwrap_or(PAGE_COUNT_MAX).min(PAGE_COUNT_MAX))
            }
            Some(_) => return Err(QueryError::Number("n")),
            None => None,
        };
        let last = parse_position(query, "last")?;
        let cursors =
            CURSOR_KEYS.into_iter().map(|key| Ok(parse_position(query, key)?.map(|value| (key, value))));
        let cursor = cursors.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().next();
        Ok(Self { n, last, cursor })
    }

    /// Tells whether this page is not the first one.
    pub fn continues(&self) -> bool {
        self.last.is_some() || self.cursor.is_some()
    }
}

/// Query keys with which some registries continue a list instead of the specification's `last`.
pub const CURSOR_KEYS: [&str; 4] = ["next_page", "next", "page_token", "page"];

/// The reasons why a path and a query are no request of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The API has no such path.
    #[error("no such endpoint")]
    NotFound,
    /// `<name>` is outside the grammar.
    #[error(transparent)]
    NameInvalid(RepositoryError),
    /// `<digest>` is no digest.
    #[error(transparent)]
    DigestInvalid(DigestError),
    /// `<reference>` has no colon and is no tag.
    #[error(transparent)]
    TagInvalid(ReferenceError),
    /// The path has an escape, an empty or dot segment, a backslash, or a byte that is not visible ASCII.
    #[error("the path has an escape, an empty or dot segment, or a character outside the API's")]
    PathInvalid,
    /// A value in the query cannot be used.
    #[error(transparent)]
    QueryInvalid(QueryError),
}

impl RequestError {
    /// Returns the code for the error body.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NotFound => ErrorCode::NameUnknown,
            Self::NameInvalid(_) | Self::PathInvalid => ErrorCode::NameInvalid,
            Self::DigestInvalid(_) => ErrorCode::DigestInvalid,
            Self::TagInvalid(_) => ErrorCode::TagInvalid,
            Self::QueryInvalid(QueryError::Number(_)) => ErrorCode::PaginationNumberInvalid,
            Self::QueryInvalid(QueryError::Encoding(_) | QueryError::Value(_)) => ErrorCode::NameInvalid,
        }
    }
}

impl Request {
    /// The repository that the request is about; none for `/v2/` and the catalog.
    pub fn repository(&self) -> Option<&Repository> {
        match self {
            Self::Version | Self::Catalog { .. } => None,
            Self::Manifest { repository, .. }
            | Self::Blob { repository, .. }
            | Self::Tags { repository, .. }
            | Self::Referrers { repository, .. } => Some(repository),
        }
    }

    /// Reads a path such as `/v2/library/alpine/manifests/latest`, raw as it stood in the request line, and
    /// the query behind it.
    ///
    /// It reads only the query keys `n`, `last`, `artifactType` and the [`CURSOR_KEYS`], and only where the
    /// endpoint has them. (Routing reads `ns` before.)
    ///
    /// # Errors
    /// [`RequestError`], of which only [`RequestError::NotFound`] is a 404; the others are 400.
    pub fn parse(path: &str, query: Option<&str>) -> Result<Self, RequestError> {
        let rest = match path.strip_prefix("/v2") {
            Some("" | "/") => return Ok(Self::Version),
            Some(rest) => rest.strip_prefix('/').ok_or(RequestError::NotFound)?,
            None => return Err(RequestError::NotFound),
        };
        if !is_plain(rest) {
            return Err(RequestError::PathInvalid);
        }
        let query = Query::new(query);
        if rest == "_catalog" {
            return Ok(Self::Catalog { page: parse_page(query)? });
        }
        let (head, last) = rest.rsplit_once('/').ok_or(RequestError::NotFound)?;
        let (name, endpoint) = head.rsplit_once('/').ok_or(RequestError::NotFound)?;
        match endpoint {
            "manifests" => {
                Ok(Self::Manifest { repository: parse_name(name)?, reference: parse_reference(last)? })
            }
            "blobs" => Ok(Self::Blob { repository: parse_name(name)?, digest: parse_digest(last)? }),
            "referrers" => Ok(Self::Referrers {
                repository: parse_name(name)?,
                digest: parse_digest(last)?,
                artifact_type: parse_artifact_type(query)?,
                page: parse_page(query)?,
            }),
            "tags" if last == "list" => {
                Ok(Self::Tags { repository: parse_name(name)?, page: parse_page(query)? })
            }
            _ => Err(RequestError::NotFound),
        }
    }
}

/// Tells whether the path behind `/v2/` has only visible ASCII, no backslash, no empty or dot segment, and no
/// escape except for colons in the last segment, which may be a digest. The last segment may be empty: the
/// API has no such path, but it is no attack either.
fn is_plain(rest: &str) -> bool {
    let has_good_bytes = rest.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let has_dots = rest.split('/').any(|segment| segment == "." || segment == "..");
    let (front, last) = rest.rsplit_once('/').unwrap_or(("", rest));
    let has_escape = front.contains('%') || decode_colon(last).contains('%');
    has_good_bytes && !has_dots && !has_escape && !rest.starts_with('/') && !rest.contains("//")
}

/// Some clients escape the colon of a digest in a path.
fn decode_colon(segment: &str) -> Cow<'_, str> {
    if segment.contains('%') {
        segment.replace("%3A", ":").replace("%3a", ":").into()
    } else {
        segment.into()
    }
}

fn parse_name(name: &str) -> Result<Repository, RequestError> {
    name.parse().map_err(RequestError::NameInvalid)
}

fn parse_digest(segment: &str) -> Result<Digest, RequestError> {
    decode_colon(segment).parse().map_err(RequestError::DigestInvalid)
}

fn parse_reference(segment: &str) -> Result<Reference, RequestError> {
    decode_colon(segment).parse().map_err(|error| match error {
        ReferenceError::Digest(error) => RequestError::DigestInvalid(error),
        ReferenceError::Tag => RequestError::TagInvalid(error),
    })
}

fn parse_page(query: Query<'_>) -> Result<Page, RequestError> {
    Page::parse(query).map_err(RequestError::QueryInvalid)
}

fn parse_position(query: Query<'_>, key: &'static str) -> Result<Option<String>, QueryError> {
    let value = query.value(key)?;
    let is_usable = |value: &String| {
        value.len() <= POSITION_BYTES_MAX && value.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if value.as_ref().is_some_and(|value| !is_usable(value)) {
        return Err(QueryError::Value(key));
    }
    Ok(value)
}

fn parse_artifact_type(query: Query<'_>) -> Result<Option<String>, RequestError> {
    let artifact_type = query.value("artifactType").map_err(RequestError::QueryInvalid)?;
    match artifact_type {
        Some(text) if text.parse::<MediaType>().is_err() => {
            Err(RequestError::QueryInvalid(QueryError::Value("artifactType")))
        }
        other => Ok(other),
    }
}

#[cfg(test)]
mod tests;
