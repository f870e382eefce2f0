//! What wharf is tested against: a registry that misbehaves on request, sinks that count credentials,
//! images built from nothing, and a client that sees exactly how a body ended.
//!
//! Nothing here imports the product: digests are plain text and every format is written a second time, so
//! that a mistake in the product cannot cancel itself out. Everything listens on a loopback port that the
//! kernel chose and ends when its value is dropped. No wait sleeps: each is told of what it waits for, and
//! gives up after half a minute of real time, naming what did not happen.

mod authority;
mod blob_source;
pub mod client;
mod deadline;
mod fake_registry;
mod forward_proxy;
mod gate;
mod image;
mod incoming;
mod profile;
mod program;
mod sink;
mod stream;
mod temp_store;

pub use authority::{Authority, Certificate, Identity};
pub use blob_source::{BlobSource, digest_of};
pub use deadline::within;
pub use fake_registry::{
    Auth, Behaviour, Credential, DeadToken, Door, Ending, Endpoint, FakeRegistry, Fault, Kind, Log, RangeLie,
    RateLimit, Referrers, RequestRecord, Rule, ScopeRules, Scripted, Tls,
};
pub use forward_proxy::ForwardProxy;
pub use gate::{Gate, Valve};
pub use image::{
    Artifact, Blob, Compression, Entry, Format, Image, ImageBuilder, Index, archive, file_header,
};
pub use profile::{PROFILES, Played, Profile};
pub use program::{Program, Starting};
pub use sink::Sink;
pub use temp_store::TempStore;
