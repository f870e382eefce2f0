//! wharf's decisions: values in, a verdict out.
//!
//! Nothing here does I/O, reads a clock or draws a random number; the caller hands those values in, so that
//! every decision can be tested as a table.

pub mod access;
pub mod address;
pub mod approach;
pub mod breaker;
pub mod capacity;
pub mod connections;
pub mod docker_hub;
pub mod freshness;
pub mod head_trust;
pub mod host;
pub mod host_health;
pub mod host_port;
pub mod login;
pub mod lru;
pub mod pace;
pub mod realm;
pub mod resume;
pub mod retry;
pub mod throttling;
