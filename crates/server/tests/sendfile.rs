//! The server's tests with blobs in files that the kernel sends.

#![allow(clippy::unwrap_used, reason = "a test: every failure is to be loud")]

#[path = "it/suite.rs"]
mod suite;

use suite::lab;

type Mode = testlab::SentFiles;
