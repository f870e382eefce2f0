use std::future::pending;
use std::time::Duration;

use super::{bounded, within};

#[tokio::test]
async fn a_future_that_completes_in_time_returns_its_output() {
    assert_eq!(within("a ready future", async { 7 }).await, 7);
}

#[tokio::test(start_paused = true)]
async fn a_paused_clock_neither_shortens_nor_prevents_the_bound() {
    let started = std::time::Instant::now();
    assert_eq!(bounded(Duration::from_millis(50), pending::<()>()).await, None);
    assert!(started.elapsed() >= Duration::from_millis(50));
}
