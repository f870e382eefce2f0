use std::sync::Arc;

use super::{MANY_COUNT, TURN_AMONG_MANY_BYTES, TURN_BYTES, Turns};

#[test]
fn a_turn_is_longer_as_long_as_many_wait_for_theirs() {
    let turns = Arc::new(Turns::default());
    let copied_bytes = turns.bytes(true);
    let mut waits: Vec<_> = (1..MANY_COUNT).map(|_| turns.wait()).collect();
    assert_eq!(turns.bytes(false), TURN_BYTES);
    waits.push(turns.wait());
    assert_eq!(turns.bytes(false), TURN_AMONG_MANY_BYTES);
    assert_eq!(turns.bytes(true), copied_bytes, "what is copied takes too long as it is");
    waits.pop();
    assert_eq!(turns.bytes(false), TURN_BYTES);
}

#[tokio::test]
async fn a_turn_comes_after_the_others_had_theirs() {
    let turns = Arc::new(Turns::default());
    let (first, second) = (turns.wait(), turns.wait());
    let order = std::sync::Mutex::new(Vec::new());
    let note = |name| order.lock().unwrap().push(name);
    let ours = async {
        note("first");
        first.await;
        note("first again");
    };
    let theirs = async {
        note("second");
        second.await;
        note("second again");
    };
    tokio::join!(biased; ours, theirs);
    assert_eq!(*order.lock().unwrap(), ["first", "second", "first again", "second again"]);
    assert_eq!(turns.bytes(false), TURN_BYTES);
}
