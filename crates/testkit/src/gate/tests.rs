use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::{Gate, Valve};

/// Whether `future` is ready when polled once.
fn is_ready(future: &mut std::pin::Pin<&mut impl Future>) -> bool {
    matches!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(_))
}

#[tokio::test]
async fn a_gate_counts_arrivals_and_holds_them_until_released() {
    let gate = Gate::new();
    let mut held = pin!(gate.pass());
    assert!(!is_ready(&mut held));
    gate.reached(1).await;
    assert_eq!(gate.arrivals(), 1);
    assert!(!gate.is_released());
    gate.release();
    held.await;
    gate.pass().await;
    assert_eq!(gate.arrivals(), 2);
}

#[tokio::test]
async fn a_valve_admits_only_the_allowed_pieces() {
    let valve = Valve::new();
    valve.allow(2);
    valve.pass().await;
    valve.pass().await;
    let mut third = pin!(valve.pass());
    assert!(!is_ready(&mut third));
    valve.open();
    third.await;
    valve.pass().await;
}
