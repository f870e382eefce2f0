//! The server before its two fake upstreams, as bytes on a loopback socket.

#![allow(clippy::unwrap_used, reason = "a test: every failure is to be loud")]

mod access;
mod admin;
mod blobs;
mod bounds;
mod drain;
mod lab;
mod listings;
mod manifests;
mod refusals;
mod routing;
