//! Measures the inventory of a large store: memory for each blob, the walk, a use, an eviction.
//!
//! `cargo run --profile dist -p inventory --example million`. The store has no files, so all figures are
//! those of the inventory alone.

mod hollow_store;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use inventory::{Inventory, Keeper, Reason};
use telemetry::Metrics;
use tokio_util::sync::CancellationToken;

use hollow_store::{BLOBS_PER_IMAGE, HollowStore};

/// Images that are evicted, and uses that are counted, for one figure.
const EVICTION_COUNT: u64 = 1000;
const USE_COUNT: usize = 2_000_000;

#[tokio::main]
async fn main() {
    for image_count in [10_000, 125_000, 1_000_000] {
        measure(image_count).await;
    }
}

async fn measure(image_count: u32) {
    let store = Arc::new(HollowStore::new(image_count));
    let metrics = Metrics::new(&["million".to_owned()]).registry("million");
    let before = resident_bytes();
    let inventory = Inventory::new("million", store.clone(), metrics, Box::new(SystemTime::now));
    let keeper = Keeper::new(Arc::clone(&inventory), Default::default());
    let started = Instant::now();
    let cancel = CancellationToken::new();
    let running = tokio::spawn(Arc::clone(&keeper).run(cancel.clone()));
    while !inventory.is_complete() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let walked = started.elapsed();
    let resident = resident_bytes().saturating_sub(before);
    let blob_count = u64::from(image_count) * u64::from(BLOBS_PER_IMAGE);
    println!(
        "{blob_count} blobs, {image_count} images with a tag each, {} repositories:",
        store.repository_count()
    );
    let counted = inventory.memory_bytes();
    let of_each = |bytes: usize| bytes as f64 / blob_count as f64;
    println!("  memory       {:6.1} bytes for each blob, counted", of_each(counted));
    println!("               {:6.1} bytes for each blob, resident", of_each(resident));
    println!("  walk         {:6.0} ms", walked.as_secs_f64() * 1e3);
    measure_uses(&store, &inventory);
    measure_eviction(&keeper).await;
    let started = Instant::now();
    cancel.cancel();
    running.await.expect("the keeper ends");
    println!("  note written {:6.0} ms", started.elapsed().as_secs_f64() * 1e3);
}

fn measure_uses(store: &HollowStore, inventory: &Inventory) {
    // The newest images, so that the oldest can still be evicted.
    let images = store.newest(64);
    let each = |what: &str, mut one: Box<dyn FnMut(usize) + '_>| {
        let started = Instant::now();
        (0..USE_COUNT).for_each(&mut one);
        println!("  {what} {:6.0} ns", started.elapsed().as_nanos() as f64 / USE_COUNT as f64);
    };
    each(
        "manifest use",
        Box::new(|at| {
            let (repository, digest, _) = &images[at % images.len()];
            inventory.manifest_used(repository, digest);
        }),
    );
    each(
        "blob use    ",
        Box::new(|at| {
            let (_, _, blobs) = &images[at % images.len()];
            inventory.blob_used(&blobs[at % blobs.len()]);
        }),
    );
}

async fn measure_eviction(keeper: &Keeper) {
    // The first eviction of a process goes once through all repositories.
    keeper.make_room(1, Reason::Cap).await;
    // Removes an image at a time: each frees more than one byte.
    let started = Instant::now();
    let mut images = 0;
    while images < EVICTION_COUNT {
        let freed = keeper.make_room(1, Reason::Cap).await;
        images += freed.images;
        if freed.images == 0 {
            break;
        }
    }
    println!(
        "  eviction     {:6.0} ns for each of {images} images",
        started.elapsed().as_nanos() as f64 / images as f64
    );
}

/// The memory of the process, in bytes.
fn resident_bytes() -> usize {
    const PAGE_BYTES: usize = 4096;
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: Option<usize> = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0) * PAGE_BYTES
}
