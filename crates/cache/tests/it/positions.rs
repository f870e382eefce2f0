//! A blob of 64 KiB cut at every byte position, with every kind of length and range header. By default it
//! tests a sample of the positions; `WHARF_LONG=1` tests all.

use crate::upstream::Manner;
use crate::world::{World, noise, read};

const SIZE: usize = 64 * 1024;

fn positions() -> impl Iterator<Item = usize> {
    let takes_all = std::env::var_os("WHARF_LONG").is_some();
    (0..=SIZE).filter(move |at| takes_all || *at < 40 || *at > SIZE - 40 || at % 401 == 0)
}

/// Pulls once with `first` and default responses after it; then with a good upstream.
async fn check(at: usize, first: Manner, then: Manner, is_invisible: bool) {
    let world = World::with(|settings| settings.verify_first_bytes_max = 0);
    let blob = noise(SIZE);
    let digest = world.upstream.put_blob(&blob);
    world.upstream.script([first, then]);
    let body = match world.get(&digest).await {
        Ok(answer) => read(answer.body.unwrap()).await.1,
        Err(error) => Err(error),
    };
    match &body {
        Ok(body) => assert!(*body == blob, "cut at {at}: a wrong body ended cleanly"),
        Err(error) => assert!(!is_invisible, "cut at {at}: {error}"),
    }
    world.settle().await;
    if let Ok(Some(stored)) = world.blobs.open(&digest).await {
        assert_eq!(stored.size(), SIZE as u64, "cut at {at}: a short blob was published");
    }
    assert!(world.pull(&digest).await.is_ok_and(|body| body == blob), "cut at {at}: not healed");
}

#[tokio::test(start_paused = true)]
async fn f05_cut_at_every_byte_with_ranges_honoured() {
    for at in positions() {
        check(at, Manner { cut_at: Some(at), ..Manner::default() }, Manner::default(), true).await;
    }
}

#[tokio::test(start_paused = true)]
async fn f15_cut_at_every_byte_with_ranges_ignored() {
    for at in positions() {
        let ignoring = Manner { ignore_range: true, ..Manner::default() };
        check(at, Manner { cut_at: Some(at), ..Manner::default() }, ignoring, true).await;
    }
}

#[tokio::test(start_paused = true)]
async fn f15_cut_at_every_byte_with_ranges_answered_wrongly() {
    for at in positions() {
        let late = Manner { late_start: 3, ..Manner::default() };
        check(at, Manner { cut_at: Some(at), ..Manner::default() }, late, true).await;
    }
}

#[tokio::test(start_paused = true)]
async fn f06_ended_at_every_byte_without_a_length() {
    for at in positions() {
        let short = Manner { end_at: Some(at), no_size: true, ..Manner::default() };
        check(at, short, Manner::default(), true).await;
    }
}

#[tokio::test(start_paused = true)]
async fn f06_cut_at_every_byte_without_a_length() {
    for at in positions() {
        let cut = Manner { cut_at: Some(at), no_size: true, ..Manner::default() };
        check(at, cut, Manner::default(), true).await;
    }
}

#[tokio::test(start_paused = true)]
async fn f07_ended_at_every_byte_before_the_length_that_was_told() {
    for at in positions() {
        let short = Manner { end_at: Some(at), ..Manner::default() };
        check(at, short, Manner::default(), true).await;
    }
}

#[tokio::test(start_paused = true)]
async fn f06_a_connection_that_breaks_after_the_last_byte_of_an_untold_length_has_brought_all() {
    let world = World::with(|settings| settings.verify_first_bytes_max = 0);
    let blob = noise(SIZE);
    let digest = world.upstream.put_blob(&blob);
    world.upstream.set_manner(Manner { cut_at: Some(SIZE), no_size: true, ..Manner::default() });
    assert!(world.pull(&digest).await.is_ok_and(|body| body == blob));
    assert_eq!(world.upstream.count("GET blob"), 1);
}
