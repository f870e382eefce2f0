//! Kills a process that uses a store, again and again, at arbitrary instants.

#![allow(clippy::unwrap_used, reason = "a test: every failure is to be loud")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::StreamExt;
use oci::{Algorithm, Digest, Repository, Tag};
use policy::freshness::TagRecord;
use storage::fs::FsStore;
use storage::{BlobStore, RecordStore, VerifiedManifest};
use telemetry::Metrics;

const ROOT_VARIABLE: &str = "STORAGE_KILL_TEST_ROOT";
const BLOB_COUNT: u64 = 24;
const KILL_COUNT: usize = 30;
const PIECE_BYTES: u64 = 8 * 1024;

fn store(root: &Path) -> FsStore {
    storage::fs::open(root, Metrics::new(&["test".to_owned()]).registry("test")).unwrap()
}

fn blob(number: u64) -> (Bytes, Digest) {
    let len = 100_000 + number * 10_007;
    let bytes: Bytes = (0..len).map(|index| (index.wrapping_mul(number * 2 + 7919) >> 5) as u8).collect();
    let digest = Digest::of(Algorithm::Sha256, &bytes);
    (bytes, digest)
}

fn manifest(number: u64) -> VerifiedManifest {
    VerifiedManifest::check(format!("{{\"number\":{number}}}").into(), None).unwrap()
}

fn repository(number: u64) -> Repository {
    format!("library/r{}", number % 5).parse().unwrap()
}

fn tag() -> Tag {
    "latest".parse().unwrap()
}

/// Not a separate test: the process that [`killed_at_any_instant`] starts and kills.
#[tokio::test]
#[ignore = "started by the other test"]
async fn victim() {
    let root = std::env::var_os(ROOT_VARIABLE).expect("the other test names the root");
    let store = store(Path::new(&root));
    for number in (0..BLOB_COUNT).cycle() {
        let (bytes, digest) = blob(number);
        let (size, spool) = (bytes.len() as u64, store.spool(&digest).await.unwrap());
        spool.set_size(size).unwrap();
        let mut starts: Vec<u64> = (spool.watermark()..size).step_by(PIECE_BYTES as usize).collect();
        match number % 3 {
            0 => {}
            1 => starts.reverse(),
            _ => starts.sort_by_key(|start| (start / PIECE_BYTES % 4, *start)),
        }
        for start in starts {
            let end = (start + PIECE_BYTES).min(size);
            spool.write(start, vec![bytes.slice(start as usize..end as usize)]).await.unwrap();
        }
        store.admit(spool.finish(size).await.unwrap()).await.unwrap();
        let manifest = manifest(number);
        let media_type = "application/json".parse().unwrap();
        store.put_manifest(&repository(number), &media_type, &manifest).await.unwrap();
        let checked_at = UNIX_EPOCH + Duration::from_secs(number);
        let (digest, size) = (manifest.digest().clone(), manifest.bytes().len() as u64);
        let record = TagRecord { digest, media_type, size, checked_at };
        store.put_tag(&repository(number), &tag(), &record).await.unwrap();
        if number % 4 == 3 {
            evict(&store, &repository(number)).await;
        }
        println!("done {number}");
        store.remove(&blob(number).1).await.unwrap();
    }
}

/// Removes a repository in the order of an eviction.
async fn evict(store: &FsStore, name: &Repository) {
    store.remove_tag(name, &tag()).await.unwrap();
    let manifests = store.manifests(name, None, 100).await.unwrap();
    for entry in &manifests {
        store.remove_manifest(name, &entry.digest).await.unwrap();
    }
    store.sync_removals(std::slice::from_ref(name)).await.unwrap();
    for entry in &manifests {
        store.remove_manifest_bytes(&entry.digest).await.unwrap();
    }
    store.remove_repository(name).await.unwrap();
}

/// Lets a victim finish `round_count` blobs and kills it at once, somewhere in the next one.
fn kill_one(root: &Path, round_count: usize) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "victim", "--nocapture", "--test-threads=1"])
        .env(ROOT_VARIABLE, root)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let done =
        lines.map(|line| line.unwrap()).filter(|line| line.starts_with("done")).take(round_count).count();
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert_eq!(done, round_count, "the victim ended by itself: {status}");
}

/// Expects that all published content is right, and that partial content can be resumed.
async fn inspect(root: &Path) {
    let store = store(root);
    assert_eq!(std::fs::read_dir(root.join("tmp")).unwrap().count(), 0);
    let blobs: Vec<_> = (0..BLOB_COUNT).map(blob).collect();
    let entries: Vec<_> = store.entries().map(|entry| entry.unwrap()).collect().await;
    for entry in entries {
        let (bytes, digest) = blobs.iter().find(|(_, digest)| *digest == entry.digest).expect("one of ours");
        let found = store.open(digest).await.unwrap().expect("it was listed");
        assert_eq!(found.read(0, bytes.len() + 1).await.unwrap(), *bytes, "{digest}");
    }
    for (bytes, digest) in &blobs {
        let spool = store.spool(digest).await.unwrap();
        let front = spool.watermark();
        let resumed = spool.content().read(0, bytes.len()).await.unwrap();
        assert_eq!(resumed, bytes[..front as usize], "front of {digest}");
    }
    for number in 0..BLOB_COUNT {
        if let Some(record) = store.tag(&repository(number), &tag()).await.unwrap() {
            let named = store.manifest(&repository(number), &record.digest).await.unwrap();
            assert!(named.is_some(), "a tag without its manifest");
        }
    }
    assert_eq!(std::fs::read_dir(root.join("quarantine")).unwrap().count(), 0);
}

#[tokio::test]
async fn killed_at_any_instant() {
    let directory = tempfile::tempdir().unwrap();
    for number in 0..KILL_COUNT {
        kill_one(directory.path(), 1 + number % 4);
        inspect(directory.path()).await;
    }
}
