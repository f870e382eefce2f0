//! Inspection: a file is hashed as it is on the disk now, and a trial write fails as a commit would.

use std::fs;

use oci::Algorithm;
use rustix::io::Errno;

use super::Place;
use super::script::{manifest, media_type, repository};
use crate::blob_store::BlobStore;
use crate::conformance::{Engine, content};
use crate::error::StoreErrorKind;
use crate::fs::fault::{Call, Fault};
use crate::inspect::{Inspect, Part};
use crate::record_store::RecordStore;

#[tokio::test]
async fn a_change_behind_the_stores_back_shows_in_the_hash_although_the_content_is_cached() {
    let place = Place::fast();
    let store = place.open();
    let (bytes, digest) = content(5_000, Algorithm::Sha256);
    let spool = store.spool(&digest).await.unwrap();
    spool.write(0, vec![bytes.clone()]).await.unwrap();
    store.admit(spool.finish(5_000).await.unwrap()).await.unwrap();
    let manifest = manifest();
    store.put_manifest(&repository(), &media_type(), &manifest).await.unwrap();
    assert!(BlobStore::open(&store, &digest).await.unwrap().is_some());
    assert!(store.manifest(&repository(), manifest.digest()).await.unwrap().is_some());
    let places = [
        (Part::Blobs, digest.clone(), place.layout().blob(&digest)),
        (Part::Manifests, manifest.digest().clone(), place.layout().manifest(manifest.digest())),
    ];
    for (part, digest, path) in places {
        let mut damaged = fs::read(&path).unwrap();
        damaged[7] ^= 1;
        fs::write(&path, damaged).unwrap();
        let file = store.open_to_hash(part, &digest).await.unwrap().expect("it is stored");
        assert_ne!(file.digest(digest.algorithm()).await.unwrap(), digest, "{part:?}");
        assert!(path.exists(), "{part:?}: looking moves nothing");
    }
}

#[tokio::test]
async fn a_manifest_that_was_set_aside_is_not_served_from_memory() {
    let place = Place::fast();
    let store = place.open();
    let manifest = manifest();
    store.put_manifest(&repository(), &media_type(), &manifest).await.unwrap();
    assert!(store.manifest(&repository(), manifest.digest()).await.unwrap().is_some());
    store.set_aside_manifest(manifest.digest()).await.unwrap();
    assert!(store.manifest(&repository(), manifest.digest()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_trial_write_fails_for_the_reason_for_which_content_cannot_be_stored() {
    let cases = [
        (Call::Open, Errno::ROFS, StoreErrorKind::ReadOnly),
        (Call::Open, Errno::ACCESS, StoreErrorKind::Denied),
        (Call::Open, Errno::NOSPC, StoreErrorKind::Full),
        (Call::Write, Errno::NOSPC, StoreErrorKind::Full),
        (Call::Write, Errno::IO, StoreErrorKind::Io),
    ];
    for (call, errno, kind) in cases {
        let place = Place::fast();
        let store = place.open();
        place.faults.inject(Some(call), 0, Fault::Errno(errno.raw_os_error()));
        let error = store.try_write().await.unwrap_err();
        assert_eq!(error.kind(), kind, "{call:?} {errno:?}");
        store.try_write().await.unwrap();
        assert!(place.names_in("tmp").is_empty());
    }
    let place = Place::fast();
    let store = place.open();
    fs::rename(place.root(), place.directory.path().join("elsewhere")).unwrap();
    assert_eq!(store.try_write().await.unwrap_err().kind(), StoreErrorKind::MissingRoot);
    assert!(!place.root().exists(), "nothing is created where the volume is gone");
}
