//! The memory that a look at an image takes. A test of its own process, whose peak nothing else raises.

#![allow(clippy::unwrap_used, reason = "a test: every failure is to be loud")]
#![cfg(target_os = "linux")]

use std::sync::Arc;
use std::time::SystemTime;

use inventory::Inventory;
use oci::{MANIFEST_BYTES_MAX, Repository};
use storage::{MemoryStore, Store, VerifiedManifest};

/// The most that the look may take beside the manifest, in bytes: six times its size.
const GROWTH_BYTES_MAX: u64 = 24 << 20;

/// The peak of this process's memory, in bytes.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().trim().parse::<u64>().unwrap() * 1024
}

#[tokio::test]
async fn a_manifest_of_millions_of_values_takes_little_memory_to_look_at() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let metrics = telemetry::Metrics::new(&["test".to_owned()]).registry("test");
    let inventory = Inventory::new("test", Arc::clone(&store), metrics, Box::new(SystemTime::now));
    let name: Repository = "app".parse().unwrap();
    for (begin, value, end) in [
        (r#"{"schemaVersion":2,"blobs":["#, "0", "]}"),
        (r#"{"schemaVersion":2,"annotations":["#, "0", "]}"),
        (r#"{"schemaVersion":2,"layers":["#, "{}", "]}"),
        (r#"{"schemaVersion":2,"config":{"platform":{"os":["#, "[]", "]}}}"),
    ] {
        let count = (MANIFEST_BYTES_MAX - begin.len() - end.len()) / (value.len() + 1);
        let list = format!("{value},").repeat(count - 1) + value;
        let text = format!("{begin}{list}{end}");
        let manifest = VerifiedManifest::check(text.into(), None).unwrap();
        let storing = inventory.storing().await;
        let media_type = "application/vnd.oci.image.manifest.v1+json".parse().unwrap();
        store.put_manifest(&name, &media_type, &manifest).await.unwrap();
        inventory.manifest_stored(&storing, &name, manifest.digest(), manifest.bytes());
        drop(storing);
        let before = peak_bytes();
        let anatomy = inventory.anatomy(&name, manifest.digest()).await.unwrap().unwrap();
        assert_eq!(anatomy.bytes, manifest.bytes().len() as u64);
        let growth = peak_bytes() - before;
        assert!(growth < GROWTH_BYTES_MAX, "{begin}: {growth} bytes");
    }
}
