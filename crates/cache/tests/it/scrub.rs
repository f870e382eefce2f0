//! The scrub: damage is found and healed before a client meets it, and nothing else is taken for damage.

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cache::{ScrubPace, ScrubReport, ScrubSettings, Scrubber, Want};
use inventory::Keeper;
use oci::{Algorithm, Digest, Reference};
use policy::eviction::Limits;
use storage::fs::FsStore;
use storage::fs::fault::{Call, Faults};
use storage::{BlobStore, Maintain, RecordStore, StoreErrorKind};
use telemetry::RegistryMetrics;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use upstream::ErrorKind;

use crate::store_faults::flip;
use crate::world::{World, noise, repository};

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// A rate at which a small file takes a second.
const SLOW: u64 = 64 * 1024;

/// Opens the store. The last jobs of an earlier one may still hold its lock for a moment.
async fn open(root: &Path, metrics: &Arc<RegistryMetrics>, faults: &Faults) -> FsStore {
    let settings = storage::fs::Settings::default();
    for _ in 0..1_000_000 {
        match settings.open_with(root, metrics.clone(), faults.clone(), Some("boot".to_owned())) {
            Err(error) if error.kind() == StoreErrorKind::Locked => tokio::task::yield_now().await,
            opened => return opened.unwrap(),
        }
    }
    panic!("the root stays locked");
}

/// A store of files that is scrubbed.
struct Place {
    world: World,
    store: Arc<FsStore>,
    faults: Faults,
    directory: Arc<tempfile::TempDir>,
    pace: ScrubPace,
}

fn settings(bytes_per_second: u64) -> ScrubSettings {
    ScrubSettings { bytes_per_second: NonZeroU64::new(bytes_per_second).unwrap(), ..ScrubSettings::default() }
}

impl Place {
    async fn new() -> Self {
        Self::over(Arc::new(tempfile::tempdir().unwrap()), |_| {}).await
    }

    async fn over(directory: Arc<tempfile::TempDir>, change: impl FnOnce(&mut cache::Settings)) -> Self {
        let faults = Faults::default();
        let metrics = telemetry::Metrics::new(&["memory.test".to_owned()]).registry("memory.test");
        let root = directory.path().join("root");
        let store = Arc::new(open(&root, &metrics, &faults).await);
        let world = World::evicting(store.clone(), change);
        Keeper::new(world.inventory.clone(), Limits::default()).walk().await.unwrap();
        Self { world, store, faults, directory, pace: ScrubPace::new(settings(u64::MAX)) }
    }

