use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::Notify;

use super::builder;

/// More than a thread's local queue holds. Each has two descriptors, which stay within the usual limit.
const CONNECTION_COUNT: u32 = 300;

/// The turns of the fastest connection at which all are counted.
const TURN_COUNT: u32 = 50;

/// Takes turns: each turn waits for a byte, and sends the next one while it waits.
async fn take_turns(turns: Arc<Vec<AtomicU32>>, index: usize, done: Arc<Notify>) {
    let (mut server, mut client) = UnixStream::pair().unwrap();
    client.write_u8(0).await.unwrap();
    loop {
        let (got, _) = tokio::join!(biased; server.read_u8(), async {
            if turns[index].load(Ordering::Relaxed) > 0 { client.write_u8(0).await } else { Ok(()) }
        });
        got.unwrap();
        if turns[index].fetch_add(1, Ordering::Relaxed) + 1 == TURN_COUNT {
            done.notify_one();
        }
    }
}

#[test]
fn a_crowd_of_connections_that_are_always_ready_take_equal_turns() {
    let runtime = builder().worker_threads(1).build().unwrap();
    let turns = Arc::new((0..CONNECTION_COUNT).map(|_| AtomicU32::new(0)).collect::<Vec<_>>());
    let done = Arc::new(Notify::new());
    // The runtime's only thread starts all of them, and counts, so that none takes a turn meanwhile.
    let counted = runtime.spawn(async move {
        for index in 0..turns.len() {
            tokio::spawn(take_turns(Arc::clone(&turns), index, Arc::clone(&done)));
        }
        done.notified().await;
        turns.iter().map(|turns| turns.load(Ordering::Relaxed)).collect::<Vec<_>>()
    });
    let counted = runtime.block_on(counted).unwrap();
    let least = counted.iter().min().unwrap();
    assert!(*least >= TURN_COUNT / 2, "some had {TURN_COUNT} turns and some {least}");
}
