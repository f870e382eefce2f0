//! Test doubles for wharf: a registry that misbehaves on request, sinks that count credentials, generated
//! images, and a client that sees exactly how a body ended.
//!
//! This crate does not import the product: digests are plain text and every format is implemented a second
//! time, so that a mistake in the product cannot cancel itself out. All servers listen on a loopback port
//! that the kernel chose, and stop when their value is dropped. Waits do not poll: each is notified of its
//! event, and panics after half a minute of real time with the name of the missing event.

mod authority;
mod blob_source;
mod canary;
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
mod socks_proxy;
mod stand_in;
mod stream;
mod temp_store;
mod world;

pub use authority::{Authority, Certificate, Identity};
pub use blob_source::{BlobSource, digest_of};
pub use canary::assert_tells_no_secret;
pub use deadline::within;
pub use fake_registry::{
    Account, Auth, Behaviour, Credential, DeadToken, Door, Ending, Endpoint, FakeRegistry, Fault, Kind, Log,
    RangeLie, RateLimit, Referrers, RequestRecord, Rule, ScopeRules, Scripted, Tls,
};
pub use forward_proxy::ForwardProxy;
pub use gate::{Gate, Valve};
pub use image::{
    Artifact, Blob, Compression, Entry, Format, Image, ImageBuilder, Index, archive, file_header,
};
pub use profile::{PROFILES, Played, Profile};
pub use program::{Program, Starting};
pub use sink::Sink;
pub use socks_proxy::SocksProxy;
pub use stand_in::{StandIn, StandInAnswer, StandInRequest};
pub use temp_store::TempStore;
pub use world::{World, WorldAnswer, WorldRequest, WorldTls};
