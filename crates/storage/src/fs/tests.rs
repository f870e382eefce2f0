use std::sync::Arc;

use telemetry::{Metrics, RegistryMetrics};
use tempfile::TempDir;

use super::{FsStore, open};
use crate::conformance::{self, Engine};

pub(super) fn metrics() -> Arc<RegistryMetrics> {
    Metrics::new(&["test".to_owned()]).registry("test")
}

/// A directory with a store in it.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
}

impl Engine for Place {
    type Store = FsStore;

    fn open(&self) -> FsStore {
        open(self.0.path(), metrics()).unwrap()
    }
}

#[tokio::test]
async fn the_file_engine_conforms() {
    conformance::run(Place::new).await;
}
