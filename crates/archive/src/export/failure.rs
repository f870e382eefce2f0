//! The reasons why an export ends early.

use std::io;

use oci::Digest;

/// The reasons why an export ended early.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The images of a store are not all known.
    #[error("wharf does not know all images of {0} yet; try again in a moment")]
    NotReady(String),
    /// The receiver of the stream is gone.
    #[error("the receiver of the archive has left")]
    Left,
    /// A blob changed or became unreadable after it was hashed.
    #[error("the blob {0} cannot be read: {1}")]
    Read(Digest, #[source] io::Error),
}
