//! One round of the scrub: page by page, file by file, piece by piece.

use std::io;
use std::time::Duration;

use oci::{ByteRange, Digest, Hasher};
use storage::{OpenBlob, Part, Validator};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::heal::Damaged;
use super::note::{Counts, Note, Round};
use super::{Pause, Scrubber};
use crate::{manifests, stored_blobs};

/// After a failure of the store, the round goes on after this time.
pub(super) const FAILURE_PAUSE: Duration = Duration::from_secs(60);

/// Digests that are asked for at a time.
const PAGE_COUNT: usize = 256;

/// Bytes that are hashed in one job.
const PIECE_BYTES: u64 = 1 << 20;

/// A file takes at least this share of the rate: a disk reads as much while it looks for a small file.
const FILE_BYTES_MIN: u64 = 64 * 1024;

/// The note is written so often during a round. So much of the round is repeated after a crash.
const NOTE_EVERY: Duration = Duration::from_secs(60);

/// Damaged content is fetched again so often during a round, and at its end.
const HEAL_EVERY: Duration = Duration::from_secs(60);

/// After so many files in a row that cannot be read, the disk is the problem, and the round pauses.
const UNREADABLE_COUNT_MAX: u32 = 8;

/// A file that is replaced again and again while it is hashed is left to the next round.
const LOOK_COUNT_MAX: usize = 3;

/// The result of a look at a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Right,
    Damaged,
    /// It was evicted, set aside or replaced meanwhile.
    Gone,
    Unreadable,
}

/// The times of a round's next tasks.
struct Due {
    note: Instant,
    heal: Instant,
    unreadable_count: u32,
}

impl Scrubber {
    /// Goes on with the round of `note`, to its end.
    pub(super) async fn go_on(&self, note: &mut Note, cancel: &CancellationToken) -> Result<(), Pause> {
        let mut damaged = Damaged::default();
        let gone_on = self.look_at_all(note, &mut damaged, cancel).await;
        if gone_on != Err(Pause::Stopped) {
            self.heal(note, &mut damaged, cancel).await;
        }
        gone_on?;
        let now = (self.wall_clock)();
        note.end(now);
        let (registry, counts) = (&self.registry, note.last);
        if counts == Counts::default() {
            // An empty store is no news, least of all at the first start.
            return Ok(());
        }
        info!(
            %registry,
            bytes = counts.bytes,
            damaged = counts.damaged,
            healed = counts.healed,
            "a scrub of the store has ended"
        );
        Ok(())
    }

    async fn look_at_all(
        &self,
        note: &mut Note,
        damaged: &mut Damaged,
        cancel: &CancellationToken,
    ) -> Result<(), Pause> {
        let now = Instant::now();
        let mut due = Due { note: now + NOTE_EVERY, heal: now + HEAL_EVERY, unreadable_count: 0 };
        loop {
            let Some(round) = &note.round else { return Ok(()) };
            let page = self.store.digests(round.part, round.after.as_ref(), PAGE_COUNT).await;
            let page = page.map_err(|error| {
                self.failed(&error);
                Pause::Failed
            })?;
            for digest in &page {
                let Some(round) = &mut note.round else { return Ok(()) };
                self.look_at(round, digest, damaged, &mut due, cancel).await?;
                round.after = Some(digest.clone());
                self.state.show(note.report());
                self.upkeep(note, damaged, &mut due, cancel).await;
            }
            let Some(round) = &mut note.round else { return Ok(()) };
            if page.len() < PAGE_COUNT {
                match round.part {
                    Part::Manifests => (round.part, round.after) = (Part::Blobs, None),
                    Part::Blobs => return Ok(()),
                }
            }
        }
    }

    async fn upkeep(
        &self,
        note: &mut Note,
        damaged: &mut Damaged,
        due: &mut Due,
        cancel: &CancellationToken,
    ) {
        let now = Instant::now();
        if now >= due.heal {
            due.heal = now + HEAL_EVERY;
            self.heal(note, damaged, cancel).await;
        }
        if now >= due.note {
            due.note = now + NOTE_EVERY;
            self.write_note(note).await;
        }
    }

