//! A failing store loses the copy, but does not fail the pull.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use cache::{Outcome, PullError, Settings};
use futures_util::future::join_all;
use futures_util::stream::BoxStream;
use oci::Digest;
use storage::fs::FsStore;
use storage::fs::fault::{Call, Fault, Faults};
use storage::{BlobEntry, BlobStore, OpenBlob, Spool, StoreError, Validator, VerifiedSpool};
use tokio::sync::Semaphore;

use crate::upstream::{Manner, PIECE};
use crate::world::{World, next, noise, read};

const ENOSPC: i32 = 28;
const EIO: i32 = 5;
const EMFILE: i32 = 24;
const EROFS: i32 = 30;
const EDQUOT: i32 = 122;

/// A world over files, with injectable faults.
pub(crate) fn world_on_files(change: impl FnOnce(&mut Settings)) -> (World, Faults, tempfile::TempDir) {
    world_collecting(0, change)
}

/// The same, with this memory for incomplete small blobs.
pub(crate) fn world_collecting(
    bytes_max: u64,
    change: impl FnOnce(&mut Settings),
) -> (World, Faults, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let faults = Faults::default();
    let metrics = telemetry::Metrics::new(&["memory.test".to_owned()]).registry("memory.test");
    let root = directory.path().join("root");
    let settings = storage::fs::Settings { collected_bytes_max: bytes_max, ..Default::default() };
    let store = settings.open_with(&root, metrics, faults.clone(), Some("boot".to_owned())).unwrap();
    let store = Arc::new(store);
    (World::over(Arc::default(), store.clone(), store, change), faults, directory)
}

