//! Deadlines for the upstream, and bodies that are too slow.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cache::{PullError, Settings, Want};
use oci::Digest;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::upstream::{Manner, PIECE};
use crate::world::{World, noise, repository};

const MANIFEST: &str = concat!(
    r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":"#,
    r#"{"mediaType":"application/vnd.oci.image.config.v1+json","size":2,"digest":"sha256:"#,
    r#"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},"layers":[]}"#,
);

fn patient(header_timeout: u64, idle_timeout: u64) -> World {
    let seconds = Duration::from_secs;
    World::with(|settings: &mut Settings| {
        *settings = settings.clone().waiting(seconds(header_timeout), seconds(idle_timeout));
    })
}

#[tokio::test(start_paused = true)]
async fn k15_a_manifest_is_waited_for_as_long_as_its_answers_may_take() {
    for (header_timeout, answers_after, is_served) in [(60, 50, true), (20, 19, true), (60, 70, false)] {
        let world = patient(header_timeout, 30);
        world.upstream.put_manifest(&repository(), "1", MANIFEST);
        let pause = world.upstream.pause();
        // Both the tag's HEAD and the manifest are this late.
        let answers = async {
            for _ in 0..2 {
                tokio::time::sleep(Duration::from_secs(answers_after)).await;
                pause.add_permits(1);
            }
        };
        let (repository, tag) = (repository(), "1".parse().unwrap());
        let pull = world.backend.pull_manifest(&repository, &tag, Want::Get);
        let (got, ()) = tokio::join!(pull, answers);
        assert_eq!(got.is_ok(), is_served, "{header_timeout} s, answers after {answers_after} s: {got:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn k15_a_silence_that_is_allowed_ends_no_transfer() {
    for (world, is_served) in [(patient(10, 120), true), (World::new(), false)] {
        let gate = Arc::new(Semaphore::new(0));
        let (world, digest, blob) = slow(world, Manner { gate: Some(gate.clone()), ..Manner::default() });
        let bursts = async {
            loop {
                tokio::time::sleep(Duration::from_secs(100)).await;
                gate.add_permits(60);
            }
        };
        let got = tokio::select! {
            got = world.pull(&digest) => got,
            () = bursts => unreachable!(),
        };
        assert_eq!(got.is_ok_and(|got| got == blob), is_served);
    }
}

fn slow(world: World, manner: Manner) -> (World, Digest, Bytes) {
    let blob = noise(4 << 20);
    let digest = world.upstream.put_blob(&blob);
    world.upstream.set_manner(manner);
    (world, digest, blob)
}

#[tokio::test(start_paused = true)]
async fn t18_a_dripping_body_ends_however_it_drips() {
    let one_byte = Manner { cut_at: Some(1), ..Manner::default() };
    let few_bytes = Manner { cut_at: Some(700), pace: Duration::from_secs(1), ..Manner::default() };
    let drip = Manner { pace: Duration::from_secs(29), ..Manner::default() };
    for (what, manner) in
        [("a byte for each range", one_byte), ("700 bytes a second", few_bytes), ("a drip", drip)]
    {
        // The floor is that of all connections together: two such drips would be above it.
        let alone = World::with(|settings| settings.connections_per_blob_max = 1);
        let (world, digest, _) = slow(alone, manner);
        let before = Instant::now();
        let error = world.pull(&digest).await.unwrap_err();
        assert!(matches!(error, PullError::UpstreamUnavailable { .. }), "{what}: {error}");
        let (elapsed, count) = (before.elapsed(), world.upstream.count("GET blob"));
        assert!(elapsed <= Duration::from_secs(2 * 45), "{what}: {elapsed:?}");
        assert!(count < 80, "{what}: {count} requests");
    }
}

#[tokio::test(start_paused = true)]
async fn t18_a_fast_body_that_breaks_off_often_is_resumed_to_the_end() {
    for cut_at in [PIECE, 4 * PIECE + 1] {
        let (world, digest, blob) = slow(World::new(), Manner { cut_at: Some(cut_at), ..Manner::default() });
        assert!(world.pull(&digest).await.unwrap() == blob);
    }
}

#[tokio::test(start_paused = true)]
async fn t18_a_transfer_that_was_fast_and_begins_to_drip_has_an_end_too() {
    let (world, digest, _) = slow(World::new(), Manner { cut_at: Some(1), ..Manner::default() });
    world.upstream.script([Manner { cut_at: Some(2 << 20), ..Manner::default() }]);
    let before = Instant::now();
    world.pull(&digest).await.unwrap_err();
    assert!(before.elapsed() <= Duration::from_secs(3 * 45), "{:?}", before.elapsed());
}