    async fn look_at(
        &self,
        round: &mut Round,
        digest: &Digest,
        damaged: &mut Damaged,
        due: &mut Due,
        cancel: &CancellationToken,
    ) -> Result<(), Pause> {
        let part = round.part;
        match self.examine(round, digest, cancel).await? {
            Found::Unreadable => {
                due.unreadable_count += 1;
                if due.unreadable_count >= UNREADABLE_COUNT_MAX {
                    return Err(Pause::Failed);
                }
                return Ok(());
            }
            Found::Right | Found::Gone => {}
            Found::Damaged => {
                round.counts.damaged += 1;
                self.metrics.scrub_damaged();
                let kind = if part == Part::Blobs { "blob" } else { "manifest" };
                warn!(registry = %self.registry, %digest, kind, "the scrub found a damaged file; quarantining it");
                if self.set_aside(part, digest).await {
                    damaged.add(part, digest);
                }
            }
        }
        due.unreadable_count = 0;
        Ok(())
    }

    async fn set_aside(&self, part: Part, digest: &Digest) -> bool {
        let set_aside = match part {
            Part::Blobs => stored_blobs::set_aside(&*self.store, &self.inventory, digest).await,
            Part::Manifests => manifests::stored::set_aside(&*self.store, &self.inventory, digest).await,
        };
        if let Err(error) = &set_aside {
            self.failed(error);
        }
        set_aside.is_ok()
    }

    /// Hashes a file. One with a wrong hash is damaged only if a second look finds the same file with a wrong
    /// hash: it may have been replaced meanwhile, or the memory may have failed.
    async fn examine(
        &self,
        round: &mut Round,
        digest: &Digest,
        cancel: &CancellationToken,
    ) -> Result<Found, Pause> {
        let mut wrong: Option<Option<Validator>> = None;
        for _ in 0..LOOK_COUNT_MAX {
            let file = match self.store.open_to_hash(round.part, digest).await {
                Ok(Some(file)) => file,
                Ok(None) => return Ok(Found::Gone),
                Err(error) => {
                    self.failed(&error);
                    return Ok(Found::Unreadable);
                }
            };
            let validator = file.validator();
            match self.is_right(round, digest, &file, cancel).await? {
                Ok(true) => return Ok(Found::Right),
                Ok(false) if wrong.as_ref() == Some(&validator) => return Ok(Found::Damaged),
                Ok(false) => wrong = Some(validator),
                Err(error) => {
                    self.metrics.store_failed(telemetry::StoreCall::Pread);
                    warn!(registry = %self.registry, %digest, %error, "the scrub cannot read a stored file");
                    return Ok(Found::Unreadable);
                }
            }
        }
        Ok(Found::Gone)
    }

    /// Whether the file has its digest.
    async fn is_right(
        &self,
        round: &mut Round,
        digest: &Digest,
        file: &OpenBlob,
        cancel: &CancellationToken,
    ) -> Result<io::Result<bool>, Pause> {
        let mut hasher = Hasher::new(digest.algorithm());
        let (mut start, size) = (0, file.size());
        while start < size {
            let end = size.min(start + PIECE_BYTES);
            hasher = match file.hash(hasher, ByteRange { start, end }).await {
                Ok(hasher) => hasher,
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Ok(false)),
                Err(error) => return Ok(Err(error)),
            };
            round.counts.bytes += end - start;
            self.metrics.scrubbed_bytes(end - start);
            self.take_turn(end - start, cancel).await?;
            start = end;
        }
        self.take_turn(FILE_BYTES_MIN.saturating_sub(size), cancel).await?;
        if hasher.finish() == *digest {
            return Ok(Ok(true));
        }
        // The digest of a signed manifest of schema 1 does not cover its signatures.
        if round.part == Part::Manifests && size <= oci::MANIFEST_BYTES_MAX as u64 {
            let len = usize::try_from(size).unwrap_or(usize::MAX);
            return Ok(file.read(0, len).await.map(|bytes| digest.is_of_manifest(&bytes)));
        }
        Ok(Ok(false))
    }

    /// Waits for as long as `bytes` take at the rate.
    async fn take_turn(&self, bytes: u64, cancel: &CancellationToken) -> Result<(), Pause> {
        let wait = self.pace.take(bytes);
        if !wait.is_zero() {
            let mut settings = self.pace.settings.subscribe();
            settings.mark_unchanged();
            tokio::select! {
                () = cancel.cancelled() => {}
                // New settings count at once.
                _ = settings.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        match self.pace.settings().every {
            _ if cancel.is_cancelled() => Err(Pause::Stopped),
            None => Err(Pause::Off),
            Some(_) => Ok(()),
        }
    }
}