#[tokio::test(start_paused = true)]
async fn f31_every_call_of_the_store_fails_once_and_the_client_gets_its_body() {
    let calls = [
        Call::Open,
        Call::Stat,
        Call::Read,
        Call::Write,
        Call::Truncate,
        Call::Sync,
        Call::Rename,
        Call::Unlink,
        Call::MakeDirectory,
    ];
    let blob = noise(1_500_000);
    for call in calls {
        for errno in [EIO, ENOSPC, EMFILE, EROFS, EDQUOT] {
            for nth in 0.. {
                let (world, faults, _directory) = world_on_files(|_| {});
                let digest = world.upstream.put_blob(&blob);
                faults.inject(Some(call), nth, Fault::Errno(errno));
                let body = world.pull(&digest).await;
                world.settle().await;
                let was_struck = !faults.is_pending();
                let is_right = body.as_ref().is_ok_and(|body| *body == blob);
                assert!(is_right, "{call:?} number {nth} failed with {errno}: {:?}", body.err());
                assert_eq!(world.upstream.count("GET blob"), 1, "{call:?} number {nth}, {errno}");
                faults.reset();
                let again = world.pull(&digest).await;
                assert!(again.is_ok_and(|body| body == blob), "after {call:?} number {nth}");
                if !was_struck {
                    break;
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn f31_every_call_for_a_small_blob_fails_once_and_the_client_gets_its_body() {
    let calls =
        [Call::Open, Call::Stat, Call::Read, Call::Write, Call::Sync, Call::Rename, Call::MakeDirectory];
    let blob = noise(100_000);
    for call in calls {
        for errno in [EIO, ENOSPC, EMFILE, EROFS, EDQUOT] {
            for nth in 0.. {
                let (world, faults, _directory) = world_collecting(1 << 20, |_| {});
                let digest = world.upstream.put_blob(&blob);
                faults.inject(Some(call), nth, Fault::Errno(errno));
                let body = world.pull(&digest).await;
                world.settle().await;
                let was_struck = !faults.is_pending();
                assert!(body.is_ok_and(|body| body == blob), "{call:?} number {nth} failed with {errno}");
                assert_eq!(world.upstream.count("GET blob"), 1, "{call:?} number {nth}, {errno}");
                faults.reset();
                assert!(
                    world.pull(&digest).await.is_ok_and(|body| body == blob),
                    "after {call:?} number {nth}"
                );
                if !was_struck {
                    break;
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_small_blob_that_was_just_stored_is_not_hashed_again() {
    let (world, faults, _directory) = world_collecting(1 << 20, |_| {});
    let blob = noise(100_000);
    let digest = world.upstream.put_blob(&blob);
    world.pull(&digest).await.unwrap();
    world.settle().await;
    assert!(world.holds(&digest).await);
    faults.reset();
    let answer = world.get(&digest).await.unwrap();
    assert_eq!(answer.outcome, Outcome::Hit);
    assert!(!faults.steps().iter().any(|step| step.call == Call::Read), "it is known to be right");
    assert!(read(answer.body.unwrap()).await.1.is_ok_and(|body| body == blob));
}

#[tokio::test(start_paused = true)]
async fn f35_with_a_dead_disk_small_blobs_come_from_memory_and_are_verified() {
    let (world, faults, _directory) = world_collecting(1 << 20, |_| {});
    let blob = noise(100_000);
    let digest = world.upstream.put_blob(&blob);
    faults.inject(None, 0, Fault::Stop);
    for _ in 0..3 {
        assert!(world.pull(&digest).await.is_ok_and(|body| body == blob));
        world.settle().await;
    }
    world.upstream.script([Manner { flip: Some(100), ..Manner::default() }]);
    assert!(world.pull(&digest).await.is_err(), "wrong bytes are no body here either");
}

#[tokio::test(start_paused = true)]
async fn f29_a_disk_that_fills_up_in_mid_transfer_costs_no_client_its_body_and_no_second_transfer() {
    let (world, faults, _directory) = world_on_files(|_| {});
    let blob = noise(12 << 20);
    let digest = world.upstream.put_blob(&blob);
    let gate = Arc::new(Semaphore::new(64));
    world.upstream.set_manner(Manner { gate: Some(gate.clone()), ..Manner::default() });
    let mut readers = Vec::new();
    for _ in 0..5 {
        readers.push(world.get(&digest).await.unwrap().body.unwrap());
    }
    for reader in &mut readers {
        let mut came = 0;
        while came < 64 * PIECE {
            came += next(reader).await.unwrap().unwrap().len();
        }
    }
    faults.inject(None, 0, Fault::Stop);
    gate.add_permits(100_000);
    let rest = join_all(readers.into_iter().map(read)).await;
    for (_, body) in rest {
        assert!(body.is_ok_and(|body| body == blob.slice(64 * PIECE..)));
    }
    assert_eq!(world.upstream.count("GET blob"), 1);
    world.settle().await;
    faults.reset();
    assert!(!world.holds(&digest).await);
}

#[tokio::test(start_paused = true)]
async fn f29_a_disk_that_fills_up_under_several_transfers_costs_no_client_its_body() {
    for full_at in [5 << 20, 9 << 20, 13 << 20] {
        let (world, faults, _directory) = world_on_files(|_| {});
        let blob = noise(24 << 20);
        let digest = world.upstream.put_blob(&blob);
        world.upstream.set_manner(Manner { pace: Duration::from_millis(10), ..Manner::default() });
        let mut reader = world.get(&digest).await.unwrap().body.unwrap();
        let mut came = 0;
        while let Some(bytes) = next(&mut reader).await {
            let bytes = bytes.unwrap_or_else(|error| panic!("full at {full_at}, broken at {came}: {error}"));
            assert!(bytes == blob.slice(came..came + bytes.len()), "full at {full_at}, wrong at {came}");
            came += bytes.len();
            if came >= full_at && !faults.is_pending() {
                faults.inject(Some(Call::Write), 0, Fault::Errno(ENOSPC));
            }
        }
        assert_eq!(came, blob.len());
        assert!(world.upstream.count("GET blob") > 2, "several transfers");
        world.settle().await;
        assert!(!world.holds(&digest).await);
    }
}

#[tokio::test(start_paused = true)]
async fn f29_bytes_that_did_not_fit_do_not_keep_the_disk_full() {
    let (world, faults, directory) = world_on_files(|_| {});
    let digest = world.upstream.put_blob(&noise(3 << 20));
    let gate = Arc::new(Semaphore::new(64));
    world.upstream.set_manner(Manner { gate: Some(gate.clone()), ..Manner::default() });
    let mut reader = world.get(&digest).await.unwrap().body.unwrap();
    next(&mut reader).await.unwrap().unwrap();
    faults.inject(Some(Call::Write), 0, Fault::Errno(ENOSPC));
    gate.add_permits(100_000);
    assert!(read(reader).await.1.is_ok());
    world.settle().await;
    assert!(!faults.is_pending());
    let left = std::fs::read_dir(directory.path().join("root/partial")).unwrap().count();
    assert_eq!(left, 0);
}

#[tokio::test(start_paused = true)]
async fn f35_with_a_dead_disk_every_pull_passes_through_and_is_verified() {
    let (world, faults, _directory) = world_on_files(|_| {});
    let blob = noise(3 << 20);
    let digest = world.upstream.put_blob(&blob);
    faults.inject(None, 0, Fault::Stop);
    for _ in 0..3 {
        let answer = world.get(&digest).await.unwrap();
        assert_eq!(answer.outcome, Outcome::Bypass);
        assert!(read(answer.body.unwrap()).await.1.is_ok_and(|body| body == blob));
        world.settle().await;
    }
    let range = world.get_range(&digest, "bytes=1000000-1000099").await.unwrap();
    assert_eq!(read(range.body.unwrap()).await.1.unwrap(), blob.slice(1_000_000..1_000_100));
    world.settle().await;
    world.upstream.script([Manner { flip: Some(100), pace: Duration::from_millis(1), ..Manner::default() }]);
    let answer = world.get(&digest).await.unwrap();
    assert!(read(answer.body.unwrap()).await.1.is_err(), "a wrong body does not end cleanly here either");
}

#[tokio::test(start_paused = true)]
async fn f29_a_late_client_of_a_relay_gets_a_passage_of_its_own() {
    let (world, faults, _directory) = world_on_files(|_| {});
    let blob = noise(40 << 20);
    let digest = world.upstream.put_blob(&blob);
    faults.inject(None, 0, Fault::Stop);
    let gate = Arc::new(Semaphore::new(20 * 64));
    world.upstream.script([Manner { gate: Some(gate.clone()), ..Manner::default() }]);
    let mut first = world.get(&digest).await.unwrap().body.unwrap();
    let mut came = 0;
    while came < 15 << 20 {
        came += next(&mut first).await.unwrap().unwrap().len();
    }
    let late = world.get(&digest).await.unwrap();
    assert_eq!(late.outcome, Outcome::Bypass);
    assert!(read(late.body.unwrap()).await.1.is_ok_and(|body| body == blob));
    gate.add_permits(100_000);
    assert!(read(first).await.1.is_ok_and(|body| body == blob.slice(came..)));
    assert_eq!(world.upstream.count("GET blob"), 2);
}

#[tokio::test(start_paused = true)]
async fn f26_a_relay_continues_without_a_client_that_does_not_read() {
    let (world, faults, _directory) = world_on_files(|_| {});
    let blob = noise(40 << 20);
    let digest = world.upstream.put_blob(&blob);
    faults.inject(None, 0, Fault::Stop);
    let stuck = world.get(&digest).await.unwrap().body.unwrap();
    let lively = world.get(&digest).await.unwrap().body.unwrap();
    assert!(read(lively).await.1.is_ok_and(|body| body == blob));
    assert!(read(stuck).await.1.is_ok_and(|body| body == blob), "the rest comes on a passage of its own");
}

/// The file of the only blob below this directory.
pub(crate) fn blob_file(blobs: &Path) -> PathBuf {
    let mut path = blobs.to_owned();
    while path.is_dir() {
        path = std::fs::read_dir(&path).unwrap().next().unwrap().unwrap().path();
    }
    path
}

pub(crate) fn flip(path: &Path, offset: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[offset] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test(start_paused = true)]
async fn f26_a_relay_continues_at_once_when_the_client_that_does_not_read_leaves() {
    let (world, faults, _directory) = world_on_files(|_| {});
    let blob = noise(24 << 20);
    let digest = world.upstream.put_blob(&blob);
    faults.inject(None, 0, Fault::Stop);
    let gate = Arc::new(Semaphore::new(1));
    world.upstream.set_manner(Manner { gate: Some(gate.clone()), ..Manner::default() });
    let idle = world.get(&digest).await.unwrap().body.unwrap();
    let mut reader = world.get(&digest).await.unwrap().body.unwrap();
    gate.add_permits(blob.len());
    let began = tokio::time::Instant::now();
    let mut came = 0;
    // The relay delivers one window; then it waits for the other client.
    while let Ok(chunk) = tokio::time::timeout(Duration::from_secs(1), next(&mut reader)).await {
        came += chunk.unwrap().unwrap().len();
    }
    drop(idle);
    let (rest, end) = read(reader).await;
    assert!(end.is_ok() && came + rest == blob.len() && came < blob.len());
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn f32_a_flipped_bit_on_disk_reaches_no_client_as_a_whole_and_is_healed() {
    for (length, offset) in [(100_000, 0), (100_000, 99_999), (3 << 20, 0), (3 << 20, (3 << 20) - 1)] {
        let (world, _faults, directory) = world_on_files(|_| {});
        let blob = noise(length);
        let digest = world.upstream.put_blob(&blob);
        world.pull(&digest).await.unwrap();
        world.settle().await;
        flip(&blob_file(&directory.path().join("root/blobs/sha256")), offset);
        let first = world.pull(&digest).await;
        assert!(first.as_ref().map_or(true, |body| *body == blob), "bit {offset} of {length} bytes");
        assert_eq!(first.is_ok(), length <= 256 * 1024, "a small blob is healed before anyone sees it");
        world.settle().await;
        assert!(world.pull(&digest).await.is_ok_and(|body| body == blob));
        assert_eq!(world.upstream.count("GET blob"), 2);
    }
}

/// Flips a bit. Some file systems have a coarse clock, so it repeats until the modification time changes.
fn damage(path: &Path) {
    let written_at = || std::fs::metadata(path).unwrap().modified().unwrap();
    let before = written_at();
    flip(path, 7);
    let bytes = std::fs::read(path).unwrap();
    for _ in 0..100_000 {
        if written_at() != before {
            return;
        }
        std::fs::write(path, &bytes).unwrap();
    }
    panic!("the clock of the file system stands still");
}

/// A store that damages its first blob right after publishing it.
#[derive(Debug)]
struct Vandalised {
    store: FsStore,
    blobs: PathBuf,
    is_done: AtomicBool,
}

#[async_trait]
impl BlobStore for Vandalised {
    async fn admit(&self, blob: VerifiedSpool) -> Result<Option<Validator>, StoreError> {
        let signature = self.store.admit(blob).await?;
        if !self.is_done.swap(true, Ordering::Relaxed) {
            damage(&blob_file(&self.blobs));
        }
        Ok(signature)
    }

    async fn open(&self, digest: &Digest) -> Result<Option<OpenBlob>, StoreError> {
        self.store.open(digest).await
    }

    async fn spool(&self, digest: &Digest) -> Result<Arc<Spool>, StoreError> {
        self.store.spool(digest).await
    }

    async fn set_aside(&self, digest: &Digest) -> Result<(), StoreError> {
        self.store.set_aside(digest).await
    }

    async fn remove(&self, digest: &Digest) -> Result<u64, StoreError> {
        self.store.remove(digest).await
    }

    fn entries(&self) -> BoxStream<'_, Result<BlobEntry, StoreError>> {
        self.store.entries()
    }
}

#[tokio::test(start_paused = true)]
async fn f32_a_file_damaged_between_its_publishing_and_the_next_look_at_it_is_found_out() {
    for length in [100_000, 3 << 20] {
        let directory = tempfile::tempdir().unwrap();
        let metrics = telemetry::Metrics::new(&["memory.test".to_owned()]).registry("memory.test");
        let store = storage::fs::open(&directory.path().join("root"), metrics).unwrap();
        let blobs = directory.path().join("root/blobs/sha256");
        let vandalised = Vandalised { store: store.clone(), blobs, is_done: AtomicBool::new(false) };
        let world = World::over(Arc::default(), Arc::new(vandalised), Arc::new(store), |_| {});
        let blob = noise(length);
        let digest = world.upstream.put_blob(&blob);
        drop(world.get(&digest).await);
        world.settle().await;
        let damaged = world.pull(&digest).await;
        assert!(damaged.is_err() || damaged.is_ok_and(|body| body == blob), "{length} bytes");
        world.settle().await;
        assert!(world.pull(&digest).await.is_ok_and(|body| body == blob));
        assert_eq!(world.upstream.count("GET blob"), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn f49_a_damaged_blob_is_fetched_again_with_a_place_at_the_upstream_only() {
    let (world, _faults, directory) = world_on_files(|settings| settings.asking_count_max = 1);
    let (blob, other) = (noise(100_000), noise(1000));
    let digest = world.upstream.put_blob(&blob);
    world.pull(&digest).await.unwrap();
    world.settle().await;
    damage(&blob_file(&directory.path().join("root/blobs/sha256")));
    let gate = Arc::new(Semaphore::new(0));
    world.upstream.script([Manner { gate: Some(gate.clone()), ..Manner::default() }]);
    let hung = world.upstream.put_blob(&other);
    let take_the_place = async {
        while world.upstream.count("GET blob") < 2 {
            tokio::task::yield_now().await;
        }
        assert!(world.pull(&digest).await.is_err_and(|error| error == PullError::Overloaded));
        gate.add_permits(1);
    };
    let (pulled, ()) = tokio::join!(world.pull(&hung), take_the_place);
    assert!(pulled.is_ok_and(|body| body == other));
    world.settle().await;
    assert!(world.pull(&digest).await.is_ok_and(|body| body == blob));
}

#[tokio::test(start_paused = true)]
async fn f32_a_truncated_file_is_found_out_and_fetched_again() {
    for length in [100_000, 3 << 20] {
        let (world, _faults, directory) = world_on_files(|_| {});
        let blob = noise(length);
        let digest = world.upstream.put_blob(&blob);
        world.pull(&digest).await.unwrap();
        world.settle().await;
        let file = std::fs::File::options()
            .write(true)
            .open(blob_file(&directory.path().join("root/blobs/sha256")))
            .unwrap();
        file.set_len(length as u64 / 2).unwrap();
        let first = world.pull(&digest).await;
        assert!(first.is_err() || first.is_ok_and(|body| body == blob));
        world.settle().await;
        assert!(world.pull(&digest).await.is_ok_and(|body| body == blob));
    }
}

#[tokio::test(start_paused = true)]
async fn f32_content_of_an_earlier_process_is_hashed_once_and_then_trusted() {
    let (world, faults, directory) = world_on_files(|_| {});
    let blob = noise(3 << 20);
    let digest = world.upstream.put_blob(&blob);
    world.pull(&digest).await.unwrap();
    world.settle().await;
    let restarted = world.restarted();
    let reads = || faults.steps().iter().filter(|step| step.call == Call::Read).count();
    let mut costs = Vec::new();
    for _ in 0..3 {
        let before = reads();
        let answer = restarted.get(&digest).await.unwrap();
        assert_eq!(answer.outcome, Outcome::Hit);
        assert!(read(answer.body.unwrap()).await.1.is_ok_and(|body| body == blob));
        restarted.settle().await;
        costs.push(reads() - before);
    }
    assert!(costs[0] > costs[1] && costs[1] == costs[2], "{costs:?}");
    assert_eq!(restarted.upstream.count("GET blob"), 1);
    let damaged = world.restarted();
    flip(&blob_file(&directory.path().join("root/blobs/sha256")), 5);
    // The hash may be known before the first byte; then the pull fails.
    if let Ok(range) = damaged.get_range(&digest, "bytes=3000000-").await {
        assert!(read(range.body.unwrap()).await.1.is_err(), "a range to the end waits for the verdict too");
    }
}
