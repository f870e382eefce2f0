//! The lab of this suite, which stores and sends blobs in the mode of its test program.

pub(crate) use testlab::{DOMAIN, HUB, QUAY, loopback};

pub(crate) type Lab = testlab::Lab<crate::Mode>;

pub(crate) const STORES_FILES: bool = <crate::Mode as testlab::Mode>::STORES_FILES;

/// Whether the kernel sends stored blobs.
pub(crate) const SENDS_FILES: bool = STORES_FILES && <crate::Mode as testlab::Mode>::SENDFILE;
