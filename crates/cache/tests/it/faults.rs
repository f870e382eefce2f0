//! Upstreams that cut, lie and stall.

use std::sync::Arc;
use std::time::Duration;

use cache::PullError;
use tokio::sync::Semaphore;
use upstream::ErrorKind;

use crate::upstream::{Manner, PIECE};
use crate::world::{World, next, noise, read};

fn cut(at: usize) -> Manner {
    Manner { cut_at: Some(at), ..Manner::default() }
}

#[tokio::test(start_paused = true)]
async fn f05_cuts_at_30_and_60_percent_are_invisible() {
    let world = World::new();
    let blob = noise(4 << 20);
    let digest = world.upstream.put_blob(&blob);
    world.upstream.script([cut(blob.len() * 3 / 10), cut(blob.len() * 3 / 10)]);
    assert_eq!(world.pull(&digest).await.unwrap(), blob);
    assert_eq!(world.upstream.count("GET blob"), 3);
    assert_eq!(world.upstream.blob_bytes(), blob.len() as u64, "no byte twice");
}

/// A gateway that forbids ranges may answer with its own 403 or 404.
#[tokio::test(start_paused = true)]
async fn f05_a_resumption_that_a_gateway_refuses_is_tried_once_as_a_whole() {
    let world = World::new();
    let blob = noise(4 << 20);
    let digest = world.upstream.put_blob(&blob);
    let refuse = Manner { refuse: Some(ErrorKind::Unconfirmed), ..Manner::default() };
    let refusals = || std::iter::repeat_n(refuse.clone(), 5);
    world.upstream.script(std::iter::once(cut(1 << 20)).chain(refusals()));
    assert_eq!(world.pull(&digest).await.unwrap(), blob);
    let asked = world.upstream.asked();
    assert!(asked.last().unwrap().ends_with("Whole"), "{asked:?}");
    // If the whole is refused too, the client gets that error.
    let digest = world.upstream.put_blob(&noise(3 << 20));
    world.upstream.script(std::iter::once(cut(1 << 20)).chain(refusals()).chain([refuse.clone()]));
    assert!(world.pull(&digest).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn f05_a_cut_before_the_first_byte_of_the_body_is_invisible() {
    let world = World::new();
    let blob = noise(1 << 20);
    let digest = world.upstream.put_blob(&blob);
    world.upstream.script([cut(0)]);
    assert_eq!(world.pull(&digest).await.unwrap(), blob);
}

#[tokio::test(start_paused = true)]
async fn f05_cuts_without_end_fail_the_clients_and_keep_the_bytes_for_later() {
    let world = World::new();
    let blob = noise(4 << 20);
    let digest = world.upstream.put_blob(&blob);
    world.upstream.script([cut(1 << 20)]);
    world.upstream.set_manner(cut(0));
    assert!(matches!(world.pull(&digest).await, Err(PullError::UpstreamUnavailable { .. })));
    world.settle().await;
    assert!(!world.holds(&digest).await);
    let given = world.upstream.blob_bytes();
    world.upstream.set_manner(Manner::default());
    assert_eq!(world.pull(&digest).await.unwrap(), blob);
    assert_eq!(given, 1 << 20);
    assert_eq!(world.upstream.blob_bytes(), blob.len() as u64, "the prefix was kept");
}

#[tokio::test(start_paused = true)]
async fn f06_a_short_body_of_unknown_length_is_never_published() {
    let world = World::new();
    let blob = noise(1 << 20);
    let digest = world.upstream.put_blob(&blob);
    let short = Manner { end_at: Some(700_000), no_size: true, ..Manner::default() };
    let refuse = |kind| Manner { refuse: Some(kind), ..Manner::default() };
    let rests = [
        Manner { ignore_range: true, ..short.clone() },
        Manner { late_start: 5, ..Manner::default() },
        refuse(ErrorKind::Invalid),
    ];
    for rest in rests {
        world.upstream.script([short.clone(), rest]);
        assert!(matches!(world.pull(&digest).await, Err(PullError::DigestMismatch { .. })));
        world.settle().await;
        assert!(!world.holds(&digest).await);
        tokio::time::advance(Duration::from_secs(61)).await;
    }
    assert_eq!(world.upstream.count("GET blob"), 6);
    world.upstream.set_manner(Manner { no_size: true, ..Manner::default() });
    assert_eq!(world.pull(&digest).await.unwrap(), blob);
}

#[tokio::test(start_paused = true)]
async fn f06_a_short_body_of_unknown_length_is_completed_by_its_rest() {
    for rest_tells_the_size in [true, false] {
        let world = World::new();
        let blob = noise(1 << 20);
        let digest = world.upstream.put_blob(&blob);
        let short = Manner { end_at: Some(700_000), no_size: true, ..Manner::default() };
        world.upstream.script([short, Manner { no_size: !rest_tells_the_size, ..Manner::default() }]);
        assert_eq!(world.pull(&digest).await.unwrap(), blob);
        assert_eq!(world.upstream.blob_bytes(), blob.len() as u64, "no byte twice");
        world.settle().await;
        assert!(world.holds(&digest).await);
    }
}

#[tokio::test(start_paused = true)]
async fn f05_an_answer_that_gets_no_first_byte_is_an_error_and_no_broken_body() {
    let world = World::new();
    let digest = world.upstream.put_blob(&noise(4 << 20));
    world.upstream.script([cut(1 << 20)]);
    world.upstream.set_manner(cut(0));
    assert!(world.pull(&digest).await.is_err());
    world.settle().await;
    let resumed = world.get_range(&digest, "bytes=1048576-").await;
    assert!(matches!(resumed, Err(PullError::UpstreamUnavailable { .. })));
    world.settle().await;
    let cold = world.upstream.put_blob(&noise(3 << 20));
    assert!(matches!(world.get(&cold).await, Err(PullError::UpstreamUnavailable { .. })));
}

#[tokio::test(start_paused = true)]
async fn f08_a_flipped_bit_never_completes_a_body_and_stores_nothing() {
    let blob = noise(2 << 20);
    for flip in [0, blob.len() / 2, blob.len() - 1] {
        let world = World::new();
        let digest = world.upstream.put_blob(&blob);
        world.upstream.script([Manner {
            flip: Some(flip),
            pace: Duration::from_millis(1),
            ..Manner::default()
        }]);
        let end = match world.get(&digest).await {
            Ok(answer) => {
                let (came, end) = read(answer.body.unwrap()).await;
                assert!(came < blob.len());
                end
            }
            Err(error) => Err(error),
        };
        assert!(matches!(end, Err(PullError::DigestMismatch { .. })), "bit at {flip}");
        world.settle().await;
        assert!(!world.holds(&digest).await);
        assert_eq!(world.pull(&digest).await.unwrap(), blob, "the next pull asks afresh");
    }
}

#[tokio::test(start_paused = true)]
async fn f08_a_small_wrong_blob_is_refused_before_its_first_byte() {
    let world = World::new();
    let digest = world.upstream.put_blob(&noise(4096));
    world.upstream.set_manner(Manner { flip: Some(9), ..Manner::default() });
    assert!(matches!(world.get(&digest).await, Err(PullError::DigestMismatch { .. })));
}

#[tokio::test(start_paused = true)]
async fn f08_a_digest_that_is_wrong_twice_is_not_requested_for_a_minute() {
    let world = World::new();
    let blob = noise(4096);
    let digest = world.upstream.put_blob(&blob);
    world.upstream.set_manner(Manner { flip: Some(9), ..Manner::default() });
    for _ in 0..5 {
        assert!(matches!(world.get(&digest).await, Err(PullError::DigestMismatch { .. })));
    }
    assert_eq!(world.upstream.count("GET blob"), 2);
    world.upstream.set_manner(Manner::default());
    tokio::time::advance(Duration::from_secs(61)).await;
    assert_eq!(world.pull(&digest).await.unwrap(), blob);
}

#[tokio::test(start_paused = true)]
async fn f15_an_upstream_that_ignores_ranges_is_skipped_through() {
    let world = World::new();
    let blob = noise(2 << 20);
    let digest = world.upstream.put_blob(&blob);
    world.upstream.script([cut(1 << 20), Manner { ignore_range: true, ..Manner::default() }]);
    assert_eq!(world.pull(&digest).await.unwrap(), blob);
}

#[tokio::test(start_paused = true)]
async fn f15_an_upstream_that_refuses_ranges_is_asked_for_the_whole() {
    let world = World::new();
    let blob = noise(2 << 20);
    let digest = world.upstream.put_blob(&blob);
    let refuse = Manner { refuse: Some(ErrorKind::Invalid), ..Manner::default() };
    world.upstream.script([cut(1 << 20), refuse]);
    assert_eq!(world.pull(&digest).await.unwrap(), blob);
}

#[tokio::test(start_paused = true)]
async fn f15_a_resumption_that_begins_too_late_is_not_mixed_in() {
    let world = World::new();
    let blob = noise(2 << 20);
    let digest = world.upstream.put_blob(&blob);
    world.upstream.script([cut(1 << 20), Manner { late_start: 5, ..Manner::default() }]);
    assert_eq!(world.pull(&digest).await.unwrap(), blob);
}

#[tokio::test(start_paused = true)]
async fn f04_a_dripping_upstream_is_left_and_resumed() {
    let world = World::new();
    let blob = noise(1 << 20);
    let digest = world.upstream.put_blob(&blob);
    world.upstream.script([Manner { pace: Duration::from_secs(29), ..Manner::default() }]);
    assert_eq!(world.pull(&digest).await.unwrap(), blob);
    assert_eq!(world.upstream.count("GET blob"), 2);
}

#[tokio::test(start_paused = true)]
async fn f03_a_refusal_before_the_first_byte_is_not_tried_again_here() {
    let world = World::new();
    let digest = world.upstream.put_blob(&noise(1 << 20));
    for kind in [ErrorKind::TimedOut, ErrorKind::Unreachable, ErrorKind::Throttled, ErrorKind::Denied] {
        world.upstream.script([Manner { refuse: Some(kind), ..Manner::default() }]);
        assert!(world.get(&digest).await.is_err());
        world.settle().await;
    }
    assert_eq!(world.upstream.count("GET blob"), 4);
}

#[tokio::test(start_paused = true)]
async fn f33_a_restart_resumes_the_partial_file() {
    let world = World::new();
    let blob = noise(4 << 20);
    let digest = world.upstream.put_blob(&blob);
    let gate = Arc::new(Semaphore::new(blob.len() / PIECE / 2));
    world.upstream.script([Manner { gate: Some(gate), ..Manner::default() }]);
    let mut reader = world.get(&digest).await.unwrap().body.unwrap();
    let mut came = 0;
    while came < blob.len() / 2 {
        came += next(&mut reader).await.unwrap().unwrap().len();
    }
    world.cancel.cancel();
    world.settle().await;
    assert!(read(reader).await.1.is_err(), "a shutdown is no clean end");
    let restarted = world.restarted();
    assert_eq!(restarted.pull(&digest).await.unwrap(), blob);
    assert_eq!(restarted.upstream.blob_bytes(), blob.len() as u64, "no byte twice");
}

#[tokio::test(start_paused = true)]
async fn f12_a_refusal_in_the_middle_of_a_transfer_ends_it_at_once() {
    for kind in [ErrorKind::NotFound, ErrorKind::Denied] {
        let world = World::new();
        let digest = world.upstream.put_blob(&noise(2 << 20));
        world.upstream.script([cut(1 << 20)]);
        world.upstream.set_manner(Manner { refuse: Some(kind), ..Manner::default() });
        assert!(world.pull(&digest).await.is_err());
        world.settle().await;
        assert_eq!(world.upstream.count("GET blob"), 2, "{kind:?}");
    }
}
