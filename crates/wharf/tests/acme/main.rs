//! Certificates from a real authority (Debian's `pebble`), which resolves names at a real DNS server
//! (Debian's `named`).
//!
//! A test without these programs prints `skipped` and passes, unless `WHARF_REQUIRE_CLIENTS` is set;
//! `.ci/install` installs both.

#![allow(clippy::unwrap_used, reason = "a test: every failure is to be loud")]

#[path = "../it/daemon.rs"]
mod daemon;
mod dns;
mod failures;
mod lab;
mod obtaining;
mod pebble;
#[allow(dead_code, reason = "the other tests of the program use the rest")]
#[path = "../it/program.rs"]
mod program;
mod state;
mod zone;
