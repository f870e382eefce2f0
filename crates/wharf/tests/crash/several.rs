//! The program ends while a blob arrives over several connections: the received bytes are not fetched again.

use rustix::process::{Pid, Signal, kill_process};
use testkit::{BlobSource, FakeRegistry, Fault, Kind, Program, Rule, TempStore, within};

use crate::WHARF;
use crate::library::{REGISTRY, target_of};

const MIB: u64 = 1 << 20;
const SIZE: u64 = 48 * MIB;

/// The throttle of each answer, in bytes per second: several connections fetch the blob faster than one.
const RATE: u64 = 6 * MIB;

/// More bytes than four connections have on the way, from the upstream to the disk.
const ON_ITS_WAY: u64 = 4 * 512 * 1024;

/// Pulls a blob until half of it has arrived, lets `end` end the program, and pulls it again.
async fn end_in_the_middle(end: impl FnOnce(Program)) {
    let (upstream, store) = (FakeRegistry::start_anonymous().await, TempStore::new());
    let digest = upstream.put_blob(BlobSource::Generated { seed: 9, len: SIZE });
    upstream.script(Rule::new(Kind::GetBlob, Fault::Rate(RATE)));
    let registries = [(REGISTRY, &upstream)];
    let program = Program::start_bounded(WHARF, store.path(), &registries, "shutdown_grace = \"0s\"");
    // A client that does not read changes nothing.
    let stuck = program.open(REGISTRY, &target_of(&digest)).await;
    upstream.log().wait_until("half of it has come", |log| log.body_bytes(&digest) >= SIZE / 2).await;
    assert!(program.metric("wharf_parts_total", REGISTRY).await >= 2.0, "over several connections");
    end(program);
    drop(stuck);

    let program = Program::start(WHARF, store.path(), &registries);
    let body = program.open(REGISTRY, &target_of(&digest)).await.read_digest();
    assert_eq!(within("the body", body).await.expect("a clean end"), digest);
    program.settle().await;
    let surplus = upstream.log().body_bytes(&digest) - SIZE;
    assert!(surplus <= SIZE / 50 + ON_ITS_WAY, "{surplus} bytes came twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn t09_killed_in_the_middle_of_several_connections_two_percent_come_twice_at_most() {
    end_in_the_middle(Program::kill).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t09_stopped_in_the_middle_of_several_connections_two_percent_come_twice_at_most() {
    let terminate = |id| {
        let id = Pid::from_raw(i32::try_from(id).expect("a process id")).expect("not 0");
        kill_process(id, Signal::TERM).expect("told");
    };
    end_in_the_middle(|program| program.end(terminate)).await;
}
