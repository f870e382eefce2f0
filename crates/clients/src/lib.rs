//! The settings by which each client uses wharf: from a [`Mirror`], the files of a [`Tool`] with their paths
//! and contents, the commands to run, and notes.
//!
//! The crate only writes texts. `wharf client` prints them, and `docs/how-to/clients.md` quotes them.

mod builders;
mod containerd;
mod engine;
mod hosts_file;
mod image_library;
mod kubernetes;
mod lazy;
mod mirror;
mod registries_yaml;
mod runners;
mod settings;
mod talos;
mod tool;

pub use self::mirror::{Authority, Mirror, Registry};
pub use self::settings::{File, Placement, Settings};
pub use self::tool::{TOOLS, Tool, Way, find};
