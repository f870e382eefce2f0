//! Real clients pull through one wharf from two real registries that hold the same names with different
//! content: cold, warm, and with both registries gone.
//!
//! Each test starts everything it needs on loopback and ends it. A test without its client prints `skipped`
//! and passes, unless `WHARF_REQUIRE_CLIENTS` is set; `.ci/install` installs all of them.

mod applied;
mod archive;
mod carry;
mod compose;
mod containerd;
mod docker;
mod faults;
mod http;
mod image;
mod lab;
mod logins;
mod modern;
mod network;
mod passthrough;
mod podman;
mod private_authority;
mod process;
mod pulls;
mod registry;
mod room;
mod skopeo;
mod systemd;
mod trouble;
