//! The HTTP upstream before a registry that misbehaves on request. Tests are named after the faults (F..)
//! and the attacks (S..) that they stage.

#![expect(clippy::unwrap_used, reason = "a test fails where it meets what it did not expect")]

mod auth;
mod blobs;
mod breaker;
mod challenges;
mod clouds;
mod economy;
mod failover;
mod head_trust;
mod hedge;
mod host_health;
mod lists;
mod logins;
mod manifests;
mod memory;
mod paths;
mod probe;
mod proxies;
mod realms;
mod redirects;
mod response_headers;
mod retries;
mod rig;
mod secrets;
mod throttling;
mod tls;
mod vanity;
mod wrong_bytes;
