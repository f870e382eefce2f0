//! The repositories of one store that were public when the upstream was last asked, in memory and as a note
//! of the store.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use oci::Repository;
use parking_lot::Mutex;
use policy::lru::LruMap;
use policy::visibility::remaining;
use storage::{RecordStore, StoreError};
use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::shared::Shared;

/// The most public repositories of one registry that are remembered. A further one replaces the one that was
/// used least recently, which an outage then takes away.
pub(crate) const PUBLIC_COUNT_MAX: usize = 16 * 1024;

/// The note's name in the store.
const NAME: &str = "public";

const HEAD: &str = "wharf-public 1";
const END: &str = "end";

/// The public repositories of one store. Its backends share the table.
#[derive(Debug)]
pub(crate) struct PublicTable {
    table: Mutex<Table>,
    /// Counts the changes.
    version: AtomicU64,
    is_loaded: OnceCell<()>,
    /// The version that was noted last. Held during a write.
    saved: tokio::sync::Mutex<u64>,
}

#[derive(Debug)]
struct Table {
    /// The upstream that the answers are from.
    address: String,
    repositories: LruMap<Repository, Public>,
}

/// The last answer about a public repository.
#[derive(Clone, Copy, Debug)]
struct Public {
    asked_at: SystemTime,
    fresh_until: Instant,
}

impl PublicTable {
    pub(crate) fn new() -> Self {
        Self::bounded(PUBLIC_COUNT_MAX)
    }

    /// A table of at most `count_max` repositories.
    pub(crate) fn bounded(count_max: usize) -> Self {
        Self {
            table: Mutex::new(Table { address: String::new(), repositories: LruMap::new(count_max) }),
            version: AtomicU64::new(0),
            is_loaded: OnceCell::new(),
            saved: tokio::sync::Mutex::new(0),
        }
    }

    /// Takes the upstream at `address` for the one that is asked from now on. Answers of another are
    /// forgotten.
    pub(crate) fn serve(&self, address: &str) {
        let mut table = self.table.lock();
        if table.address != address {
            let repositories = LruMap::new(PUBLIC_COUNT_MAX);
            *table = Table { address: address.to_owned(), repositories };
        }
    }

    /// Whether the answer that the repository is public still holds.
    pub(crate) fn is_fresh(&self, repository: &Repository) -> bool {
        let mut table = self.table.lock();
        table.repositories.get_mut(repository).is_some_and(|public| Instant::now() < public.fresh_until)
    }

    /// Whether the repository was public when the upstream was last asked, however long ago.
    pub(crate) fn has(&self, repository: &Repository) -> bool {
        self.table.lock().repositories.contains(repository)
    }

    /// Notes that the upstream at `address` has just given the repository to everyone.
    pub(crate) fn insert(&self, address: &str, repository: &Repository, shared: &Shared) {
        let fresh_until = fresh_until(shared.settings.auth_ttl);
        let public = Public { asked_at: shared.now(), fresh_until };
        let mut table = self.table.lock();
        if table.address == address {
            *table.repositories.get_or_insert_with(repository, || public) = public;
            self.version.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Forgets that the repository was public. Returns true if it was.
    pub(crate) fn remove(&self, repository: &Repository) -> bool {
        let is_removed = self.table.lock().repositories.remove(repository).is_some();
        if is_removed {
            self.version.fetch_add(1, Ordering::Relaxed);
        }
        is_removed
    }

    /// Reads the note of an earlier process, once. Answers of this process outweigh it.
    ///
    /// # Errors
    /// Store errors. The next call tries again.
    pub(crate) async fn load(&self, records: &dyn RecordStore, shared: &Shared) -> Result<(), StoreError> {
        let load = async {
            let Some(bytes) = records.note(NAME).await? else { return Ok(()) };
            let mut table = self.table.lock();
            let now = shared.now();
            let noted = read(&bytes, &table.address).unwrap_or_default();
            for (repository, asked_at) in noted.into_iter().take(PUBLIC_COUNT_MAX) {
                let rest = remaining(asked_at, shared.settings.auth_ttl, now).unwrap_or_default();
                let public = Public { asked_at, fresh_until: fresh_until(rest) };
                table.repositories.get_or_insert_with(&repository, || public);
            }
            Ok(())
        };
        self.is_loaded.get_or_try_init(|| load).await.map(|_| ())
    }

    /// Writes the changes so far to the store, if no other call has done so meanwhile.
    ///
    /// # Errors
    /// Store errors.
    pub(crate) async fn save(&self, records: &dyn RecordStore) -> Result<(), StoreError> {
        let wanted = self.version.load(Ordering::Relaxed);
        let mut saved = self.saved.lock().await;
        if *saved >= wanted {
            return Ok(());
        }
        let (version, bytes) = {
            let table = self.table.lock();
            (self.version.load(Ordering::Relaxed), table.to_bytes())
        };
        records.put_durable_note(NAME, &bytes).await?;
        *saved = version;
        Ok(())
    }
}

impl Table {
    /// The note's text: the upstream's address, and for each repository the time of the last answer, in
    /// seconds since 1970.
    fn to_bytes(&self) -> Bytes {
        let mut text = format!("{HEAD} {}\n", self.address);
        for (repository, public) in self.repositories.iter() {
            let seconds = public.asked_at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            // Writing to a string does not fail.
            let _ = writeln!(text, "{seconds} {repository}");
        }
        text.push_str(END);
        text.push('\n');
        text.into()
    }
}

/// Reads a note. `None`: it is damaged, of another version, or about another upstream.
fn read(note: &[u8], address: &str) -> Option<Vec<(Repository, SystemTime)>> {
    let text = str::from_utf8(note).ok()?;
    let (head, rest) = text.split_once('\n')?;
    if head.strip_prefix(HEAD)?.strip_prefix(' ')? != address {
        return None;
    }
    let lines = rest.strip_suffix('\n')?.strip_suffix(END)?;
    let entry = |line: &str| {
        let (seconds, repository) = line.split_once(' ')?;
        let asked_at = UNIX_EPOCH.checked_add(Duration::from_secs(seconds.parse().ok()?))?;
        Some((repository.parse().ok()?, asked_at))
    };
    lines.lines().map(entry).collect()
}

/// A time that no clock reaches counts as a century.
fn fresh_until(rest: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(rest).unwrap_or_else(|| now + Duration::from_secs(100 * 365 * 24 * 3600))
}

#[cfg(test)]
mod tests;
