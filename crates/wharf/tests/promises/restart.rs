//! A kill in the middle of a fill.

use testkit::{BlobSource, FakeRegistry, Fault, Gate, Kind, Program, Rule, TempStore, within};

use crate::upstream::{WHARF, blob, read_some};

const MIB: u64 = 1 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn f33_killed_at_half_the_rest_is_fetched_not_the_whole() {
    let (upstream, store) = (FakeRegistry::start_anonymous().await, TempStore::new());
    let size = 32 * MIB;
    let digest = upstream.put_blob(BlobSource::Generated { seed: 5, len: size });
    let gate = Gate::new();
    upstream.script(Rule::new(Kind::GetBlob, Fault::PauseAt(size / 2, gate.clone())).once());
    let program = Program::start(WHARF, store.path(), &[("hub.test", &upstream)]);
    let mut client = program.open("hub.test", &blob(&digest)).await;
    read_some(&mut client, (size / 2) as usize).await;
    program.kill();
    assert!(client.read_digest().await.is_err(), "a killed server ends no body cleanly");
    gate.release();

    upstream.log().clear();
    let program = Program::start(WHARF, store.path(), &[("hub.test", &upstream)]);
    let body = program.open("hub.test", &blob(&digest)).await.read_digest();
    assert_eq!(within("the body", body).await.expect("a clean end"), digest);
    assert_eq!(upstream.log().body_bytes(&digest), size / 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn f01_everything_pulled_before_is_served_after_a_crash_with_the_upstream_gone() {
    let (upstream, store) = (FakeRegistry::start_anonymous().await, TempStore::new());
    let image = testkit::Image::generated(6, &[3 << 20, 1000]);
    upstream.put_image("library/app", "1", &image);
    let mut targets = vec!["/v2/library/app/manifests/1".to_owned()];
    targets.extend(image.blobs().map(|content| blob(&content.digest)));
    let program = Program::start(WHARF, store.path(), &[("hub.test", &upstream)]);
    for target in &targets {
        assert_eq!(program.get("hub.test", target).await.expect("an answer").status, 200);
    }
    program.settle().await;
    program.kill();
    upstream.set_door(testkit::Endpoint::Registry, testkit::Door::Refuse).await;
    let program = Program::start(WHARF, store.path(), &[("hub.test", &upstream)]);
    for target in &targets {
        let answer = program.get("hub.test", target).await.expect("an answer");
        assert_eq!((answer.status, answer.complete), (200, true), "{target}");
    }
    let stale = program.get("hub.test", &targets[0]).await.expect("an answer");
    assert!(stale.header("warning").is_some(), "a stale answer says so: {:?}", stale.headers);
}
