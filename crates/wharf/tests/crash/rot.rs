//! One bit of every stored file flips while wharf is stopped.

use std::fs;
use std::path::Path;

use fastrand::Rng;
use testkit::client::{Broken, Response};
use testkit::{BlobSource, FakeRegistry, Image, Program, TempStore, digest_of};

use crate::WHARF;
use crate::audit::{self, Audit};
use crate::library::{REGISTRY, REPOSITORY, target_of};
use crate::schedule::Schedule;

/// Files of a normal run; `WHARF_FLIPS` names another number.
const FLIPS: u64 = 150;

/// Either side of the size up to which a blob is verified before its first byte.
const SIZES: [u64; 6] = [1, 700, 70_000, 256 * 1024, 256 * 1024 + 1, 400_000];

/// One file in this many is a manifest.
const MANIFEST_EVERY: u64 = 8;

#[tokio::test(flavor = "multi_thread")]
async fn f32_a_flipped_bit_in_every_stored_file_is_caught_and_healed() {
    let schedule = Schedule::new("flips", "WHARF_FLIPS", FLIPS);
    let (upstream, store) = (FakeRegistry::start_anonymous().await, TempStore::new());
    let mut targets = Vec::new();
    for cycle in schedule.cycles() {
        let target = if cycle.number.is_multiple_of(MANIFEST_EVERY) {
            let image = Image::small(&cycle.number.to_string());
            upstream.put_image(REPOSITORY, "latest", &image);
            (format!("/v2/{REPOSITORY}/manifests/{}", image.digest()), image.digest().to_owned())
        } else {
            let len = SIZES[cycle.number as usize % SIZES.len()] + cycle.number / 6;
            let digest = upstream.put_blob(BlobSource::Generated { seed: cycle.number, len });
            (target_of(&digest), digest)
        };
        targets.push(target);
    }
    let program = Program::start(WHARF, store.path(), &[(REGISTRY, &upstream)]);
    for (target, digest) in &targets {
        assert!(is_right(&program.get(REGISTRY, target).await, digest), "{target}");
    }
    program.settle().await;
    program.kill();
    let root = store.path().join("data").join(REGISTRY);
    assert_eq!(flip_all(&root, schedule.rng()), targets.len());

    let program = Program::start(WHARF, store.path(), &[(REGISTRY, &upstream)]);
    upstream.log().clear();
    let mut refused = 0;
    for (target, digest) in &targets {
        let first = program.get(REGISTRY, target).await;
        if !is_right(&first, digest) {
            let is_whole = first.is_ok_and(|answer| answer.status == 200 && answer.complete);
            assert!(!is_whole, "wrong bytes of {target} reached a client as a whole");
            refused += 1;
            assert!(is_right(&program.get(REGISTRY, target).await, digest), "{target} is not healed");
        }
    }
    program.settle().await;
    assert_eq!(program.metric("wharf_quarantined_total", REGISTRY).await, targets.len() as f64);
    program.kill();
    assert_eq!(Audit::of(&root).stored.len(), targets.len());
    schedule.finish(&format!("{refused} broken off and healed by the next pull, the others at once"));
}

fn is_right(answer: &Result<Response, Broken>, digest: &str) -> bool {
    let Ok(answer) = answer else { return false };
    answer.status == 200 && answer.complete && digest_of(&answer.body) == digest
}

/// Flips one bit of every file. Returns the number of files.
fn flip_all(root: &Path, mut rng: Rng) -> usize {
    let stored = ["blobs", "manifests"].iter().flat_map(|name| audit::files_beneath(&root.join(name)));
    let flip = |path| {
        let mut bytes = fs::read(&path).expect("a stored file can be read");
        let at = rng.usize(..bytes.len());
        bytes[at] ^= 1 << rng.u8(..8);
        fs::write(&path, bytes).expect("a stored file can be changed");
    };
    stored.map(flip).count()
}
