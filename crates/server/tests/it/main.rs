//! The server before two fake upstreams, tested over loopback sockets. Its store is in memory; `copies` and
//! `sendfile` run the same tests on files.

#![allow(clippy::unwrap_used, reason = "a test: every failure is to be loud")]

#[path = "suite.rs"]
mod suite;

use suite::lab;

type Mode = testlab::InMemory;
