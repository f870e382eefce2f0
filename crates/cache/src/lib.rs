//! A backend: serves a registry from a store and an upstream, with one transfer for all clients of a blob.
//!
//! This is the only crate that sees both the upstream and the store. It knows no HTTP: it takes typed
//! requests and returns typed answers, and every error says what the caller can do.

mod answer;
mod asker;
mod backend;
mod bandwidth;
mod blob_reader;
mod blobs;
mod client_view;
mod connections;
mod detail;
mod error;
mod fill;
mod flight;
mod grants;
mod listings;
mod manifests;
mod named_blobs;
mod offline;
mod outcome;
mod permits;
mod pull_blob;
mod pull_ranges;
mod read_ahead;
mod reading;
mod recent;
mod refusals;
mod scrub;
mod scrub_state;
mod served_store;
mod settings;
mod shared;
mod store_health;
mod store_tables;
mod stored_blobs;
mod tags;
mod transfer;
mod verified;
mod visibility;
mod warm;
mod warm_blob;
mod warm_room;

pub use access::NotTaken;
pub use answer::{BlobAnswer, CatalogAnswer, Keeping, ListAnswer, ManifestAnswer, Refreshed, Want};
pub use backend::{Backend, Parts, Upstreams};
pub use blob_reader::{BlobReader, FilePiece, Piece};
pub use client_view::Rights;
pub use detail::Detail;
pub use error::PullError;
pub use offline::{NotNoted, OfflineSwitch, OfflineSwitches};
pub use outcome::Outcome;
pub use permits::Bounds;
pub use pull_ranges::BlobParts;
pub use scrub::{ScrubPace, ScrubSettings, Scrubber};
pub use scrub_state::ScrubReport;
pub use settings::Settings;
pub use store_health::{StoreHealth, WriteTrouble};
pub use upstream::{AddressStatus, LoginState, LoginStatus};
pub use visibility::AnonymousUpstream;
pub use warm::{RefreshError, Wanted, WarmError, WarmProgress, Warmed};
pub use warm_room::KeptBlobs;
