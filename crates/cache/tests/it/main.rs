//! The cache's core on paused time, before an upstream and a store in memory.

mod blobs;
mod faults;
mod manifests;
mod ranges;
mod store_faults;
mod upstream;
mod world;
