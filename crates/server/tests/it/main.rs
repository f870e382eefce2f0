//! The server before its two fake upstreams, as bytes on a loopback socket. Its store is in memory; `copies`
//! and `sendfile` run the same tests on files.

#![allow(clippy::unwrap_used, reason = "a test: every failure is to be loud")]

#[path = "suite.rs"]
mod suite;

use suite::lab;

const STORES_FILES: bool = false;
const SENDFILE: bool = true;
