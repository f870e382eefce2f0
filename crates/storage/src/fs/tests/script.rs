//! One run through all operations of a store, in a fixed order, which continues when a step fails.

use std::collections::HashSet;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::StreamExt;
use oci::{Algorithm, Digest, MediaType, Repository, Tag};
use policy::freshness::TagRecord;

use super::Place;
use crate::blob_store::BlobStore;
use crate::conformance::{content, pieces, read, whole};
use crate::error::{StoreError, VerifyError};
use crate::fs::FsStore;
use crate::maintain::Maintain;
use crate::record_store::RecordStore;
use crate::verified_manifest::VerifiedManifest;

pub(super) const SIZE: u64 = 40_000;

/// The contents that the script stores; their lengths differ.
pub(super) fn blob(number: u64) -> (Bytes, Digest) {
    content((SIZE + number) as usize, if number == 1 { Algorithm::Sha512 } else { Algorithm::Sha256 })
}

/// The number of different contents.
pub(super) const BLOB_COUNT: u64 = 8;

pub(super) fn repository() -> Repository {
    "library/alpine".parse().unwrap()
}

pub(super) fn tag() -> Tag {
    "3.20".parse().unwrap()
}

pub(super) fn manifest() -> VerifiedManifest {
    VerifiedManifest::check(Bytes::from_static(br#"{"schemaVersion":2}"#), None).unwrap()
}

pub(super) fn media_type() -> MediaType {
    "application/vnd.oci.image.manifest.v1+json".parse().unwrap()
}

pub(super) fn record() -> TagRecord {
    TagRecord {
        digest: manifest().digest().clone(),
        media_type: media_type(),
        size: manifest().bytes().len() as u64,
        checked_at: UNIX_EPOCH + Duration::from_secs(1_795_256_819),
    }
}

/// The operations that the store acknowledged.
#[derive(Debug, Default)]
pub(super) struct Acknowledged {
    pub(super) stored: HashSet<Digest>,
    pub(super) removed: HashSet<Digest>,
    pub(super) manifest: bool,
    pub(super) tag: bool,
    pub(super) link: bool,
}

/// Runs the script. After a failed step it continues with the next.
pub(super) async fn play(store: &FsStore) -> Acknowledged {
    let mut done = Acknowledged::default();
    store.take_stock().await;
    for number in [0, 1, 2] {
        let (bytes, digest) = blob(number);
        // In order; with the front last; with the front first.
        let order: &[u64] = [&[0, 1, 2][..], &[2, 1, 0], &[0, 2, 1]][number as usize];
        if fill(store, &bytes, &digest, order).await.is_ok() {
            done.stored.insert(digest);
        }
    }
    let _ = leave(store, 3, &[0]).await;
    if let Ok(spool) = leave(store, 4, &[0, 2]).await {
        spool.park().await;
    }
    if let Ok(spool) = leave(store, 5, &[0]).await {
        spool.discard().await;
    }
    let _ = forge(store, 6).await;
    // The sidecar lists only some of the bytes beyond the hole, so the file is longer than its trusted bytes.
    let _ = leave(store, 7, &[0, 2]).await;
    let (bytes, digest) = blob(7);
    if fill(store, &bytes, &digest, &[0, 1, 2]).await.is_ok() {
        done.stored.insert(digest);
    }
    for left_behind in [3, 4] {
        let _ = store.spool(&blob(left_behind).1).await;
    }
    let (_, gone) = blob(2);
    if BlobStore::open(store, &gone).await.is_ok() && store.remove(&gone).await.is_ok() {
        done.stored.remove(&gone);
        done.removed.insert(gone);
    }
    records(store, &mut done).await;
    let (_, damaged) = blob(1);
    if store.set_aside(&damaged).await.is_ok() {
        done.stored.remove(&damaged);
        done.removed.insert(damaged);
    } else {
        // A failed call may have been carried out halfway.
        done.stored.remove(&damaged);
    }
    let _: Vec<_> = store.entries().collect().await;
    store.sweep().await;
    done
}

async fn records(store: &FsStore, done: &mut Acknowledged) {
    let (_, layer) = blob(0);
    done.manifest = store.put_manifest(&repository(), &media_type(), &manifest()).await.is_ok();
    done.tag = store.put_tag(&repository(), &tag(), &record()).await.is_ok();
    done.link = store.put_link(&repository(), &layer).await.is_ok();
    if let Ok(stored @ Some(_)) = store.manifest(&repository(), manifest().digest()).await {
        assert_eq!(whole(stored).unwrap().bytes, manifest().bytes());
    }
    if let Ok(Some(found)) = store.tag(&repository(), &tag()).await {
        assert_eq!(found, record());
    }
    let _ = store.has_link(&repository(), &layer).await;
    let _ = store.repositories(None, 10).await;
    let other: Tag = "gone".parse().unwrap();
    let _ = store.put_tag(&repository(), &other, &record()).await;
    let _ = store.remove_tag(&repository(), &other).await;
}

/// Writes the thirds of a blob in the given order and admits it.
async fn fill(store: &FsStore, bytes: &Bytes, digest: &Digest, order: &[u64]) -> Result<(), VerifyError> {
    let spool = store.spool(digest).await?;
    let size = bytes.len() as u64;
    for third in order {
        if *third == 2 {
            spool.set_size(size)?;
        }
        let (start, end) = third_of(size, *third);
        spool.write(start, pieces(&bytes.slice(start as usize..end as usize), 5_000)).await?;
    }
    let verified = spool.finish(size).await?;
    let content = verified.content();
    let admitted = store.admit(verified).await;
    // Whether or not the commit succeeds, readers of the fill get all bytes.
    if let Ok(whole) = content.read(0, size as usize).await {
        assert_eq!(whole, *bytes);
    }
    admitted?;
    Ok(())
}

pub(super) fn third_of(size: u64, third: u64) -> (u64, u64) {
    (size * third / 3, size * (third + 1) / 3)
}

/// Writes some thirds of a blob, and no more.
async fn leave(
    store: &FsStore,
    number: u64,
    order: &[u64],
) -> Result<std::sync::Arc<crate::spool::Spool>, StoreError> {
    let (bytes, digest) = blob(number);
    let spool = store.spool(&digest).await?;
    spool.set_size(bytes.len() as u64)?;
    for third in order {
        let (start, end) = third_of(bytes.len() as u64, *third);
        spool.write(start, vec![bytes.slice(start as usize..end as usize)]).await?;
    }
    Ok(spool)
}

async fn forge(store: &FsStore, number: u64) -> Result<(), VerifyError> {
    let (bytes, digest) = blob(number);
    let spool = store.spool(&digest).await?;
    let mut forged = bytes.to_vec();
    forged[7] ^= 1;
    spool.write(0, vec![forged.into()]).await?;
    let finished = spool.finish(bytes.len() as u64).await;
    assert!(finished.is_err(), "forged bytes were accepted");
    Ok(())
}

/// Opens the store again, without faults, and expects all acknowledged content and no wrong byte.
pub(super) async fn inspect(place: &Place, done: &Acknowledged, is_power_loss: bool) {
    place.faults.reset();
    let store = place.try_open_after(if is_power_loss { "next start" } else { "this start" }).unwrap();
    assert_eq!(place.names_in("tmp"), [""; 0], "leftovers");
    for number in 0..BLOB_COUNT {
        let (bytes, digest) = blob(number);
        let found = BlobStore::open(&store, &digest).await.unwrap();
        assert!(found.is_some() || !done.stored.contains(&digest), "{number} was promised and is gone");
        assert!(found.is_none() || !done.removed.contains(&digest), "{number} was removed and is back");
        if let Some(found) = found {
            assert_eq!(found.size(), bytes.len() as u64, "size of {number}");
            assert_eq!(read(&found, 0, found.size()).await, bytes, "content of {number}");
        }
        go_on(&store, number).await;
    }
    assert_eq!(place.names_in("partial"), [""; 0], "leftovers");
    let stored = whole(store.manifest(&repository(), manifest().digest()).await.unwrap());
    assert!(stored.is_some() || !done.manifest);
    assert!(stored.is_none_or(|stored| stored.bytes == manifest().bytes()));
    let found = store.tag(&repository(), &tag()).await.unwrap();
    assert!(found.is_some() || !done.tag);
    assert!(found.is_none_or(|found| found == record()));
    assert!(store.has_link(&repository(), &blob(0).1).await.unwrap() || !done.link);
}

/// Resumes a blob and completes it.
async fn go_on(store: &FsStore, number: u64) {
    let (bytes, digest) = blob(number);
    let spool = store.spool(&digest).await.unwrap();
    let front = spool.watermark();
    let resumed = read(&spool.content(), 0, front).await;
    // A file forged on disk is like an upstream's wrong bytes: only the digest reveals it.
    let mut forged = bytes.to_vec();
    forged[7] ^= 1;
    assert!(
        bytes.starts_with(&resumed) || (number == 6 && forged.starts_with(&resumed)),
        "front of {number}"
    );
    spool.write(front, vec![bytes.slice(front as usize..)]).await.unwrap();
    match spool.finish(bytes.len() as u64).await {
        Ok(verified) => drop(store.admit(verified).await.unwrap()),
        Err(VerifyError::Mismatch { .. }) if number == 6 => return,
        Err(error) => panic!("blob {number} from {front}: {error}"),
    }
    let found = BlobStore::open(store, &digest).await.unwrap().unwrap();
    assert_eq!(read(&found, 0, found.size()).await, bytes, "content of {number}");
}
