//! The tests that hold for every way to send stored bytes.

mod access_log;
mod blobs;
mod bounds;
mod clock;
mod crowd;
mod drain;
pub(crate) mod lab;
mod listings;
mod manifests;
mod memory;
mod proxy_protocol;
mod refusals;
mod reload;
mod routing;
mod side;
mod slow_upstreams;
mod tls;
mod who_may_pull;
