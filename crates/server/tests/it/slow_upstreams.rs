//! Upstreams that send some answers very slowly or not at all, so that other connections must take over.
//! On paused time.

use std::time::Duration;

use testkit::client::Connection;
use testkit::{BlobSource, Endpoint, Fault, Gate, Kind, RequestRecord, Rule, Scripted, within};
use tokio::time::Instant;

use crate::lab::{HUB, Lab};

const MIB: u64 = 1 << 20;
const SIZE: u64 = 16 * MIB;

/// The rate of each connection, in bytes per second.
const RATE: u64 = 1_600_000;

/// The time that one connection needs for the whole blob.
const ALONE: Duration = Duration::from_millis(SIZE * 1000 / RATE);

/// 2 KiB a second.
const DRIP: Fault = Fault::Drip { bytes: 512, every: Duration::from_millis(250) };

/// A registry that throttles each connection, and a blob there.
async fn lab_with_blob() -> (Lab, String) {
    let lab = Lab::start().await;
    let digest = lab.hub.put_blob(BlobSource::Generated { seed: 24, len: SIZE });
    lab.hub.script(of_blobs(Fault::Rate(RATE)));
    (lab, digest)
}

fn of_blobs(fault: Fault) -> Rule {
    Rule::new(Kind::GetBlob, fault)
}

/// Pulls the blob. Returns the digest of the received bytes or the failure, and the duration.
async fn pull(lab: &Lab, digest: &str) -> (Result<String, String>, Duration) {
    let before = Instant::now();
    let pulled = async {
        let mut connection = Connection::open(lab.address).await.unwrap();
        let target = format!("/v2/library/busybox/blobs/{digest}");
        connection.request("GET", HUB, &target, &[]).await.unwrap();
        let head = connection.read_head("GET").await.map_err(|broken| format!("{broken:?}"))?;
        if head.status != 200 {
            return Err(head.status.to_string());
        }
        connection.read_digest().await.map_err(|broken| format!("{broken:?}"))
    };
    (within("a pull", pulled).await, before.elapsed())
}

fn blob_requests(lab: &Lab) -> Vec<RequestRecord> {
    let requests = lab.hub.requests();
    requests
        .into_iter()
        .filter(|request| request.endpoint == Endpoint::Cdn && request.kind == Kind::GetBlob)
        .collect()
}

async fn expect_whole(lab: &Lab, digest: &str, time_max: Duration, what: &str) {
    let (pulled, elapsed) = pull(lab, digest).await;
    assert_eq!(pulled.as_deref(), Ok(digest), "{what}: {:?}", blob_requests(lab));
    assert!(elapsed <= time_max, "{what}: {elapsed:?} instead of {time_max:?}");
}

#[tokio::test(start_paused = true)]
async fn t24_one_connection_of_several_that_drips_is_waited_for_by_no_client() {
    for nth in 1..=4 {
        let (lab, digest) = lab_with_blob().await;
        let drip = lab.hub.script(of_blobs(DRIP).ranged().from_nth(nth).once());
        expect_whole(&lab, &digest, ALONE, &format!("range {nth}")).await;
        assert_eq!(drip.applied(), 1, "range {nth}: {:?}", blob_requests(&lab));
    }
    let (lab, digest) = lab_with_blob().await;
    let drip = lab.hub.script(of_blobs(DRIP).once());
    expect_whole(&lab, &digest, ALONE * 2, "the first connection").await;
    assert_eq!(drip.applied(), 1);
}

#[tokio::test(start_paused = true)]
async fn t24_ranges_that_are_taken_and_never_come_cost_no_time_and_no_byte() {
    let drip = Fault::Drip { bytes: 100, every: Duration::from_secs(1) };
    for (name, fault) in [("no answer", Fault::Stall(Gate::new())), ("100 bytes a second", drip)] {
        let (lab, digest) = lab_with_blob().await;
        let rule = lab.hub.script(of_blobs(fault).ranged());
        expect_whole(&lab, &digest, ALONE + Duration::from_secs(1), name).await;
        assert!((1..=6).contains(&rule.applied()), "{name}: {} ranges", rule.applied());
        let plain: Vec<_> =
            blob_requests(&lab).into_iter().filter(|request| request.range.is_none()).collect();
        assert_eq!(plain.len(), 1, "{name}: {plain:?}");
        let sent = lab.hub.log().body_bytes(&digest);
        assert!(sent <= SIZE + 64 * 1024, "{name}: {sent} bytes came of {SIZE}");
    }
}

