//! Clients who come one after the other while the disk is full.

use std::time::Duration;

use futures_util::future::join_all;
use storage::fs::fault::{Call, Fault};

use crate::store_faults::world_on_files;
use crate::upstream::Manner;
use crate::world::{next, noise};

const ENOSPC: i32 = 28;
const EIO: i32 = 5;

#[tokio::test(start_paused = true)]
async fn t13_whoever_comes_after_the_disk_was_full_gets_the_whole_body() {
    let blob = noise(12 << 20);
    for (full_at, errno) in [(0, ENOSPC), (1 << 20, ENOSPC), (2 << 20, ENOSPC), (5 << 20, EIO)] {
        let (world, faults, _directory) = world_on_files(|settings| settings.connections_per_blob_max = 1);
        let digest = world.upstream.put_blob(&blob);
        // 4 MB/s: three seconds.
        world.upstream.set_manner(Manner { pace: Duration::from_millis(4), ..Manner::default() });
        let (world, faults, digest, blob) = (&world, &faults, &digest, &blob);
        let client = |number: u32| async move {
            tokio::time::sleep(Duration::from_millis(700) * number).await;
            let mut reader = world.get(digest).await.unwrap().body.unwrap();
            let (mut came, mut is_full) = (0, false);
            while let Some(bytes) = next(&mut reader).await {
                let bytes = bytes.unwrap_or_else(|error| {
                    panic!("full at {full_at}: client {number} was cut at {came}: {error}")
                });
                assert!(bytes == blob.slice(came..came + bytes.len()), "client {number}, wrong at {came}");
                came += bytes.len();
                if number == 0 && came >= full_at && !is_full {
                    is_full = true;
                    faults.inject(Some(Call::Write), 0, Fault::Errno(errno));
                }
            }
            assert_eq!(came, blob.len(), "full at {full_at}: client {number}");
        };
        join_all((0..4).map(client)).await;
        assert!(!faults.is_pending());
        world.settle().await;
        assert!(!world.holds(digest).await);
    }
}
