//! The power fails at any instant, under clients that pull.
//!
//! Pulled content is durable once it is written: a client gets the last bytes of a blob when its digest is
//! right, without waiting for the disk, and may get a manifest that another client's pull is about to make
//! durable. So clients pull for a while, the test waits for the fills, and the power fails somewhere in a
//! second burst, which promises nothing.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use testkit::Starting;

use crate::WHARF;
use crate::audit::{self, Audit};
use crate::disk::{self, Disk, EXT4, FileSystem, XFS};
use crate::kills::lose_some;
use crate::library::{Library, REGISTRY, Received};
use crate::load::Load;
use crate::schedule::Schedule;

/// Cuts of a normal run on each file system; `WHARF_POWER_CUTS` names another number.
const CUTS: u64 = 25;

/// The longest burst of pulls.
const BURST_MAX: Duration = Duration::from_millis(80);

/// The number of cycles between two checks of everything promised with the upstream gone.
const ALONE_EVERY: u64 = 5;

#[test]
fn f34_power_cuts_on_ext4() {
    disk::run_apart("cuts::power_cuts_on_ext4_apart", &EXT4);
}

#[test]
fn f34_power_cuts_on_xfs() {
    disk::run_apart("cuts::power_cuts_on_xfs_apart", &XFS);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs namespaces of its own, in which the other test starts it"]
async fn power_cuts_on_ext4_apart() {
    cut_over_and_over("power cuts on ext4", EXT4).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs namespaces of its own, in which the other test starts it"]
async fn power_cuts_on_xfs_apart() {
    cut_over_and_over("power cuts on XFS", XFS).await;
}

async fn cut_over_and_over(name: &'static str, kind: FileSystem) {
    let schedule = Schedule::new(name, "WHARF_POWER_CUTS", CUTS);
    let (library, mut disk) = (Arc::new(Library::new().await), Disk::new(kind));
    let data = disk.mount_point().join("data");
    let root = data.join(REGISTRY);
    let settings = disk.elsewhere().to_owned();
    let start = || Starting::over(WHARF, &settings, &data, &library.registries(), "").ready();
    let mut promised = Received::default();
    let mut torn_count = 0;
    for mut cycle in schedule.cycles() {
        disk.turn_on(&mut cycle.rng);
        let mut before = Audit::of(&root);
        // Content that was not made durable is not trusted after the machine has stopped.
        torn_count += before.forget_partial();
        before.expect_tidy(library.size(), library.blobs.len());
        library.expect_kept(&promised, &before);
        if cycle.number % ALONE_EVERY == ALONE_EVERY - 1 {
            library.expect_served_alone(&promised, start()).await;
        }
        lose_some(&root, &mut promised, &mut cycle.rng);
        // Removed content stays removed.
        sync(&root);
        let mut before = Audit::of(&root);
        before.forget_partial();

        let temporary = audit::temporary_files(&root);
        let program = start();
        audit::expect_removed(&temporary);
        let mut load = Load::start(&program, &library, &mut cycle);
        load.run_for(cycle.instant(BURST_MAX)).await;
        promised.extend(load.finish().await);
        program.settle().await;
        let mut load = Load::start(&program, &library, &mut cycle);
        load.run_for(cycle.instant(BURST_MAX)).await;
        if cycle.rng.bool() {
            // As the kernel does every few seconds: half-written files reach the disk with their lengths, and
            // later writes do not.
            sync(&root);
            load.run_for(cycle.instant(BURST_MAX / 4)).await;
        }
        library.expect_nothing_twice(&before);
        load.expect_the_worst();
        disk.cut(cycle.rng.bool());
        program.kill();
        load.finish().await;
        library.forgotten_by_upstream().await;
        library.upstream.log().clear();
        disk.take_away();
    }
    schedule.finish(&format!("{torn_count} partial files were there afterwards"));
}

/// Writes the file system's memory to the disk.
fn sync(root: &Path) {
    // Before the first start there is nothing.
    if let Ok(directory) = File::open(root) {
        rustix::fs::syncfs(&directory).expect("synced");
    }
}
