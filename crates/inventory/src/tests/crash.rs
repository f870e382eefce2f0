//! The process ends between any two of the disk's calls.

use policy::eviction::Cap;
use storage::fs::fault::{Call, Fault, Faults};
use storage::fs::{FsStore, open_with};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::*;

struct Disk {
    directory: TempDir,
    faults: Faults,
}

impl Disk {
    fn new() -> Self {
        let memory = std::path::Path::new("/dev/shm");
        let directory = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        Self { directory: directory.unwrap(), faults: Faults::default() }
    }

    fn open(&self) -> Arc<FsStore> {
        self.faults.reset();
        let root = self.directory.path().join("store");
        Arc::new(open_with(&root, metrics(), self.faults.clone(), Some("this start".to_owned())).unwrap())
    }
}

impl Disk {
    fn names_of_manifests(&self) -> Vec<std::ffi::OsString> {
        let all = self.directory.path().join("store/manifests/sha256");
        let each = |path: std::path::PathBuf| std::fs::read_dir(path).into_iter().flatten().flatten();
        each(all).flat_map(|directory| each(directory.path())).map(|entry| entry.file_name()).collect()
    }
}

/// Images that share a layer, an index with a platform, tags. Returns the index and its platform.
async fn furnish(place: &Place) -> (Digest, Digest) {
    let one = place.image("app", &[("base", 100), ("one", 100)]).await;
    place.tag("app", "v1", &one).await;
    let amd64 = place.image("app", &[("base", 100), ("amd64", 100)]).await;
    let index = place.index("app", &[&amd64]).await;
    place.tag("app", "latest", &index).await;
    let other = place.image("other/app", &[("base", 100), ("one", 100), ("other", 100)]).await;
    place.tag("other/app", "v1", &other).await;
    place.blob("lonely", 100).await;
    for name in ["app", "other/app"] {
        let blob = Digest::of(Algorithm::Sha256, &bytes("base", 100));
        place.store.put_link(&repository(name), &blob).await.unwrap();
    }
    pass(700).await;
    (index, amd64)
}

