//! Stored blobs that this process has not hashed yet are served without the upstream.

use std::sync::Arc;

use bytes::Bytes;
use cache::{Outcome, PullError, Want};
use futures_util::future::join_all;
use oci::Digest;
use storage::fs::fault::{Call, Faults};

use crate::store_faults::{blob_file, flip, world_on_files};
use crate::world::{World, noise, read, repository};

const SMALL: usize = 100_000;
const LARGE: usize = 3 << 20;

/// A blob as an earlier process stored it, before a cache with new tables.
async fn stored_before(length: usize, is_offline: bool) -> (World, Digest, Bytes, Faults, tempfile::TempDir) {
    let (earlier, faults, directory) = world_on_files(|_| {});
    let blob = noise(length);
    let digest = earlier.upstream.put_blob(&blob);
    earlier.pull(&digest).await.unwrap();
    earlier.settle().await;
    let (blobs, records) = (earlier.blobs.clone(), earlier.records.clone());
    let world = World::over(Arc::default(), blobs, records, |settings| {
        settings.tags.offline = is_offline;
        // Requests that need the upstream are refused.
        (settings.waiting_count_max, settings.asking_count_max) = (0, 0);
    });
    (world, digest, blob, faults, directory)
}

#[tokio::test(start_paused = true)]
async fn a_herd_on_a_stored_blob_hashes_it_once_and_gets_hits() {
    for length in [SMALL, LARGE] {
        for is_offline in [false, true] {
            let (world, digest, blob, faults, _directory) = stored_before(length, is_offline).await;
            let reads = || faults.steps().iter().filter(|step| step.call == Call::Read).count();
            let before = reads();
            let answers = join_all((0..20).map(|_| world.get(&digest))).await;
            // A large blob is answered before its hashing has begun, and may be hashed before a body is read.
            world.settle().await;
            let hashing = reads() - before;
            for answer in answers {
                let answer = answer.unwrap();
                assert_eq!((answer.outcome, answer.size), (Outcome::Hit, Some(length as u64)));
                assert!(answer.keeping.is_none(), "it is kept already");
                assert!(read(answer.body.unwrap()).await.1.is_ok_and(|body| body == blob));
            }
            // Hashing reads a mebibyte at a time; and an answer may wait for its first piece.
            let once = length.div_ceil(1 << 20);
            assert!((once..=once + 21).contains(&hashing), "{hashing} reads for {length} bytes");
            assert_eq!(world.upstream.asked(), [""; 0]);
            let metrics = world.metrics_text();
            let mut fills = metrics.lines().filter(|line| line.starts_with("wharf_fills_total"));
            assert!(fills.all(|line| line.ends_with(" 0")), "hashing is no fill: {metrics}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_range_of_a_stored_blob_is_answered_while_it_is_hashed() {
    for length in [SMALL, LARGE] {
        let (world, digest, blob, _faults, _directory) = stored_before(length, false).await;
        for (range, part) in
            [("bytes=0-0", 0..1), ("bytes=50000-", 50_000..length), ("bytes=-100", length - 100..length)]
        {
            let answer = world.get_range(&digest, range).await.unwrap();
            assert_eq!((answer.outcome, answer.partial), (Outcome::Hit, true), "{range}");
            let body = read(answer.body.unwrap()).await.1.unwrap();
            assert_eq!(body, blob.slice(part), "{range}");
        }
        let outside = world.get_range(&digest, &format!("bytes={length}-")).await;
        assert!(matches!(outside, Err(PullError::RangeNotSatisfiable { .. })), "{outside:?}");
        assert_eq!(world.upstream.asked(), [""; 0]);
    }
}

/// A damaged blob counts as missing, and the client gets that error.
#[tokio::test(start_paused = true)]
async fn a_damaged_blob_is_missing_and_so_it_fails_where_no_upstream_is_asked() {
    for (is_offline, expected) in [(true, PullError::Offline), (false, PullError::Overloaded)] {
        for want in [Want::Get, Want::Head] {
            for length in [SMALL, LARGE] {
                let (world, digest, _, _faults, directory) = stored_before(length, is_offline).await;
                flip(&blob_file(&directory.path().join("root/blobs/sha256")), 5);
                let first = world.backend.pull_blob(&repository(), &digest, None, want).await;
                let first = match first {
                    Ok(answer) => read(answer.body.unwrap()).await.1.map(|_| ()),
                    Err(error) => Err(error),
                };
                let error = first.unwrap_err();
                if length == LARGE && want == Want::Get {
                    // It is served while it is hashed: its first bytes were served by then, or are about to
                    // be.
                    assert!(matches!(error, PullError::Store { .. }), "{error}");
                } else {
                    assert_eq!(error, expected, "{want:?} of {length} bytes");
                }
                world.settle().await;
                assert!(!world.holds(&digest).await, "it is set aside");
                let again = world.backend.pull_blob(&repository(), &digest, None, want).await;
                assert_eq!(again.err(), Some(expected.clone()));
                assert_eq!(world.upstream.asked(), [""; 0]);
            }
        }
    }
}
