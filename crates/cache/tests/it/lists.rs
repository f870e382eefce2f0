//! The memory of lists.

use cache::PullError;
use oci::Page;

use crate::manifests::ONE;
use crate::world::{World, repository};

#[tokio::test(start_paused = true)]
async fn t05_pages_of_the_catalogue_are_counted_until_they_are_sent() {
    let world = World::new();
    world.upstream.put_manifest(&repository(), "1", ONE);
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

#[tokio::test(start_paused = true)]
async fn t05_a_stale_list_that_finds_no_memory_is_refused_for_a_moment() {
    let world = World::new();
    let page = Page::default();
    world.backend.tags(&repository(), &page).await.unwrap();
    world.upstream.set_down(Some(upstream::ErrorKind::Unreachable));
    let stale = world.backend.tags(&repository(), &page).await.unwrap();
    assert_eq!(world.memory.lists.taken(), stale.bytes.len() as u64, "counted until it is sent");
    let rest = world.memory.lists.bytes_max() - world.memory.lists.taken();
    let all = world.memory.lists.take(rest).unwrap();
    assert_eq!(world.backend.tags(&repository(), &page).await.unwrap_err(), PullError::Overloaded);
    drop((stale, all));
    assert_eq!(world.memory.lists.taken(), 0);
    assert!(world.backend.tags(&repository(), &page).await.is_ok());
}
