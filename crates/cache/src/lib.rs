//! One backend's life: what it holds, what it asks its upstream, and how many clients share one transfer.
//!
//! The only room that sees both the upstream and the store. It knows no HTTP: it takes typed requests and
//! gives typed answers, and every error says what the caller can do.

mod answer;
mod backend;
mod blob_reader;
mod error;
mod fill;
mod flight;
mod grants;
mod held_manifests;
mod listing;
mod manifest_fetch;
mod outcome;
mod pull_blob;
mod pull_manifest;
mod pull_ranges;
mod recent;
mod settings;
mod tag_check;
mod verified;
mod waiting;

pub use answer::{BlobAnswer, CatalogAnswer, Keeping, ListAnswer, ManifestAnswer, Want};
pub use backend::{Backend, Parts};
pub use blob_reader::{BlobReader, FilePiece, Piece};
pub use error::PullError;
pub use outcome::Outcome;
pub use pull_ranges::BlobParts;
pub use settings::Settings;
pub use waiting::Bounds;
