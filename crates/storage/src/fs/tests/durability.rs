//! Checks the commit rule in the system calls: acknowledged content depends on nothing that a power loss
//! could remove.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::Place;
use super::script::{blob, manifest, media_type, record, repository, tag};
use crate::blob_store::BlobStore;
use crate::conformance::pieces;
use crate::fs::fault::{Call, Step};
use crate::record_store::RecordStore;

/// The files and names that a power loss would remove.
#[derive(Default)]
struct Volatile {
    /// Files with contents that were not synced.
    contents: HashSet<PathBuf>,
    /// Names in directories that were not synced.
    names: HashSet<PathBuf>,
}

impl Volatile {
    fn after(steps: &[Step]) -> Self {
        let mut volatile = Self::default();
        for step in steps {
            volatile.take(step);
        }
        volatile
    }

    fn take(&mut self, step: &Step) {
        match step.call {
            Call::Write | Call::Truncate => {
                self.contents.insert(step.path.clone());
            }
            Call::MakeDirectory => {
                self.names.insert(step.path.clone());
            }
            Call::Sync => {
                self.contents.remove(&step.path);
                self.names.retain(|name| name.parent() != Some(&step.path));
            }
            Call::Rename => {
                let target = step.target.clone().unwrap();
                let is_volatile = self.contents.remove(&step.path);
                let is_partial = target.parent().is_some_and(|parent| parent.ends_with("partial"));
                assert!(!is_volatile || is_partial, "{} was published unsynced", target.display());
                self.names.remove(&step.path);
                self.names.insert(target);
            }
            _ => {}
        }
    }

    /// Expects `path` and all its parents to survive a power loss.
    fn assert_durable(&self, path: &Path) {
        assert!(!self.contents.contains(path), "contents of {}", path.display());
        for ancestor in path.ancestors() {
            assert!(
                !self.names.contains(ancestor),
                "name of {} on the way to {}",
                ancestor.display(),
                path.display()
            );
        }
    }
}

#[tokio::test]
async fn acknowledged_content_survives_a_power_loss() {
    let place = Place::fast();
    let store = place.try_open().unwrap();
    let layout = place.layout();
    let check = |path: &Path| {
        assert!(path.exists());
        Volatile::after(&place.faults.steps()).assert_durable(path);
    };
    check(&layout.version());
    for number in [0, 1] {
        let (bytes, digest) = blob(number);
        let spool = store.spool(&digest).await.unwrap();
        spool.write(0, pieces(&bytes, 10_000)).await.unwrap();
        store.admit(spool.finish(bytes.len() as u64).await.unwrap()).await.unwrap();
        check(&layout.blob(&digest));
    }
    store.put_manifest(&repository(), &media_type(), &manifest()).await.unwrap();
    check(&layout.manifest(manifest().digest()));
    check(&layout.manifest_record(&repository(), manifest().digest()));
    store.put_tag(&repository(), &tag(), &record()).await.unwrap();
    check(&layout.tag(&repository(), &tag()));
    store.put_link(&repository(), &blob(0).1).await.unwrap();
    check(&layout.link(&repository(), &blob(0).1));
    store.put_durable_note("offline", manifest().bytes()).await.unwrap();
    check(&layout.note("offline"));
}

#[tokio::test]
async fn a_directory_left_by_a_killed_process_is_made_durable_too() {
    let place = Place::fast();
    drop(place.try_open().unwrap());
    let (bytes, digest) = blob(0);
    let directory = place.layout().blob(&digest).parent().unwrap().to_owned();
    std::fs::create_dir_all(&directory).unwrap();
    let store = place.try_open().unwrap();
    place.faults.reset();
    let spool = store.spool(&digest).await.unwrap();
    spool.write(0, vec![bytes.clone()]).await.unwrap();
    store.admit(spool.finish(bytes.len() as u64).await.unwrap()).await.unwrap();
    let steps = place.faults.steps();
    let position = |call: Call, path: &Path| {
        steps.iter().position(|step| step.call == call && step.path == path).expect("the call was made")
    };
    let rename = steps.iter().position(|step| {
        step.call == Call::Rename && step.target.as_deref() == Some(&place.layout().blob(&digest))
    });
    assert!(Some(position(Call::Sync, directory.parent().unwrap())) < rename);
    Volatile::after(&steps).assert_durable(&place.layout().blob(&digest));
}

#[tokio::test]
async fn a_manifest_is_durable_before_its_record_is_written() {
    let place = Place::fast();
    let store = place.try_open().unwrap();
    store.put_manifest(&repository(), &media_type(), &manifest()).await.unwrap();
    let steps = place.faults.steps();
    let record = place.layout().manifest_record(&repository(), manifest().digest());
    let written = steps.iter().position(|step| step.target.as_deref() == Some(&record)).unwrap();
    Volatile::after(&steps[..written]).assert_durable(&place.layout().manifest(manifest().digest()));
}

#[tokio::test]
async fn parked_bytes_survive_a_power_loss() {
    let place = Place::fast();
    let store = place.try_open().unwrap();
    let (bytes, digest) = blob(0);
    let spool = store.spool(&digest).await.unwrap();
    spool.write(0, vec![bytes.slice(..20_000)]).await.unwrap();
    spool.park().await;
    let volatile = Volatile::after(&place.faults.steps());
    volatile.assert_durable(&place.layout().partial(&digest));
    volatile.assert_durable(&place.layout().sidecar(&digest));
    // Before the next write, the file's sidecar is durably replaced.
    drop(store.spool(&digest).await.unwrap());
    Volatile::after(&place.faults.steps()).assert_durable(&place.layout().sidecar(&digest));
    assert_eq!(place.sidecar(&digest)["synced"], false);
}

#[tokio::test]
async fn a_failed_sync_is_never_repeated_on_the_same_file() {
    let place = Place::fast();
    let store = place.try_open().unwrap();
    let (bytes, digest) = blob(0);
    let spool = store.spool(&digest).await.unwrap();
    spool.write(0, vec![bytes.clone()]).await.unwrap();
    let verified = spool.finish(bytes.len() as u64).await.unwrap();
    place.faults.reset();
    place.faults.inject(Some(Call::Sync), 0, crate::fs::fault::Fault::Errno(5));
    let error = store.admit(verified).await.unwrap_err();
    assert_eq!((error.call().as_str(), error.errno()), ("fdatasync", Some(5)));
    let synced: Vec<_> = place.faults.steps().into_iter().filter(|step| step.call == Call::Sync).collect();
    assert_eq!(synced.len(), 1);
    assert_eq!(place.names_in("partial"), [""; 0]);
    assert!(BlobStore::open(&store, &digest).await.unwrap().is_none());
}
