//! The registry that we pull from: requests to it, and what its answers mean.
//!
//! Everything of one [`HttpUpstream`] is its own: connections, tokens, breaker, retry budget; only the
//! [`Authorities`] are everybody's. Nothing is cached here but tokens, and no byte of an answer is trusted:
//! verifying content is the cache's work.

mod auth;
mod base;
mod blob;
mod clients;
mod content_range;
mod contract;
mod diagnosis;
mod error;
mod exchange;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod gate;
mod gates;
mod head_trust;
mod hedge;
mod http;
mod link;
mod list;
mod location;
mod manifest;
mod negative_answer;
mod operation;
mod probe;
mod redirect;
mod registry;
mod resolver;
mod response_headers;
mod settings;
mod status;
mod tls;
mod transport;
mod whole_body;

pub use contract::{
    BlobHead, BlobRange, BlobStream, Described, ListPage, ListRequest, ManifestBody, ManifestHead, Upstream,
};
pub use error::{Error, ErrorKind};
pub use http::HttpUpstream;
pub use list::LIST_BYTES_MAX;
pub use manifest::MANIFEST_BYTES_MAX;
pub use probe::{Login, Probe, Reached};
pub use settings::{Settings, SettingsError, connect_timeout_max};
pub use tls::Authorities;
