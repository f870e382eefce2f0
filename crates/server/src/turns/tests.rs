use std::sync::Arc;

use super::{CROWDED_COUNT, CROWDED_TURN_BYTES, TURN_BYTES, Turns};

#[test]
fn turns_are_longer_while_many_bodies_wait() {
    let turns = Arc::new(Turns::default());
    let copied_bytes = turns.bytes(true);
    let mut waits: Vec<_> = (1..CROWDED_COUNT).map(|_| turns.wait()).collect();
    assert_eq!(turns.bytes(false), TURN_BYTES);
    waits.push(turns.wait());
    assert_eq!(turns.bytes(false), CROWDED_TURN_BYTES);
    assert_eq!(turns.bytes(true), copied_bytes, "copied turns stay short");
    waits.pop();
    assert_eq!(turns.bytes(false), TURN_BYTES);
}

#[tokio::test]
async fn a_wait_ends_after_the_others_had_their_turn() {
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
