//! Lists: what is kept of them for an outage, and what that takes.

use bytes::Bytes;
use cache::{ListAnswer, Outcome, PullError};
use oci::{Algorithm, Digest, Page};
use upstream::ErrorKind;

use crate::world::{World, repository};

async fn referrers(world: &World, number: usize) -> Result<ListAnswer, PullError> {
    let subject = Digest::of(Algorithm::Sha256, &number.to_be_bytes());
    world.backend.referrers(&repository(), &subject, None, &Page::default()).await
}

fn document(number: usize) -> Bytes {
    format!("{{\"number\":{number},\"padding\":\"{}\"}}", "x".repeat(200_000)).into()
}

#[tokio::test(start_paused = true)]
async fn t16_referrers_for_an_outage_are_kept_by_weight_and_the_latest_stay() {
    let world = World::new();
    for number in 0..300 {
        world.upstream.set_list(document(number));
        let answer = referrers(&world, number).await.unwrap();
        assert_eq!((answer.outcome, answer.bytes), (Outcome::Miss, document(number)));
    }
    world.upstream.set_down(Some(ErrorKind::Unreachable));
    let mut kept = Vec::new();
    for number in 0..300 {
        match referrers(&world, number).await {
            Ok(answer) => {
                assert_eq!((answer.outcome, answer.bytes), (Outcome::Stale, document(number)));
                kept.push(number);
            }
            Err(error) => assert!(matches!(error, PullError::NotFound { .. }), "{error}"),
        }
    }
    // 4 MiB have room for 20 of them.
    assert_eq!(kept, (280..300).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn t16_stale_referrers_that_nobody_reads_take_no_more_than_the_memory_for_lists() {
    let world = World::new();
    world.upstream.set_list(document(0));
    drop(referrers(&world, 0).await.unwrap());
    world.upstream.set_down(Some(ErrorKind::Unreachable));
    let mut unread = Vec::new();
    let refused = loop {
        match referrers(&world, 0).await {
            Ok(answer) => unread.push(answer),
            Err(error) => break error,
        }
        assert!(world.memory.lists.taken() <= world.memory.lists.bytes_max());
    };
    assert_eq!(refused, PullError::Overloaded, "not an absence: it is only for now");
    assert_eq!(unread.len(), 83);
    drop(unread);
    assert_eq!(world.memory.lists.taken(), 0);
    assert!(referrers(&world, 0).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn t05_pages_of_the_catalogue_are_counted_until_they_are_sent() {
    let world = World::new();
    world.upstream.put_manifest(&repository(), "1", "{\"schemaVersion\":2}");
    let reference = "1".parse().unwrap();
    world.backend.pull_manifest(&repository(), &reference, cache::Want::Get).await.unwrap();
    let page = world.backend.catalog(&Page::default()).await.unwrap().unwrap();
    assert!(world.memory.lists.taken() >= repository().as_str().len() as u64);
    let rest = world.memory.lists.bytes_max() - world.memory.lists.taken();
    let all = world.memory.lists.take(rest).unwrap();
    let refused = world.backend.catalog(&Page::default()).await;
    assert_eq!(refused.unwrap_err(), PullError::Overloaded);
    drop((page, all));
    assert_eq!(world.memory.lists.taken(), 0);
}
