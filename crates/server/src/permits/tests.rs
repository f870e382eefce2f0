use super::*;

#[tokio::test]
async fn added_permits_are_available_at_once() {
    let permits = Permits::new(1);
    let first = permits.try_take().unwrap();
    assert!(permits.try_take().is_none());
    permits.resize(3);
    let more = [permits.try_take().unwrap(), permits.try_take().unwrap()];
    assert!(permits.try_take().is_none());
    assert_eq!(permits.taken(), 3);
    drop((first, more));
    assert_eq!(permits.taken(), 0);
}

#[tokio::test]
async fn fewer_permits_revoke_none_and_give_out_none_until_enough_return() {
    let permits = Permits::new(3);
    let mut held: Vec<_> = (0..3).map(|_| permits.try_take().unwrap()).collect();
    permits.resize(1);
    for _ in 0..2 {
        tokio::task::yield_now().await;
        assert!(permits.try_take().is_none());
        held.pop();
    }
    tokio::task::yield_now().await;
    assert!(permits.try_take().is_none(), "one is still in use");
    held.pop();
    tokio::task::yield_now().await;
    let last = permits.take().await;
    assert!(permits.try_take().is_none());
    assert_eq!(permits.taken(), 1);
    drop(last);
}

#[tokio::test]
async fn a_bound_that_is_lowered_and_raised_has_the_last_value() {
    let permits = Permits::new(4);
    let held: Vec<_> = (0..4).map(|_| permits.try_take().unwrap()).collect();
    permits.resize(1);
    permits.resize(2);
    drop(held);
    tokio::task::yield_now().await;
    let held = [permits.take().await, permits.take().await];
    assert!(permits.try_take().is_none());
    drop(held);
}
