//! The upstream registry: requests to it, and the meaning of its answers.
//!
//! Each [`HttpUpstream`] has its own connections, tokens, breakers and retry budget; they share only the
//! [`Authorities`]. This crate caches only tokens, and trusts no byte of an answer: the cache verifies
//! content.

mod accounts;
mod auth;
mod base;
mod blob;
mod clients;
mod content_range;
mod contract;
mod diagnosis;
mod error;
mod exchange;
mod failover;
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
mod login_check;
mod manifest;
mod negative_answer;
mod operation;
mod probe;
mod redirect;
mod registry;
mod resolver;
mod response_headers;
mod service_client;
mod settings;
mod status;
mod tls;
mod token_services;
mod transport;
mod whole_body;

pub use contract::{
    AddressPosition, AddressStatus, BlobHead, BlobRange, BlobStream, ClientLogin, Described, ListPage,
    ListRequest, LoginState, LoginStatus, ManifestBody, ManifestHead, Senders, Upstream,
};
pub use error::{Error, ErrorKind};
pub use http::HttpUpstream;
pub use list::LIST_BYTES_MAX;
pub use oci::MANIFEST_BYTES_MAX;
pub use probe::{Login, LoginCheck, Probe, Reached};
pub use service_client::ServiceClient;
pub use settings::{ProxySettings, Settings, SettingsError, UPSTREAM_ADDRESS_COUNT_MAX, connect_timeout_max};
pub use tls::Authorities;
