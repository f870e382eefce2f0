//! Error codes of the distribution API (distribution-spec, "Error Codes"), and further codes that clients
//! know from the reference implementation.

use std::fmt;

/// The `code` of an error body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// No such blob in this repository.
    BlobUnknown,
    /// A digest was expected, and the text is none.
    DigestInvalid,
    /// No such manifest in this repository.
    ManifestUnknown,
    /// The repository name is outside the grammar.
    NameInvalid,
    /// No such repository, or no such registry here.
    NameUnknown,
    /// A tag was expected, and the text is none (not in the specification's list).
    TagInvalid,
    /// The page size is not a number (not in the specification's list).
    PaginationNumberInvalid,
    /// The range cannot be served (not in the specification's list).
    RangeInvalid,
    /// The client must authenticate.
    Unauthorized,
    /// The client, or wharf's own account at the upstream, may not read this.
    Denied,
    /// An operation that a pull-only registry does not have.
    Unsupported,
    /// Too many requests, here or at the upstream.
    TooManyRequests,
    /// The upstream cannot be asked just now (not in the specification's list).
    Unavailable,
    /// A fault without a code of its own (not in the specification's list).
    Unknown,
}

impl ErrorCode {
    /// Returns the code as an error body spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BlobUnknown => "BLOB_UNKNOWN",
            Self::DigestInvalid => "DIGEST_INVALID",
            Self::ManifestUnknown => "MANIFEST_UNKNOWN",
            Self::NameInvalid => "NAME_INVALID",
            Self::NameUnknown => "NAME_UNKNOWN",
            Self::TagInvalid => "TAG_INVALID",
            Self::PaginationNumberInvalid => "PAGINATION_NUMBER_INVALID",
            Self::RangeInvalid => "RANGE_INVALID",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::Denied => "DENIED",
            Self::Unsupported => "UNSUPPORTED",
            Self::TooManyRequests => "TOOMANYREQUESTS",
            Self::Unavailable => "UNAVAILABLE",
            Self::Unknown => "UNKNOWN",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests;
