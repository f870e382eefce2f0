//! The requirements of the OCI distribution-spec for pulling, as tests of the whole program with a fake
//! registry. Clauses are those of version 1.1.1 and of its "Endpoints" (`end-1` to `end-12b`).
//!
//! Each requirement is checked in every form of address that wharf has, cold, warm, and with the upstream
//! gone.

mod blobs;
mod listings;
mod manifests;
mod place;
mod refusals;
mod upstreams;
mod version;
