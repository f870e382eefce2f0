//! Fetches damaged content again that a held image needs. A client that meets a missing blob would fetch it
//! too; the scrub does so before the upstream is needed and away.

use std::collections::HashSet;
use std::sync::Arc;

use oci::{Digest, Repository};
use storage::Part;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Scrubber;
use super::note::Note;
use crate::backend::Backend;

/// Damaged digests of one round that are fetched again. Clients fetch the others.
const DAMAGED_COUNT_MAX: usize = 4096;

/// The damaged content of a round.
#[derive(Debug, Default)]
pub(super) struct Damaged {
    waiting: Vec<(Part, Digest)>,
    seen_count: usize,
}

impl Damaged {
    pub(super) fn add(&mut self, part: Part, digest: &Digest) {
        if self.seen_count < DAMAGED_COUNT_MAX {
            self.seen_count += 1;
            self.waiting.push((part, digest.clone()));
        }
    }
}

impl Scrubber {
    /// Fetches what was found damaged since the last call, one after the other, each once.
    pub(super) async fn heal(&self, note: &mut Note, damaged: &mut Damaged, cancel: &CancellationToken) {
        let waiting = std::mem::take(&mut damaged.waiting);
        let is_online = |backend: &Arc<Backend>| !backend.offline().state().is_offline;
        let Some(backend) = self.backend.read().upgrade().filter(is_online) else { return };
        // Manifests first: a manifest that is back tells which blobs are needed.
        for (_, digest) in waiting.iter().filter(|(part, _)| *part == Part::Manifests) {
            let Some(repository) = self.inventory.repository_with(digest) else { continue };
            self.heal_one(note, &backend, Part::Manifests, &repository, digest, cancel).await;
        }
        let blobs: HashSet<Digest> =
            waiting.into_iter().filter(|(part, _)| *part == Part::Blobs).map(|(_, digest)| digest).collect();
        if blobs.is_empty() {
            return;
        }
        for (digest, repository) in self.inventory.repositories_needing(&blobs).await {
            self.heal_one(note, &backend, Part::Blobs, &repository, &digest, cancel).await;
        }
    }

    async fn heal_one(
        &self,
        note: &mut Note,
        backend: &Arc<Backend>,
        part: Part,
        repository: &Repository,
        digest: &Digest,
        cancel: &CancellationToken,
    ) {
        let heal = async {
            match part {
                Part::Manifests => backend.heal_manifest(repository, digest).await,
                Part::Blobs => backend.heal_blob(repository, digest).await,
            }
        };
        if cancel.run_until_cancelled(heal).await != Some(true) {
            let registry = &self.registry;
            warn!(%registry, %repository, %digest, "damaged content was not fetched again; the next pull tries");
            return;
        }
        if let Some(round) = &mut note.round {
            round.counts.healed += 1;
        }
        self.metrics.scrub_healed();
        info!(registry = %self.registry, %repository, %digest, "damaged content was fetched again");
    }
}

impl Backend {
    /// Fetches a manifest that is not stored. Returns whether it is now.
    async fn heal_manifest(&self, repository: &Repository, digest: &Digest) -> bool {
        let fetched = self.manifests.fetch(repository, digest, None).await;
        fetched.is_ok() && self.manifests.stored().find(repository, digest).await.is_some()
    }

    /// Fetches a blob that is not stored. Returns whether it is stored now.
    async fn heal_blob(&self, repository: &Repository, digest: &Digest) -> bool {
        self.blobs.warm(repository, digest, |_| {}).await.is_ok()
    }
}
