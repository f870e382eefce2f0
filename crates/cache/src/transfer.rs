//! A blob of one repository: the tasks that write a fill, and the readers that follow it.

pub(crate) mod far;
mod fetch;
pub(crate) mod follow;
mod front;
mod parts;
pub(crate) mod passing;
mod pump;
mod room;
pub(crate) mod run;

use std::sync::Arc;
use std::time::Duration;

use oci::{Digest, Repository};
use policy::head_trust::Stakes;
use storage::StoreError;
use telemetry::RegistryMetrics;

use crate::asker::Asking;
use crate::blobs::Blobs;
use crate::fill::Fill;
use crate::settings::Settings;

/// The deadline of a HEAD for a size that the transfer does not tell.
const SIZE_WAIT_MAX: Duration = Duration::from_secs(5);

/// A blob that is pulled through one repository. Cheap to make.
#[derive(Debug)]
pub(crate) struct Transfer {
    pub(crate) blobs: Arc<Blobs>,
    /// The repository in the upstream requests.
    pub(crate) repository: Repository,
    pub(crate) digest: Digest,
}

impl Transfer {
    fn settings(&self) -> &Settings {
        &self.blobs.shared.settings
    }

    fn metrics(&self) -> &RegistryMetrics {
        &self.blobs.shared.metrics
    }

    /// The registry's name, for the log.
    fn registry(&self) -> &str {
        &self.blobs.shared.name
    }

    /// The right to send requests to the upstream, for the duration of the fill.
    fn asking(&self) -> Asking {
        self.blobs.asker.ask_for_transfer()
    }

    /// Counts and logs a failure of the store.
    fn store_failed(&self, error: &StoreError) {
        self.blobs.shared.store_failed(error);
    }

    /// Whether clients get no byte of a blob of this size before all of it is verified. Then no range of it
    /// is urgent.
    fn is_verified_first(&self, size: u64) -> bool {
        size <= self.settings().verify_first_bytes_max
    }

    /// Whether ranges of the blob may be requested.
    fn may_ask_for_parts(&self, fill: &Fill) -> bool {
        self.blobs.connections.serve_parts() && !fill.claims().is_asked_plainly()
    }

    /// The blob's size from a manifest that names it, otherwise from one HEAD.
    async fn look_up_size(&self) -> Option<u64> {
        if let Some(size) = self.blobs.named.size(&self.repository, &self.digest) {
            return Some(size);
        }
        let asking = self.asking();
        let head = asking.upstream().head_blob(&self.repository, &self.digest, Stakes::Nothing);
        tokio::time::timeout(SIZE_WAIT_MAX, head).await.ok()?.ok()?.size
    }
}
