//! The tar stream of an export.

use std::io;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use oci::Digest;
use storage::OpenBlob;
use tokio::sync::mpsc;
use tokio::time;

use super::failure::ExportError;
use crate::layout::blob_name;
use crate::tarball::{END, comment, header_of, padding_after};

/// Bytes read at once.
const PIECE_BYTES: usize = 1 << 20;

/// While a large blob is hashed, something is sent this often, because clients and proxies give up on silent
/// connections.
const PULSE: Duration = Duration::from_secs(10);

/// Sends an archive.
#[derive(Debug)]
pub(super) struct Writer {
    out: mpsc::Sender<io::Result<Bytes>>,
}

impl Writer {
    pub(super) fn new(out: mpsc::Sender<io::Result<Bytes>>) -> Self {
        Self { out }
    }

    /// Sends a file.
    pub(super) async fn document(&self, name: &str, bytes: &[u8]) -> Result<(), ExportError> {
        let size = bytes.len() as u64;
        let padding = zeros(padding_after(size));
        self.send([&header_of(name, size)[..], bytes, &padding].concat().into()).await
    }

    /// Sends a blob, which was hashed.
    pub(super) async fn blob(&self, digest: &Digest, blob: &OpenBlob) -> Result<(), ExportError> {
        let failed = |error| ExportError::Read(digest.clone(), error);
        let (before, size) = (blob.validator(), blob.size());
        self.send(header_of(&blob_name(digest), size).into()).await?;
        let mut sent = 0;
        while sent < size {
            let piece = blob.read(sent, PIECE_BYTES).await.map_err(failed)?;
            if piece.is_empty() {
                return Err(failed(io::Error::other("the file became shorter")));
            }
            sent += piece.len() as u64;
            self.send(piece).await?;
        }
        if blob.validator() != before {
            return Err(failed(io::Error::other("the file changed while it was read")));
        }
        self.send(zeros(padding_after(size)).into()).await
    }

    /// Waits for work, and sends something now and then meanwhile.
    pub(super) async fn waiting_for<T>(&self, work: impl Future<Output = T>) -> Result<T, ExportError> {
        let mut work = pin!(work);
        loop {
            match time::timeout(PULSE, &mut work).await {
                Ok(done) => return Ok(done),
                Err(_) => self.send(comment("wharf hashes a large blob").into()).await?,
            }
        }
    }

    /// Sends the end.
    pub(super) async fn end(&self) -> Result<(), ExportError> {
        self.send(Bytes::from_static(&END)).await
    }

    async fn send(&self, bytes: Bytes) -> Result<(), ExportError> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.out.send(Ok(bytes)).await.map_err(|_| ExportError::Left)
    }
}

fn zeros(count: u64) -> Vec<u8> {
    vec![0; usize::try_from(count).expect("less than a block")]
}
