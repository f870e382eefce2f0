//! Read ahead: when a client downloads a layer that is not stored, the other missing layers of the image are
//! fetched before the client requests them. Clients download about three layers at a time, each over one
//! connection; a registry often delivers more than that.
//!
//! A layer that is read ahead is a fill without clients. When upstream permits run out, such a fill gives
//! way, and no further connection is opened for it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use oci::{Digest, RangeRequest, Repository};
use tracing::debug;

use crate::blobs::Blobs;
use crate::fill::Fill;
use crate::named_blobs::ReadAheadTurn;
use crate::permits::PermitHolder;

/// A client that requested a layer within this time counts as pulling the image: it may be reading stored
/// layers.
const ASKED_LATELY: Duration = Duration::from_secs(10);

impl Blobs {
    /// Begins to fetch the other missing layers of the image with the layer `digest`, which a client is
    /// downloading. Has no effect unless `digest` is a layer of an image whose manifest was fetched recently.
    pub(crate) fn read_ahead(
        self: &Arc<Self>,
        repository: &Repository,
        digest: &Digest,
        range: Option<&RangeRequest>,
    ) {
        let settings = &self.shared.settings;
        let is_whole = matches!(range, None | Some(RangeRequest::From { start: 0, last: None }));
        if settings.read_ahead_count == 0 || self.shared.offline.state().is_offline || !is_whole {
            return;
        }
        let Some(layers) = self.named.layers_beside(repository, digest) else { return };
        let Some(turn) = layers.begin_read_ahead() else { return };
        let (blobs, repository) = (Arc::clone(self), repository.clone());
        self.shared.tasks.spawn(async move {
            let cancel = blobs.shared.cancel.clone();
            let _: Option<()> = cancel.run_until_cancelled(blobs.fetch_layers(&repository, &turn)).await;
        });
    }

    /// Fetches missing layers, some at a time, while a client pulls the image. After a failure no further
    /// layer is begun: clients get the same error, and report it.
    async fn fetch_layers(self: &Arc<Self>, repository: &Repository, turn: &ReadAheadTurn) {
        let mut under_way = FuturesUnordered::new();
        for digest in turn.digests() {
            if under_way.len() >= self.shared.settings.read_ahead_count
                && under_way.next().await == Some(false)
            {
                break;
            }
            if !self.is_wanted(turn) {
                break;
            }
            // A layer that is not stored for want of room would come twice.
            let size = self.named.size(repository, digest);
            if size.is_some_and(|size| !self.shared.inventory.fits(size)) {
                continue;
            }
            if self.fills.get(digest).is_none() && self.stored.open(digest).await.is_none() {
                let fill = self.begin_fill(repository, digest);
                under_way.push(async move { fill.is_joined_or_over().await });
            }
        }
        // The turn ends with the last of them, so that no second task begins further ones.
        while under_way.next().await.is_some() {}
    }

    /// Whether a client downloads a layer of the image, or has just requested one.
    fn is_wanted(&self, turn: &ReadAheadTurn) -> bool {
        if turn.asked_at().elapsed() < ASKED_LATELY {
            return true;
        }
        let mut fills = turn.digests().iter().filter_map(|digest| self.fills.get(digest));
        fills.any(|fill| fill.has_clients())
    }

    /// Joins the fill for a layer, or starts one without a client.
    fn begin_fill(self: &Arc<Self>, repository: &Repository, digest: &Digest) -> Arc<Fill> {
        let transfer = self.transfer(repository, digest);
        let joined = self.fills.join_or_start(digest, repository, |writer| {
            self.shared.metrics.read_ahead();
            debug!(registry = %self.shared.name, %repository, %digest, "reading a layer ahead");
            transfer.spawn(writer, None);
        });
        joined.fill
    }
}
