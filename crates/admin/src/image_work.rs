//! Work on many images that the admin listener starts, and whose progress it reports.

use std::fmt;

use bytes::Bytes;
use oci::Platforms;
use tokio::sync::mpsc;

/// The most images of one request.
pub const IMAGE_COUNT_MAX: usize = 10_000;

/// The images of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageRequest {
    /// Their references, as people write them.
    pub images: Vec<String>,
    /// The platforms; `None`: those that the server chooses by default.
    pub platforms: Option<Platforms>,
    /// Whether what is attached to the images, such as signatures, is fetched too.
    pub with_referrers: bool,
}

/// The work. Each method returns JSON documents, one on a line, of which the last is a report. The work ends
/// when the receiver is dropped.
pub trait ImageWork: fmt::Debug + Send + Sync {
    /// Fetches images into the stores. `None`: too many such requests are in progress.
    fn pull(&self, request: ImageRequest) -> Option<mpsc::Receiver<Bytes>>;

    /// Finds out whether images can be pulled without their upstreams. `None`: too many such requests are in
    /// progress.
    fn verify(&self, request: ImageRequest) -> Option<mpsc::Receiver<Bytes>>;
}
