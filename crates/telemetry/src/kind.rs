//! The closed sets behind the `kind` labels.

use std::fmt::{self, Write as _};

use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};

/// The kinds of clients' requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The version check, `/v2/`.
    Version,
    /// A manifest, by tag or by digest.
    Manifest,
    /// A blob or a part of one.
    Blob,
    /// A page of a repository's tags.
    Tags,
    /// The referrers of a digest.
    Referrers,
    /// A page of the repositories held here.
    Catalog,
    /// Whatever is none of these: a push, a malformed path.
    Other,
}

impl Kind {
    /// The text of the label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::Manifest => "manifest",
            Self::Blob => "blob",
            Self::Tags => "tags",
            Self::Referrers => "referrers",
            Self::Catalog => "catalog",
            Self::Other => "other",
        }
    }
}

/// The kinds of our requests to an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UpstreamKind {
    /// `HEAD` of a manifest: the question "has the tag moved".
    HeadManifest,
    /// `GET` of a manifest: what Docker Hub counts as a pull.
    GetManifest,
    /// `HEAD` of a blob.
    HeadBlob,
    /// `GET` of a blob or a part of one.
    GetBlob,
    /// An exchange with a token realm.
    Token,
    /// A page of tags or of referrers.
    List,
    /// A further hop that a redirect led to.
    Redirect,
    /// The root, `/v2/`: whether the registry is there, and what it wants to be shown.
    Version,
}

impl UpstreamKind {
    /// The text of the label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HeadManifest => "head_manifest",
            Self::GetManifest => "get_manifest",
            Self::HeadBlob => "head_blob",
            Self::GetBlob => "get_blob",
            Self::Token => "token",
            Self::List => "list",
            Self::Redirect => "redirect",
            Self::Version => "version",
        }
    }
}

impl EncodeLabelValue for Kind {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        encoder.write_str(self.as_str())
    }
}

impl EncodeLabelValue for UpstreamKind {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        encoder.write_str(self.as_str())
    }
}