#[tokio::test(start_paused = true)]
async fn an_end_at_any_point_leaves_whole_images_and_orphans() {
    let disk = Disk::new();
    let place = Place::over(disk.open()).await;
    furnish(&place).await;
    disk.faults.reset();
    place.evict(u64::MAX).await;
    let step_count = disk.faults.steps().len();
    assert!(step_count > 40, "{step_count}");
    for skip in 0..step_count {
        let disk = Disk::new();
        let place = Place::over(disk.open()).await;
        let (index, amd64) = furnish(&place).await;
        disk.faults.reset();
        disk.faults.inject(None, skip, Fault::Stop);
        place.evict(u64::MAX).await;
        assert!(!disk.faults.is_pending());
        drop(place);
        let place = Place::over(disk.open()).await;
        place.check_no_holes(&BTreeSet::new()).await;
        let has_platform = place.has_manifest("app", &amd64).await;
        assert!(has_platform || !place.has_manifest("app", &index).await, "step {skip}");
        place.check().await;
        pass(700).await;
        place.evict(u64::MAX).await;
        place.check().await;
        assert!(Truth::of(&*place.store).await.blobs.is_empty(), "step {skip}");
        assert!(disk.names_of_manifests().is_empty(), "step {skip}: the bytes of a manifest are left");
        assert!(place.store.repositories(None, 10).await.unwrap().is_empty(), "step {skip}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_fails_leaves_whole_images_and_is_made_up_for() {
    let disk = Disk::new();
    let place = Place::over(disk.open()).await;
    furnish(&place).await;
    disk.faults.reset();
    place.evict(u64::MAX).await;
    let step_count = disk.faults.steps().len();
    for skip in 0..step_count {
        let disk = Disk::new();
        let place = Place::over(disk.open()).await;
        furnish(&place).await;
        disk.faults.reset();
        disk.faults.inject(None, skip, Fault::Errno(5));
        place.evict(u64::MAX).await;
        place.check_no_holes(&BTreeSet::new()).await;
        place.check().await;
        // The same process goes on.
        pass(700).await;
        place.evict(u64::MAX).await;
        place.check().await;
        assert!(disk.names_of_manifests().is_empty(), "step {skip}: the bytes of a manifest are left");
        assert!(Truth::of(&*place.store).await.blobs.is_empty(), "step {skip}");
    }
}

/// A power loss may undo what no directory was synced for.
#[tokio::test(start_paused = true)]
async fn no_blob_goes_before_the_removal_of_its_records_is_durable() {
    let disk = Disk::new();
    let place = Place::over(disk.open()).await;
    place.image("first", &[("first", 100)]).await;
    pass(10).await;
    furnish(&place).await;
    // Before the first blob goes, everything becomes durable that an earlier process has removed.
    assert_eq!(place.evict(1).await.images, 1);
    disk.faults.reset();
    place.evict(u64::MAX).await;
    let steps = disk.faults.steps();
    let is_in = |at: usize, directory: &str| steps[at].path.to_string_lossy().contains(directory);
    let position = |call: Call, directory: &str, is_last: bool| {
        let mut found = (0..steps.len()).filter(|at| steps[*at].call == call && is_in(*at, directory));
        if is_last { found.next_back() } else { found.next() }
    };
    let last_record = position(Call::Unlink, "/_manifests/sha256/", true).unwrap();
    let first_blob = position(Call::Unlink, "/store/blobs/", false).unwrap();
    let first_bytes = position(Call::Unlink, "/store/manifests/", false).unwrap();
    assert!(last_record < first_blob && last_record < first_bytes);
    for name in ["app", "other/app"] {
        for directory in ["_manifests/sha256", "_tags"] {
            let path = disk.directory.path().join("store/repositories").join(name).join(directory);
            let unlinked = (0..steps.len())
                .rfind(|at| steps[*at].call == Call::Unlink && steps[*at].path.parent() == Some(&path))
                .unwrap();
            let synced = (0..steps.len())
                .filter(|at| steps[*at].call == Call::Sync && steps[*at].path == path)
                .find(|at| *at > unlinked);
            assert!(synced.is_some_and(|at| at < first_blob), "{name} {directory}");
        }
    }
}

/// Killed processes leave unfinished blobs. Images in use do not go for them.
#[tokio::test(start_paused = true)]
async fn what_nothing_finishes_goes_before_the_images() {
    let disk = Disk::new();
    let place = Place::over(disk.open()).await;
    place.store.take_stock().await;
    place.image("app", &[("layer", 2_000)]).await;
    let digest = Digest::of(Algorithm::Sha256, b"never finished");
    let spool = place.store.spool(&digest).await.unwrap();
    spool.write(0, vec![bytes("never finished", 9_000)]).await.unwrap();
    spool.park().await;
    let partial = disk.directory.path().join("store/partial");
    for entry in std::fs::read_dir(partial).unwrap() {
        let before = SystemTime::now() - Duration::from_secs(3600);
        std::fs::File::open(entry.unwrap().path()).unwrap().set_modified(before).unwrap();
    }
    pass(700).await;
    place.keeper.set_limits(Limits { max: Some(Cap::Bytes(10_000)), ..Limits::default() });
    let cancel = CancellationToken::new();
    let running = tokio::spawn(Arc::clone(&place.keeper).run(cancel.clone()));
    tokio::time::sleep(Duration::from_secs(5)).await;
    cancel.cancel();
    running.await.unwrap();
    let usage = place.store.usage();
    assert_eq!((usage.partial.bytes, usage.blobs.count, place.list().len()), (0, 1, 1));
}

/// Ten damaged files take as much as the images.
#[tokio::test(start_paused = true)]
async fn old_damaged_files_go_before_images_and_the_newest_last() {
    let disk = Disk::new();
    drop(disk.open());
    let quarantine = disk.directory.path().join("store/quarantine");
    for number in 1..=10 {
        std::fs::write(quarantine.join(format!("{number:010}-damaged")), vec![0; 1000]).unwrap();
    }
    let place = Place::over(disk.open()).await;
    place.store.take_stock().await;
    for number in 0..10 {
        place.image("app", &[(&format!("layer {number}"), 900)]).await;
    }
    let (app, newest) = (repository("app"), place.list().remove(0).digest);
    place.inventory.set_pinned(&app, &newest, true).await.unwrap();
    pass(700).await;
    let names = || std::fs::read_dir(&quarantine).unwrap().count();
    let keep_to = async |cap: u64| {
        place.keeper.set_limits(Limits { max: Some(Cap::Bytes(cap)), ..Limits::default() });
        let cancel = CancellationToken::new();
        let running = tokio::spawn(Arc::clone(&place.keeper).run(cancel.clone()));
        tokio::time::sleep(Duration::from_secs(1)).await;
        cancel.cancel();
        running.await.unwrap();
        assert!(place.used() <= cap, "{} of {cap}", place.used());
    };
    keep_to(19_000).await;
    assert!((5..=9).contains(&names()) && place.list().len() == 10, "{}", names());
    keep_to(10_000).await;
    assert!(names() == 4 && (1..10).contains(&place.list().len()), "{}", place.list().len());
    // Only what is pinned, and damaged files, are left. The newest of these go last.
    keep_to(3_000).await;
    assert!(names() < 4 && place.list().len() == 1, "{}", names());
    assert!(place.inventory.fits(1_000));
}
