//! Many bodies at once, to slow clients.

use sha2::{Digest as _, Sha256};
use testkit::client::Connection;
use testkit::{BlobSource, FakeRegistry, Program, TempStore, within};

use crate::crowd::{
    HUB, WHARF, check_health, client_count, each, resting_descriptors, stored_blob, take_turn,
    wait_for_descriptors, wait_for_memory,
};

const SIZE: u64 = 1 << 20;

/// The allowed memory of an active transfer, in bytes: the connection, and no byte of the body.
const TRANSFER_BYTES_MAX: u64 = 32 * 1024;

/// Of these one is read for its digest.
const HASHED_ONE_IN: usize = 50;

async fn begin(program: &Program, path: &str) -> Connection {
    // Much smaller than the body: the rest stays with the program until the client reads it.
    let mut connection = Connection::open_slow(program.address, 32 << 10).await.expect("connected");
    connection.request("GET", HUB, path, &[]).await.expect("sent");
    let head = within("a head", connection.read_head("GET")).await.expect("a head");
    assert_eq!(head.status, 200);
    connection
}

async fn finish(mut connection: Connection, is_hashed: bool) -> (u64, Option<String>) {
    let (mut length, mut hasher) = (0, is_hashed.then(Sha256::new));
    while let Some(piece) = within("a piece", connection.read_piece(1 << 20)).await.expect("a whole body") {
        length += piece.len() as u64;
        if let Some(hasher) = &mut hasher {
            hasher.update(&piece);
        }
    }
    let hex = |hasher: Sha256| hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    (length, hasher.map(|hasher| format!("sha256:{}", hex(hasher))))
}

#[tokio::test(flavor = "multi_thread")]
async fn f44_two_thousand_transfers_at_once_are_all_whole() {
    let _turn = take_turn().await;
    let count = client_count(2000);
    let (upstream, store) = (FakeRegistry::start_anonymous().await, TempStore::new());
    let program = Program::start(WHARF, store.path(), &[("hub.test", &upstream)]);
    let source = BlobSource::Generated { seed: 2, len: SIZE };
    let digest = source.digest();
    let path = stored_blob(&program, &upstream, "hub.test", source).await;
    let (files, memory) = (resting_descriptors(&program).await, program.resident_bytes());
    let active = each(count, async |_| begin(&program, &path).await).await;
    let (open, grown) = (program.descriptor_count(), program.resident_bytes().saturating_sub(memory));
    assert!((files + count..=files + 2 * count + 64).contains(&open), "{open} descriptors");
    println!(
        "{count} transfers: {:.1} KiB each, {} MiB in all",
        grown as f64 / count as f64 / 1024.0,
        grown >> 20
    );
    assert!(grown < TRANSFER_BYTES_MAX * count as u64, "{grown} bytes");
    check_health(&program).await;

    let began = std::time::Instant::now();
    let active: Vec<_> = active.into_iter().map(|it| std::sync::Mutex::new(Some(it))).collect();
    let take = |index: usize| active[index].lock().expect("no panic holds it").take().expect("taken once");
    let bodies = each(count, async |index| finish(take(index), index % HASHED_ONE_IN == 0).await).await;
    for (length, hashed) in bodies {
        assert_eq!(length, SIZE);
        assert!(hashed.is_none_or(|hashed| hashed == digest));
    }
    println!("read to their ends in {:.1} s", began.elapsed().as_secs_f64());
    wait_for_descriptors(&program, files).await;
    wait_for_memory(&program, memory).await;
}
