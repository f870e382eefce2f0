//! `kill -9` at any instant, under clients that pull.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use testkit::{Starting, TempStore};

use crate::WHARF;
use crate::audit::{self, Audit};
use crate::library::{Library, REGISTRY, Received};
use crate::load::Load;
use crate::schedule::Schedule;

/// Cycles of a normal run; `WHARF_KILLS` names another number.
const KILLS: u64 = 200;

/// The longest life of a process under load.
const LIFE_MAX: Duration = Duration::from_millis(90);

/// The longest life of a process that is killed while it starts.
const BIRTH_MAX: Duration = Duration::from_millis(30);

/// The number of cycles between two checks of everything promised with the upstream gone.
const ALONE_EVERY: u64 = 10;

#[tokio::test(flavor = "multi_thread")]
async fn f33_killed_over_and_over_under_load() {
    let schedule = Schedule::new("kills", "WHARF_KILLS", KILLS);
    let (library, store) = (Arc::new(Library::new().await), TempStore::new());
    let (settings, data) = (store.path(), store.path().join("data"));
    let root = data.join(REGISTRY);
    let start = || Starting::over(WHARF, settings, &data, &library.registries(), "");
    let mut promised = Received::default();
    let mut slowest_start = Duration::ZERO;
    for mut cycle in schedule.cycles() {
        lose_some(&root, &mut promised, &mut cycle.rng);
        if cycle.number % ALONE_EVERY == ALONE_EVERY - 1 {
            library.expect_served_alone(&promised, start().ready()).await;
        }
        if cycle.rng.u8(..8) == 0 {
            // Dropping it kills it, whether it listens already or not.
            drop(start().ready_within(cycle.instant(BIRTH_MAX)));
        }
        let (before, temporary) = (Audit::of(&root), audit::temporary_files(&root));
        let begun = Instant::now();
        let program = start().ready();
        slowest_start = slowest_start.max(begun.elapsed());
        audit::expect_removed(&temporary);
        let mut load = Load::start(&program, &library, &mut cycle);
        load.run_for(cycle.instant(LIFE_MAX)).await;
        load.expect_the_worst();
        program.kill();
        promised.extend(load.finish().await);
        library.forgotten_by_upstream().await;
        library.expect_nothing_twice(&before);
        library.upstream.log().clear();
        let after = Audit::of(&root);
        after.expect_tidy(library.size(), library.blobs.len());
        library.expect_kept(&promised, &after);
    }
    schedule.finish(&format!("slowest start {slowest_start:?}"));
}

/// Makes pulls cold again: removes some of what is stored, as an operator may. Removed content is promised no
/// more.
pub(crate) fn lose_some(root: &Path, promised: &mut Received, rng: &mut Rng) {
    for path in audit::files_beneath(&root.join("blobs")) {
        if rng.bool() {
            fs::remove_file(&path).expect("removed");
            let hex = path.file_name().and_then(|name| name.to_str()).expect("a digest");
            promised.blobs.remove(&format!("sha256:{hex}"));
        }
    }
    if rng.u8(..4) == 0 {
        for path in
            ["manifests", "repositories"].iter().flat_map(|name| audit::files_beneath(&root.join(name)))
        {
            fs::remove_file(path).expect("removed");
        }
        promised.manifests.clear();
        promised.tags.clear();
    }
}
