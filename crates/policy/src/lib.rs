//! wharf's decisions as pure functions.
//!
//! Nothing here does I/O, reads a clock or draws a random number. The caller passes those values in, so that
//! every decision can be tested with a table.

pub mod access;
pub mod address;
pub mod approach;
pub mod breaker;
pub mod capacity;
pub mod connections;
pub mod docker_hub;
pub mod elapsed;
pub mod eviction;
pub mod failover;
pub mod freshness;
pub mod head_trust;
pub mod host;
pub mod host_health;
pub mod host_port;
pub mod image;
pub mod issuance;
pub mod login;
pub mod lru;
pub mod no_proxy;
pub mod offline;
pub mod pace;
pub mod rate;
pub mod realm;
pub mod renewal;
pub mod repository_pattern;
pub mod resume;
pub mod retry;
pub mod throttling;
pub mod visibility;