    /// An image with these layers, at the upstream and pulled.
    async fn pulled(&self, tag: &str, layers: &[Bytes], padding: usize) -> Vec<Digest> {
        let described = layers.iter().map(|layer| {
            let digest = self.world.upstream.put_blob(layer);
            format!(r#"{{"mediaType":"{LAYER}","digest":"{digest}","size":{}}}"#, layer.len())
        });
        let described: Vec<_> = described.collect();
        let (padding, layers_text) = ("x".repeat(padding), described.join(","));
        let text = format!(r#"{{"schemaVersion":2,"x":"{padding}","layers":[{layers_text}]}}"#);
        self.world.upstream.put_manifest(&repository(), tag, &text);
        let reference: Reference = tag.parse().unwrap();
        let answer = self.world.backend.pull_manifest(&repository(), &reference, Want::Get).await.unwrap();
        let digests: Vec<_> = layers.iter().map(|layer| Digest::of(Algorithm::Sha256, layer)).collect();
        for digest in &digests {
            self.world.pull(digest).await.unwrap();
        }
        self.world.settle().await;
        std::iter::once(answer.digest).chain(digests).collect()
    }

    /// Every stored blob and manifest.
    fn files(&self) -> Vec<PathBuf> {
        fn add(directory: &Path, files: &mut Vec<PathBuf>) {
            for entry in std::fs::read_dir(directory).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() { add(&path, files) } else { files.push(path) }
            }
        }
        let mut files = Vec::new();
        for part in ["blobs", "manifests"] {
            add(&self.directory.path().join("root").join(part), &mut files);
        }
        files
    }

    fn file(&self, digest: &Digest) -> PathBuf {
        self.files().into_iter().find(|path| path.ends_with(digest.hex())).unwrap()
    }

    fn begin(&self) -> (JoinHandle<()>, CancellationToken) {
        let stop = CancellationToken::new();
        let scrubber = Scrubber::new(&self.world.backend, self.store.clone(), self.pace.clone());
        (tokio::spawn(scrubber.run(stop.clone())), stop)
    }

    fn report(&self) -> ScrubReport {
        self.world.backend.scrub_report()
    }

    /// Waits until the report is as wanted.
    async fn until(&self, is_wanted: impl Fn(&ScrubReport) -> bool) -> ScrubReport {
        for _ in 0..1_000_000 {
            if is_wanted(&self.report()) {
                return self.report();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it stays at {:?}", self.report());
    }

    /// Scrubs the whole store once.
    async fn scrub(&self) -> ScrubReport {
        let (task, stop) = self.begin();
        let report = self.until(|report| report.ended_at.is_some()).await;
        stop.cancel();
        task.await.unwrap();
        report
    }

    fn asked(&self) -> usize {
        self.world.upstream.count("GET blob") + self.world.upstream.count("GET manifest")
    }
}

fn is_right(path: &Path) -> bool {
    let hex = path.file_name().unwrap().to_str().unwrap();
    std::fs::read(path).is_ok_and(|bytes| Digest::of(Algorithm::Sha256, &bytes).hex() == hex)
}

fn layers(seed: usize) -> Vec<Bytes> {
    [5_000, 100_000, 300_000, (2 << 20) + 5].map(|len| noise(len + seed)).into()
}

#[tokio::test(start_paused = true)]
async fn every_stored_file_with_one_flipped_bit_is_found_and_healed_by_one_round() {
    let place = Place::new().await;
    for number in 0..3 {
        // One manifest is too large to be in memory.
        place.pulled(&format!("v{number}"), &layers(number), number * 150_000).await;
    }
    let files = place.files();
    assert_eq!(files.len(), 15);
    for (number, file) in files.iter().enumerate() {
        let len = std::fs::metadata(file).unwrap().len() as usize;
        flip(file, number * 7919 % len);
    }
    let before = place.asked();
    let report = place.scrub().await;
    assert_eq!((report.damaged, report.healed), (15, 15));
    assert_eq!(place.files(), files);
    assert!(files.iter().all(|file| is_right(file)), "every file is right again");
    assert_eq!(place.asked() - before, 15, "nothing comes twice");
    let metrics = place.world.metrics_text();
    assert!(metrics.contains("wharf_scrub_damaged_total{registry=\"memory.test\"} 15"), "{metrics}");
    assert!(metrics.contains("wharf_scrub_healed_total{registry=\"memory.test\"} 15"), "{metrics}");
    place.world.upstream.set_down(Some(ErrorKind::Unreachable));
    for number in 0..3 {
        let reference: Reference = format!("v{number}").parse().unwrap();
        place.world.backend.pull_manifest(&repository(), &reference, Want::Get).await.unwrap();
        for layer in layers(number) {
            assert_eq!(place.world.pull(&Digest::of(Algorithm::Sha256, &layer)).await.unwrap(), layer);
        }
    }
    assert_eq!(place.world.inventory.manifest_count(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_store_without_damage_is_left_alone() {
    let place = Place::new().await;
    place.pulled("v1", &layers(0), 0).await;
    let before = place.asked();
    let report = place.scrub().await;
    let sizes: u64 = place.files().iter().map(|file| std::fs::metadata(file).unwrap().len()).sum();
    assert_eq!((report.damaged, report.healed, report.bytes), (0, 0, sizes));
    assert_eq!(place.asked(), before);
    assert_eq!(place.store.usage().quarantine.count, 0);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_evicted_or_replaced_while_it_is_hashed_is_no_damage() {
    let place = Place::new().await;
    let digests = place.pulled("v1", &[noise(5_000), noise(6_000)], 0).await;
    let (evicted, replaced) = (&digests[1], &digests[2]);
    // The bytes under the open file are wrong, and a good file takes its name before the second look.
    let (path, good) = (place.file(replaced), place.directory.path().join("good"));
    std::fs::copy(&path, &good).unwrap();
    flip(&path, 10);
    flip(&place.file(evicted), 10);
    let hold = place.faults.hold(Call::Read);
    let (task, stop) = place.begin();
    while hold.held_count() == 0 {
        tokio::task::yield_now().await;
    }
    std::fs::rename(&good, &path).unwrap();
    place.store.remove(evicted).await.unwrap();
    place.world.inventory.blob_removed(evicted);
    drop(hold);
    let report = place.until(|report| report.ended_at.is_some()).await;
    assert_eq!(report.damaged, 0);
    assert!(is_right(&path) && place.world.inventory.has_blob(replaced));
    stop.cancel();
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn clients_that_read_beside_the_scrub_are_not_disturbed() {
    let place = Place::new().await;
    let layer = noise(3 << 20);
    let digests = place.pulled("v1", std::slice::from_ref(&layer), 0).await;
    let (task, stop) = place.begin();
    while place.report().ended_at.is_none() {
        assert_eq!(place.world.pull(&digests[1]).await.unwrap(), layer);
    }
    assert_eq!(place.report().damaged, 0);
    assert_eq!(place.asked(), 2);
    stop.cancel();
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn after_a_shutdown_or_a_kill_the_next_process_goes_on_where_the_round_stood() {
    for is_kill in [false, true] {
        let place = Place::new().await;
        for number in 0..10 {
            let layers: Vec<_> = (0..20).map(|layer| noise(1_000 + 20 * number + layer)).collect();
            place.pulled(&format!("v{number}"), &layers, 0).await;
        }
        let file_count = place.files().len() as u64;
        place.pace.set(settings(SLOW));
        let (task, stop) = place.begin();
        // A small file takes a second, and the note is written every minute.
        tokio::time::sleep(Duration::from_secs(100)).await;
        if is_kill {
            task.abort();
            assert!(task.await.is_err());
        } else {
            stop.cancel();
            task.await.unwrap();
        }
        let directory = Arc::clone(&place.directory);
        let first = place.report();
        assert!(first.ended_at.is_none() && first.began_at.is_some());
        drop(place);
        let place = Place::over(directory, |_| {}).await;
        place.pace.set(settings(SLOW));
        let began = tokio::time::Instant::now();
        let report = place.scrub().await;
        assert_eq!(report.began_at, None);
        let seconds = began.elapsed().as_secs();
        let least = if is_kill { file_count - 101 } else { file_count - 102 };
        let most = if is_kill { file_count - 55 } else { file_count - 95 };
        assert!((least..=most).contains(&seconds), "{seconds} s for {file_count} files, kill: {is_kill}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_offline_registry_loses_damaged_files_and_sends_nothing() {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let place = Place::over(Arc::clone(&directory), |_| {}).await;
    let digests = place.pulled("v1", &[noise(5_000)], 0).await;
    drop(place);
    let place = Place::over(directory, |settings| settings.tags.offline = true).await;
    for digest in &digests {
        flip(&place.file(digest), 20);
    }
    let report = place.scrub().await;
    assert_eq!((report.damaged, report.healed, place.asked()), (2, 0, 0));
    assert_eq!(place.world.inventory.manifest_count(), 0, "the list does not claim the image");
    assert!(!place.world.inventory.has_blob(&digests[1]));
}

#[tokio::test(start_paused = true)]
async fn an_orphan_is_set_aside_and_not_fetched_and_a_failed_fetch_is_not_repeated() {
    let place = Place::new().await;
    let needed = place.pulled("v1", &[noise(5_000)], 0).await.remove(1);
    let orphan = place.world.upstream.put_blob(&noise(7_000));
    place.world.pull(&orphan).await.unwrap();
    place.world.settle().await;
    for digest in [&needed, &orphan] {
        flip(&place.file(digest), 20);
    }
    let before = place.asked();
    place.world.upstream.deny(&repository());
    let report = place.scrub().await;
    assert_eq!((report.damaged, report.healed), (2, 0));
    assert_eq!(place.asked() - before, 1);
    assert!(!place.world.inventory.has_blob(&needed) && !place.world.inventory.has_blob(&orphan));
}

#[tokio::test(start_paused = true)]
async fn a_manifest_of_two_repositories_is_healed_for_both() {
    let place = Place::new().await;
    let digest = place.pulled("v1", &[], 0).await.remove(0);
    let text = std::fs::read(place.file(&digest)).unwrap();
    let manifest = storage::VerifiedManifest::check(text.into(), Some(&digest)).unwrap();
    let other = "library/other".parse().unwrap();
    let storing = place.world.inventory.storing().await;
    place.store.put_manifest(&other, &"a/b".parse().unwrap(), &manifest).await.unwrap();
    place.world.inventory.manifest_stored(&storing, &other, &digest, manifest.bytes());
    drop(storing);
    flip(&place.file(&digest), 3);
    let report = place.scrub().await;
    assert_eq!((report.damaged, report.healed), (1, 1));
    assert!(place.world.inventory.has_manifest(&repository(), &digest));
    assert!(place.world.inventory.has_manifest(&other, &digest));
}

#[tokio::test(start_paused = true)]
async fn a_round_begins_when_it_is_due_and_none_while_the_scrub_is_off() {
    let place = Place::new().await;
    let digest = place.pulled("v1", &[noise(5_000)], 0).await.remove(1);
    place.pace.set(ScrubSettings { every: None, ..settings(u64::MAX) });
    let (task, stop) = place.begin();
    tokio::time::sleep(Duration::from_secs(100 * 24 * 3600)).await;
    assert_eq!(place.report(), ScrubReport::default());
    place.pace.set(ScrubSettings { every: Some(Duration::from_secs(60)), ..settings(u64::MAX) });
    let first = place.until(|report| report.ended_at.is_some()).await;
    assert_eq!((first.damaged, first.began_at), (0, None));
    flip(&place.file(&digest), 3);
    // Turned off in the middle, a round stops, and goes on later.
    place.pace.set(ScrubSettings { every: Some(Duration::ZERO), ..settings(SLOW) });
    place.until(|report| report.began_at.is_some()).await;
    place.pace.set(ScrubSettings { every: None, ..settings(SLOW) });
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(place.report().began_at.is_some());
    place.pace.set(ScrubSettings { every: Some(Duration::from_secs(3600)), ..settings(u64::MAX) });
    let second = place.until(|report| report.began_at.is_none()).await;
    assert_eq!((second.damaged, second.healed), (1, 1));
    stop.cancel();
    task.await.unwrap();
}
