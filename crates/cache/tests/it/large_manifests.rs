//! Manifests that are too large for memory are sent as files, and hashed as seldom as blobs.

use std::path::PathBuf;

use bytes::Bytes;
use cache::{ManifestAnswer, Outcome, PullError, Want};
use oci::{Digest, Reference};
use storage::fs::fault::{Call, Fault, Faults};
use upstream::ErrorKind;

use crate::manifests::ONE;
use crate::store_faults::world_on_files;
use crate::world::{World, read, repository};

const ENOSPC: i32 = 28;

/// A manifest of 4 MiB, the largest that a registry must take.
fn large() -> String {
    format!("{ONE}{}", " ".repeat((4 << 20) - ONE.len()))
}

async fn ask(world: &World, reference: &str, want: Want) -> Result<ManifestAnswer, PullError> {
    let reference: Reference = reference.parse().unwrap();
    world.backend.pull_manifest(&repository(), &reference, want).await
}

async fn get(world: &World, reference: &str) -> ManifestAnswer {
    ask(world, reference, Want::Get).await.unwrap()
}

/// The content, which must come from a file.
async fn content(answer: ManifestAnswer) -> Bytes {
    assert!(answer.bytes.is_none(), "it is in memory");
    read(answer.file.expect("a file")).await.1.unwrap()
}

fn reads(faults: &Faults) -> usize {
    faults.steps().iter().filter(|step| step.call == Call::Read).count()
}

#[tokio::test(start_paused = true)]
async fn t05_a_large_manifest_is_sent_as_a_file_from_the_first_pull_on() {
    for has_head in [true, false] {
        let (world, _faults, _directory) = world_on_files(|_| {});
        let text = large();
        let digest = world.upstream.put_manifest(&repository(), "1", &text);
        if !has_head {
            world.upstream.refuse_head();
        }
        for (outcome, reference) in
            [(Outcome::Miss, "1"), (Outcome::Revalidated, "1"), (Outcome::Hit, digest.to_string().as_str())]
        {
            let answer = get(&world, reference).await;
            assert_eq!((&answer.digest, answer.size), (&digest, text.len() as u64));
            assert_eq!(answer.outcome, outcome);
            assert_eq!(content(answer).await, text);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn t05_a_large_manifest_is_hashed_once_and_not_read_for_a_head() {
    let (world, faults, _directory) = world_on_files(|_| {});
    let digest = world.upstream.put_manifest(&repository(), "1", &large()).to_string();
    drop(get(&world, "1").await);
    faults.reset();
    for want in [Want::Head, Want::Get] {
        for reference in ["1", &digest] {
            for _ in 0..5 {
                let answer = ask(&world, reference, want).await.unwrap();
                assert_eq!(answer.size, 4 << 20);
            }
        }
    }
    // The repository's record of it is another small file.
    assert!(reads(&faults) <= 20, "{} reads for 20 answers of which none was sent", reads(&faults));
}

#[tokio::test(start_paused = true)]
async fn t05_after_a_restart_a_large_manifest_is_hashed_once_for_all_clients() {
    let (world, faults, _directory) = world_on_files(|_| {});
    let digest = world.upstream.put_manifest(&repository(), "1", &large()).to_string();
    drop(get(&world, "1").await);
    let restarted = world.restarted();
    faults.reset();
    let answers = futures_util::future::join_all((0..50).map(|_| get(&restarted, &digest))).await;
    assert!(answers.iter().all(|answer| answer.file.is_some()));
    // 4 MiB are hashed in reads of 1 MiB; each answer reads its small record.
    assert!(reads(&faults) <= 50 + 5, "{} reads", reads(&faults));
}

fn file_of(directory: &tempfile::TempDir, digest: &Digest) -> PathBuf {
    let hex = digest.hex();
    directory.path().join("root/manifests/sha256").join(&hex[..2]).join(hex)
}

#[tokio::test(start_paused = true)]
async fn t05_a_large_manifest_that_is_damaged_on_disk_is_never_served() {
    let damages: [fn(&mut Vec<u8>); 3] =
        [|bytes| bytes[4_000_000] ^= 1, |bytes| bytes.truncate(3 << 20), |bytes| bytes.push(b' ')];
    for damage in damages {
        let (world, _faults, directory) = world_on_files(|_| {});
        let text = large();
        let digest = world.upstream.put_manifest(&repository(), "1", &text);
        drop(get(&world, "1").await);
        let path = file_of(&directory, &digest);
        let mut bytes = std::fs::read(&path).unwrap();
        damage(&mut bytes);
        std::fs::write(&path, bytes).unwrap();
        let restarted = world.restarted();
        restarted.upstream.set_down(Some(ErrorKind::Unreachable));
        assert!(ask(&restarted, "1", Want::Get).await.is_err());
        assert!(!path.exists(), "it is set aside");
        restarted.upstream.set_down(None);
        assert_eq!(content(get(&restarted, "1").await).await, text);
        assert_eq!(std::fs::read(&path).unwrap(), text.as_bytes(), "it is healed");
    }
}

#[tokio::test(start_paused = true)]
async fn t05_a_large_manifest_that_cannot_be_stored_is_served_from_memory() {
    let (world, faults, _directory) = world_on_files(|_| {});
    let text = large();
    world.upstream.put_manifest(&repository(), "1", &text);
    faults.inject(Some(Call::Write), 0, Fault::Errno(ENOSPC));
    let answer = get(&world, "1").await;
    assert_eq!(answer.bytes.as_deref(), Some(text.as_bytes()));
    assert!(!faults.is_pending());
    assert_eq!(content(get(&world, "1").await).await, text);
}
