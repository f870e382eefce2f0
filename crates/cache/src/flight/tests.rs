use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::*;

#[tokio::test]
async fn callers_at_the_same_time_share_one_flight() {
    let flights = Flights::<u8, u8>::new(TaskTracker::new());
    let (gate, starts) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let start = || {
        starts.fetch_add(1, Ordering::SeqCst);
        let gate = gate.clone();
        async move {
            gate.notified().await;
            Ok(7)
        }
    };
    let all = async { tokio::join!(flights.join_or_start(1, start), flights.join_or_start(1, start)) };
    let release = async {
        tokio::task::yield_now().await;
        gate.notify_one();
    };
    let ((first, second), ()) = tokio::join!(all, release);
    assert_eq!((first, second), ((Ok(7), false), (Ok(7), true)));
    assert_eq!(starts.load(Ordering::SeqCst), 1);
    assert!(flights.pending.is_empty());
}

#[tokio::test]
async fn a_caller_that_leaves_does_not_stop_the_flight() {
    let flights = Flights::<u8, u8>::new(TaskTracker::new());
    let gate = Arc::new(Notify::new());
    let waiting = gate.clone();
    let start = || async move {
        waiting.notified().await;
        Ok(7)
    };
    let leaver = flights.join_or_start(1, start);
    assert!(futures_util::FutureExt::now_or_never(leaver).is_none());
    gate.notify_one();
    let (result, joined) = flights.join_or_start(1, || async { Ok(8) }).await;
    assert_eq!((result, joined), (Ok(7), true));
}

#[tokio::test]
async fn f42_a_panic_fails_the_waiters_and_frees_the_key() {
    let flights = Flights::<u8, u8>::new(TaskTracker::new());
    let (result, _) = flights.join_or_start(1, || async { panic!("on purpose") }).await;
    assert!(matches!(result, Err(PullError::UpstreamUnavailable { .. })));
    let (result, joined) = flights.join_or_start(1, || async { Ok(8) }).await;
    assert_eq!((result, joined), (Ok(8), false));
}
