//! One healthy registry next to registries with every kind of fault.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use testkit::{BlobSource, Door, Endpoint, FakeRegistry, Program, TempStore, within};

use crate::crowd::{WHARF, blob, check_health, check_refusal, each, percentile, stored_blob, take_turn};

/// Shorter than the wait for the hung registry, and longer than a busy machine needs.
const SOON: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn f49_a_hung_a_flooded_and_a_full_registry_leave_the_healthy_one_alone() {
    let _turn = take_turn().await;
    let (hung, flooded) = (FakeRegistry::start_anonymous().await, FakeRegistry::start_anonymous().await);
    let (full, well) = (FakeRegistry::start_anonymous().await, FakeRegistry::start_anonymous().await);
    let store = TempStore::new();
    let registries =
        [("hung.test", &hung), ("flooded.test", &flooded), ("full.test", &full), ("well.test", &well)];
    let program = Program::start_bounded(WHARF, store.path(), &registries, "answer_count_max = 2600");
    let source = BlobSource::Generated { seed: 5, len: 100_000 };
    let path = stored_blob(&program, &well, "well.test", source).await;
    let cold: Vec<_> = (0..10).map(|n| well.put_blob(vec![n; 10_000])).collect();
    hung.set_door(Endpoint::Registry, Door::Mute).await;
    // A disk on which nothing can be opened is as good as a full one, and needs no mount. Blobs up to 256 KiB
    // would not need that directory.
    let partial = store.path().join("data/full.test/partial");
    std::fs::remove_dir_all(&partial).expect("removed");
    std::fs::write(&partial, "").expect("written");

    let stuck = join_all((0..1000).map(async |index| {
        let target = format!("/v2/library/app/manifests/tag{index}");
        within("an answer", program.get("hung.test", &target)).await.expect("an answer")
    }));
    let stormed = each(600, async |index| {
        let target = format!("/v2/library/app/manifests/tag{index}");
        program.get("flooded.test", &target).await.expect("an answer").status
    });
    let passed = each(20, async |index| {
        let path = blob(&full.put_blob(vec![index as u8; 300_000]));
        program.get("full.test", &path).await.expect("an answer")
    });
    let served = async {
        let mut waits = Vec::new();
        for round in 0..60 {
            let began = Instant::now();
            let path = cold.get(round).map_or_else(|| path.clone(), |digest| blob(digest));
            let answer = program.get("well.test", &path).await.expect("an answer");
            assert_eq!((answer.status, answer.complete), (200, true));
            waits.push(began.elapsed());
        }
        check_health(&program).await;
        waits
    };
    let (stuck, stormed, passed, waits) = tokio::join!(stuck, stormed, passed, served);
    println!(
        "the healthy registry: {:?} in the middle, {:?} at 99 %",
        percentile(waits.clone(), 50),
        percentile(waits.clone(), 99)
    );
    assert!(waits.iter().all(|wait| *wait < SOON), "{waits:?}");
    assert!(stormed.iter().all(|status| [404, 503].contains(status)), "{stormed:?}");
    for answer in &passed {
        assert_eq!((answer.status, answer.complete, answer.body.len()), (200, true, 300_000));
    }
    assert!(program.metric("wharf_bypassed_total", "full.test").await >= 20.0);
    let (refused, waited): (Vec<_>, Vec<_>) = stuck.iter().partition(|answer| answer.status == 503);
    refused.iter().for_each(|answer| check_refusal(answer));
    assert!(waited.iter().all(|answer| [502, 504].contains(&answer.status)));
    // A quarter of all answers: 650.
    assert!((650..1000).contains(&waited.len()), "{} waited", waited.len());
}
