//! The server's tests once more, with blobs in files that are copied to the socket.

#![allow(clippy::unwrap_used, reason = "a test: every failure is to be loud")]

#[path = "it/suite.rs"]
mod suite;

use suite::lab;

const STORES_FILES: bool = true;
const SENDFILE: bool = false;
