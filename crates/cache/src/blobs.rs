//! The blobs of one registry: their state, and the table of fills.

use std::sync::Arc;
use std::time::Duration;

use oci::{Digest, Repository};
use upstream::Senders;

use crate::asker::Asker;
use crate::connections::Connections;
use crate::error::PullError;
use crate::fill::table::FillTable;
use crate::flight::Flights;
use crate::grants::Grants;
use crate::named_blobs::NamedBlobs;
use crate::recent::Recent;
use crate::shared::Shared;
use crate::store_tables::StoreTables;
use crate::stored_blobs::StoredBlobs;

/// A digest with wrong bytes stays suspect for this time.
const SUSPECT_TTL: Duration = Duration::from_secs(60);

/// The most suspects that are remembered.
const SUSPECT_COUNT_MAX: usize = 4096;

/// The same for one client that pulls with its own login.
const SUSPECT_COUNT_OF_CLIENT_MAX: usize = 64;

/// After this number of wrong bodies within a minute, a digest is not requested for that minute.
const MISMATCH_COUNT_MAX: u32 = 2;

/// The state of blobs, shared by pulls and transfers.
#[derive(Debug)]
pub(crate) struct Blobs {
    pub(crate) shared: Arc<Shared>,
    pub(crate) asker: Arc<Asker>,
    pub(crate) grants: Arc<Grants>,
    /// The blobs that lately fetched manifests name.
    pub(crate) named: Arc<NamedBlobs>,
    pub(crate) stored: Arc<StoredBlobs>,
    /// The fills in flight.
    pub(crate) fills: FillTable,
    /// The connections that fetch blobs.
    pub(crate) connections: Arc<Connections>,
    /// Digests with recently wrong bytes, and how often.
    suspects: Recent<Digest, u32>,
    /// HEADs in flight.
    pub(crate) size_flights: Flights<(Repository, Digest), Option<u64>>,
}

impl Blobs {
    pub(crate) fn new(
        shared: Arc<Shared>,
        asker: Arc<Asker>,
        grants: Arc<Grants>,
        named: Arc<NamedBlobs>,
        tables: &StoreTables,
    ) -> Self {
        Self {
            asker,
            grants,
            named,
            stored: tables.blobs.clone(),
            fills: tables.fills.clone(),
            connections: Arc::new(Connections::new()),
            suspects: Recent::new(SUSPECT_TTL, SUSPECT_COUNT_MAX),
            size_flights: shared.flights(),
            shared,
        }
    }

    /// The same blobs for one client, who joins the fills of the others under a grant of its own.
    pub(crate) fn for_client(&self, asker: Arc<Asker>, grants: Arc<Grants>, fills: FillTable) -> Self {
        Self {
            asker,
            grants,
            fills,
            shared: Arc::clone(&self.shared),
            named: Arc::clone(&self.named),
            stored: Arc::clone(&self.stored),
            connections: Arc::clone(&self.connections),
            suspects: Recent::new(SUSPECT_TTL, SUSPECT_COUNT_OF_CLIENT_MAX),
            size_flights: self.shared.flights_of_client(),
        }
    }

    /// Notes that the upstream's bytes for a blob were wrong. Its ranges may be the cause, for other blobs
    /// too: so this one is requested as a whole from now on, and if `has_ranges`, no blob is shared among
    /// connections for a while. Returns whether another address of the upstream may have the right bytes. If
    /// none has, the blob becomes suspect.
    pub(crate) fn note_mismatch(&self, digest: &Digest, has_ranges: bool, senders: &Senders) -> bool {
        self.shared.metrics.verify_failed();
        self.connections.ask_plainly(digest);
        if has_ranges {
            self.connections.note_refusal();
        }
        if self.asker.note_wrong(digest, senders) {
            return true;
        }
        let earlier = self.suspects.get(digest).unwrap_or_default();
        self.suspects.insert(digest.clone(), earlier + 1);
        false
    }

    /// # Errors
    /// [`PullError::DigestMismatch`] if the blob's bytes were recently wrong twice.
    pub(crate) fn refuse_suspect(&self, digest: &Digest) -> Result<(), PullError> {
        if self.suspects.get(digest).is_some_and(|count| count >= MISMATCH_COUNT_MAX) {
            return Err(PullError::mismatch(format!("the upstream keeps sending other bytes than {digest}")));
        }
        Ok(())
    }
}