#[tokio::test(start_paused = true)]
async fn f15_a_blob_whose_ranges_are_wrong_comes_by_a_plain_request_next() {
    let (lab, digest) = lab_with_blob().await;
    lab.hub.script(of_blobs(Fault::Rate(RATE)).and(Fault::FlipBit(SIZE - 1)).ranged());
    let (broken, _) = pull(&lab, &digest).await;
    assert!(broken.is_err(), "{broken:?}");
    lab.hub.log().clear();
    expect_whole(&lab, &digest, ALONE + Duration::from_secs(1), "the next pull").await;
    let requests = blob_requests(&lab);
    assert!(requests.len() == 1 && requests[0].range.is_none(), "{requests:?}");
}

/// Makes ranged requests fail in one of [`WAYS`]. Requests for the whole blob succeed.
fn refuse_ranges(lab: &Lab, way: &str) -> Scripted {
    let rule = match way {
        "500" => of_blobs(Fault::Status(500)),
        "501" => of_blobs(Fault::Status(501)),
        "502" => of_blobs(Fault::Status(502)),
        "403" => of_blobs(Fault::Status(403)),
        "a connection that closes" => of_blobs(Fault::Close),
        "a connection that is reset" => of_blobs(Fault::Reset),
        "no answer" => of_blobs(Fault::Stall(Gate::new())),
        "a body that closes" => of_blobs(Fault::CutAt(0)),
        "a web page" => of_blobs(Fault::HtmlPortal),
        // Nothing listens there.
        _ => of_blobs(Fault::RedirectTo("http://127.0.0.1:1/dead".to_owned())).at(Endpoint::Registry),
    };
    lab.hub.script(rule.ranged())
}

const WAYS: [&str; 10] = [
    "500",
    "501",
    "502",
    "403",
    "a connection that closes",
    "a connection that is reset",
    "no answer",
    "a body that closes",
    "a web page",
    "a dead redirect",
];

#[tokio::test(start_paused = true)]
async fn f05_a_transfer_that_broke_off_comes_whole_though_no_range_does() {
    for way in WAYS {
        let (lab, digest) = lab_with_blob().await;
        lab.hub.script(of_blobs(Fault::CutAt(MIB)).once());
        let refusals = refuse_ranges(&lab, way);
        expect_whole(&lab, &digest, ALONE + Duration::from_secs(60), way).await;
        assert!(refusals.applied() > 0, "{way}");
    }
}

/// After an outage only one request at a time passes. If that one was a ranged request, the next pull
/// succeeds.
#[tokio::test(start_paused = true)]
async fn f05_a_blob_that_broke_off_before_comes_whole_though_no_range_does() {
    for way in WAYS {
        let (lab, digest) = lab_with_blob().await;
        let cut = lab.hub.script(of_blobs(Fault::CutAt(MIB)).once());
        let down = lab.hub.script(of_blobs(Fault::Status(503)).from_nth(2));
        let (broken, _) = pull(&lab, &digest).await;
        assert!(broken.is_err() && cut.applied() == 1, "{way}: {broken:?}");
        down.remove();
        let refusals = refuse_ranges(&lab, way);
        let mut pulled = Vec::new();
        for _ in 0..2 {
            // Longer than any pause.
            tokio::time::advance(Duration::from_secs(120)).await;
            pulled.push(pull(&lab, &digest).await.0);
            if pulled.contains(&Ok(digest.clone())) {
                break;
            }
        }
        assert_eq!(pulled.last(), Some(&Ok(digest.clone())), "{way}: {pulled:?}");
        assert!(refusals.applied() > 0, "{way}");
    }
}
