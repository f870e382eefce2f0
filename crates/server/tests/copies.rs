//! The server's tests with blobs in files that are copied to the socket.

#![allow(clippy::unwrap_used, reason = "a test: every failure is to be loud")]

#[path = "it/suite.rs"]
mod suite;

use suite::lab;

type Mode = testlab::CopiedFiles;
