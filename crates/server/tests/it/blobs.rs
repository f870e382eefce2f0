//! Blobs and ranges of them, from the store and during a fill.

use testkit::client::{Connection, Response};
use testkit::{BlobSource, Endpoint, Fault, Gate, Kind, Rule, within};

use crate::lab::{HUB, Lab, STORES_FILES};

const SIZE: u64 = 300_000;

fn source() -> BlobSource {
    BlobSource::Generated { seed: 7, len: SIZE }
}

fn target(digest: &str) -> String {
    format!("/v2/library/busybox/blobs/{digest}")
}

async fn lab_with_blob() -> (Lab, String) {
    let lab = Lab::start().await;
    let digest = lab.hub.put_blob(source());
    (lab, target(&digest))
}

fn check_whole(answer: &Response, target: &str) {
    let digest = target.rsplit('/').next().unwrap();
    assert_eq!(answer.status, 200);
    assert!(answer.complete);
    assert_eq!(answer.body, source().bytes());
    assert_eq!(answer.header("content-length"), Some(SIZE.to_string().as_str()));
    assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
    assert_eq!(answer.header("docker-content-digest"), Some(digest));
    assert_eq!(answer.header("etag"), Some(format!("\"{digest}\"").as_str()));
    assert_eq!(answer.header("accept-ranges"), Some("bytes"));
    assert_eq!(answer.header("content-encoding"), None);
    assert_eq!(answer.header("transfer-encoding"), None);
}

/// The first answer from the store. Until the file is published, clients join the fill.
async fn first_hit(lab: &Lab, target: &str) -> Response {
    let hit = async {
        loop {
            let answer = lab.get(HUB, target).await;
            assert!(answer.complete);
            if answer.header("cache-status") == Some("wharf; hit") {
                break answer;
            }
        }
    };
    within("a hit", hit).await
}

/// A range and its bytes; `None` if it cannot be satisfied.
const RANGES: [(&str, Option<(u64, u64)>); 10] = [
    ("bytes=0-", Some((0, SIZE))),
    ("bytes=1000-", Some((1000, SIZE))),
    ("bytes=500-1499", Some((500, 1500))),
    ("bytes=0-0", Some((0, 1))),
    ("bytes=299999-299999", Some((299_999, SIZE))),
    ("bytes=299999-", Some((299_999, SIZE))),
    ("bytes=299000-999999", Some((299_000, SIZE))),
    ("bytes=-500", Some((SIZE - 500, SIZE))),
    ("bytes=300000-", None),
    ("bytes=500-0", None),
];

fn check_range(answer: &Response, range: &str, expected: Option<(u64, u64)>) {
    let Some((start, end)) = expected else {
        assert_eq!(answer.status, 416, "{range}");
        assert_eq!(answer.header("content-range"), Some(format!("bytes */{SIZE}").as_str()));
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert!(answer.text().contains("RANGE_INVALID"), "{}", answer.text());
        return;
    };
    assert_eq!(answer.status, 206, "{range}: {}", answer.text());
    let place = format!("bytes {start}-{}/{SIZE}", end - 1);
    assert_eq!(answer.header("content-range"), Some(place.as_str()), "{range}");
    assert_eq!(answer.header("content-length"), Some((end - start).to_string().as_str()), "{range}");
    let bytes = source().bytes();
    assert!(answer.complete && answer.body == bytes[start as usize..end as usize], "{range}");
}

#[tokio::test]
async fn a_blob_is_fetched_once_and_then_served_from_the_store() {
    let (lab, target) = lab_with_blob().await;
    let cold = lab.get(HUB, &target).await;
    check_whole(&cold, &target);
    assert_eq!(cold.header("cache-status"), Some("wharf; fwd=miss"));
    check_whole(&first_hit(&lab, &target).await, &target);
    assert_eq!(lab.hub.log().count_at(Endpoint::Cdn, Kind::GetBlob), 1);
}

#[tokio::test]
async fn a_head_fetches_nothing_and_has_the_headers_of_a_get() {
    let (lab, target) = lab_with_blob().await;
    for _ in 0..2 {
        let head = lab.ask("HEAD", HUB, &target, &[("range", "bytes=0-9")]).await;
        assert_eq!(head.status, 200);
        assert_eq!(head.header("content-length"), Some(SIZE.to_string().as_str()));
        assert_eq!(head.header("accept-ranges"), Some("bytes"));
        assert_eq!(head.header("docker-content-digest"), target.rsplit('/').next());
        assert!(head.body.is_empty());
    }
    assert_eq!(lab.hub.log().body_bytes(target.rsplit('/').next().unwrap()), 0);
}

#[tokio::test]
async fn ranges_of_a_stored_blob() {
    let (lab, target) = lab_with_blob().await;
    check_whole(&lab.get(HUB, &target).await, &target);
    for (range, expected) in RANGES {
        check_range(&lab.ask("GET", HUB, &target, &[("range", range)]).await, range, expected);
    }
}

#[tokio::test]
async fn ranges_of_a_blob_that_nobody_has_asked_for() {
    for (range, expected) in RANGES {
        let (lab, target) = lab_with_blob().await;
        check_range(&lab.ask("GET", HUB, &target, &[("range", range)]).await, range, expected);
    }
}

#[tokio::test]
async fn a_range_of_a_blob_during_its_fill_is_answered_at_once() {
    let (lab, target) = lab_with_blob().await;
    let gate = Gate::new();
    let script = lab.hub.script(Rule::new(Kind::GetBlob, Fault::PauseAt(200_000, gate.clone())));
    let mut first = lab.connect().await;
    first.request("GET", HUB, &target, &[]).await.unwrap();
    assert_eq!(within("the head of the whole", first.read_head("GET")).await.unwrap().status, 200);
    gate.reached(1).await;
    let mut second = lab.connect().await;
    second.request("GET", HUB, &target, &[("range", "bytes=100000-")]).await.unwrap();
    let head = within("the head of the range", second.read_head("GET")).await.unwrap();
    assert_eq!(head.status, 206);
    assert_eq!(head.header("content-range"), Some("bytes 100000-299999/300000"));
    script.remove();
    gate.release();
    let bytes = source().bytes();
    let (whole, end) = within("the whole", first.read_rest()).await;
    assert!(end.is_ok() && whole == bytes);
    let (rest, end) = within("the range", second.read_rest()).await;
    assert!(end.is_ok() && rest == bytes[100_000..]);
}

/// The parts of a `multipart/byteranges` answer: the `Content-Range` and the bytes of each.
fn parts_of(answer: &Response) -> Vec<(String, Vec<u8>)> {
    assert_eq!(answer.status, 206, "{}", answer.text());
    assert!(answer.complete);
    assert_eq!(answer.header("content-range"), None, "only the parts have a Content-Range");
    assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()));
    let boundary =
        answer.header("content-type").unwrap().strip_prefix("multipart/byteranges; boundary=").unwrap();
    let line = format!("--{boundary}");
    let mut rest = answer.body.strip_prefix(line.as_bytes()).expect("a boundary comes first");
    let mut parts = Vec::new();
    while let Some(part) = rest.strip_prefix(b"\r\n") {
        let head_end = part.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(part[..head_end].to_vec()).unwrap();
        let place = head.strip_prefix("Content-Type: application/octet-stream\r\nContent-Range: ").unwrap();
        let line = format!("\r\n{line}");
        let content = &part[head_end + 4..];
        let end = content.windows(line.len()).position(|window| window == line.as_bytes()).unwrap();
        parts.push((place.to_owned(), content[..end].to_vec()));
        rest = &content[end + line.len()..];
    }
    assert_eq!(rest, b"--\r\n");
    parts
}

/// Asserts that `ranges` are answered with these parts, in this order.
async fn check_parts(lab: &Lab, target: &str, ranges: &str, wanted: &[(u64, u64)]) {
    let answer = lab.ask("GET", HUB, target, &[("range", ranges)]).await;
    let bytes = source().bytes();
    let wanted: Vec<_> = wanted
        .iter()
        .map(|(start, end)| {
            let place = format!("bytes {start}-{}/{SIZE}", end - 1);
            (place, bytes[*start as usize..*end as usize].to_vec())
        })
        .collect();
    assert!(parts_of(&answer) == wanted, "{ranges}");
    assert_eq!(answer.header("docker-content-digest"), target.rsplit('/').next());
    assert_eq!(answer.header("cache-status"), Some("wharf; hit"));
}

#[tokio::test]
async fn client_f3_several_ranges_of_a_stored_blob_are_parts_of_one_answer() {
    let (lab, target) = lab_with_blob().await;
    first_hit(&lab, &target).await;
    check_parts(&lab, &target, "bytes=0-9,20-29", &[(0, 10), (20, 30)]).await;
    check_parts(&lab, &target, "bytes=20-29, 0-9", &[(20, 30), (0, 10)]).await;
    check_parts(&lab, &target, "bytes=-8137,0-0", &[(SIZE - 8137, SIZE), (0, 1)]).await;
    check_parts(&lab, &target, "bytes=0-99999,100001-", &[(0, 100_000), (100_001, SIZE)]).await;
    check_parts(&lab, &target, "bytes=0-9,299999-999999,400000-", &[(0, 10), (SIZE - 1, SIZE)]).await;
    assert_eq!(lab.hub.log().count_at(Endpoint::Cdn, Kind::GetBlob), 1);
}

#[tokio::test]
async fn client_f3_as_many_ranges_as_an_image_library_asks_for_are_answered() {
    let (lab, target) = lab_with_blob().await;
    first_hit(&lab, &target).await;
    let wanted: Vec<(u64, u64)> = (0..1024).map(|n| (n * 290, n * 290 + 100)).collect();
    let header = |ranges: &[(u64, u64)]| {
        let ranges: Vec<_> = ranges.iter().map(|(start, end)| format!("{start}-{}", end - 1)).collect();
        format!("bytes={}", ranges.join(","))
    };
    check_parts(&lab, &target, &header(&wanted), &wanted).await;
    let more: Vec<(u64, u64)> = (0..1025).map(|n| (n * 290, n * 290 + 100)).collect();
    check_whole(&lab.ask("GET", HUB, &target, &[("range", &header(&more))]).await, &target);
}

#[tokio::test]
async fn client_f3_ranges_that_lie_over_one_another_get_the_whole() {
    let (lab, target) = lab_with_blob().await;
    first_hit(&lab, &target).await;
    for ranges in ["bytes=0-,0-", "bytes=0-,0-0", "bytes=0-9,1-9,2-9,3-9", "bytes=0-9,nonsense"] {
        check_whole(&lab.ask("GET", HUB, &target, &[("range", ranges)]).await, &target);
    }
    let twice = [("range", "bytes=0-9"), ("range", "bytes=20-29")];
    check_whole(&lab.ask("GET", HUB, &target, &twice).await, &target);
    check_parts(&lab, &target, "bytes=0-9,5-14", &[(0, 10), (5, 15)]).await;
}

#[tokio::test]
async fn client_f3_unsatisfiable_ranges_among_several_are_dropped() {
    let (lab, target) = lab_with_blob().await;
    first_hit(&lab, &target).await;
    let one = lab.ask("GET", HUB, &target, &[("range", "bytes=10-19,300000-")]).await;
    check_range(&one, "one of two", Some((10, 20)));
    let none = lab.ask("GET", HUB, &target, &[("range", "bytes=300000-,400000-400001")]).await;
    check_range(&none, "none of two", None);
    let etag = format!("\"{}\"", target.rsplit('/').next().unwrap());
    let ranges = ("range", "bytes=0-9,20-29");
    assert_eq!(parts_of(&lab.ask("GET", HUB, &target, &[ranges, ("if-range", &etag)]).await).len(), 2);
    check_whole(&lab.ask("GET", HUB, &target, &[ranges, ("if-range", "\"sha256:00\"")]).await, &target);
    let head = lab.ask("HEAD", HUB, &target, &[ranges]).await;
    assert_eq!((head.status, head.header("content-length")), (200, Some(SIZE.to_string().as_str())));
}

#[tokio::test]
async fn client_f3_several_ranges_of_a_cold_blob_get_the_whole_and_its_fill() {
    let (lab, target) = lab_with_blob().await;
    let ranges = [("range", "bytes=0-9,20-29")];
    check_whole(&lab.ask("GET", HUB, &target, &ranges).await, &target);
    first_hit(&lab, &target).await;
    check_parts(&lab, &target, "bytes=0-9,20-29", &[(0, 10), (20, 30)]).await;
    assert_eq!(lab.hub.log().count_at(Endpoint::Cdn, Kind::GetBlob), 1);
    let absent = target.replace("busybox/blobs", "elsewhere/blobs").replace("sha256:", "sha256:0");
    assert_eq!(lab.ask("GET", HUB, &absent, &ranges).await.status, 400);
}

#[tokio::test]
async fn client_f3_parts_and_other_answers_share_a_connection() {
    let (lab, target) = lab_with_blob().await;
    first_hit(&lab, &target).await;
    let mut connection = lab.connect().await;
    for headers in [&[("range", "bytes=0-99999,200000-")][..], &[], &[("range", "bytes=0-0,2-2")]] {
        connection.request("GET", HUB, &target, headers).await.unwrap();
    }
    let bytes = source().bytes();
    let first = within("the parts", connection.read_response("GET")).await.unwrap();
    let parts = parts_of(&first);
    assert!(parts[0].1 == bytes[..100_000] && parts[1].1 == bytes[200_000..]);
    check_whole(&within("the whole", connection.read_response("GET")).await.unwrap(), &target);
    let last = within("the last parts", connection.read_response("GET")).await.unwrap();
    assert_eq!(parts_of(&last).len(), 2);
}

#[tokio::test]
async fn a_range_with_another_if_range_gets_the_whole() {
    let (lab, target) = lab_with_blob().await;
    let etag = format!("\"{}\"", target.rsplit('/').next().unwrap());
    let range = ("range", "bytes=100-199");
    let same = lab.ask("GET", HUB, &target, &[range, ("if-range", &etag)]).await;
    check_range(&same, "if-range of this content", Some((100, 200)));
    check_whole(&lab.ask("GET", HUB, &target, &[range, ("if-range", "\"sha256:00\"")]).await, &target);
    let date = "Sat, 21 Nov 2026 10:00:00 GMT";
    check_whole(&lab.ask("GET", HUB, &target, &[range, ("if-range", date)]).await, &target);
    check_whole(&lab.ask("GET", HUB, &target, &[("range", "lines=1-2")]).await, &target);
}

#[tokio::test]
async fn a_blob_that_the_client_holds_is_not_sent() {
    let (lab, target) = lab_with_blob().await;
    let etag = format!("W/\"{}\"", target.rsplit('/').next().unwrap());
    let answer = lab.ask("GET", HUB, &target, &[("if-none-match", &etag), ("range", "bytes=0-1")]).await;
    assert_eq!(answer.status, 304);
    assert_eq!(lab.hub.log().body_bytes(target.rsplit('/').next().unwrap()), 0);
    let absent =
        "/v2/library/busybox/blobs/sha256:0000000000000000000000000000000000000000000000000000000000000000";
    assert_eq!(lab.ask("GET", HUB, absent, &[("if-none-match", "*")]).await.status, 404);
}

#[tokio::test]
async fn an_empty_blob_is_a_whole_answer() {
    let lab = Lab::start().await;
    let target = target(&lab.hub.put_blob(Vec::new()));
    for _ in 0..2 {
        let answer = lab.get(HUB, &target).await;
        assert_eq!((answer.status, answer.complete), (200, true));
        assert_eq!(answer.header("content-length"), Some("0"));
        let part = lab.ask("GET", HUB, &target, &[("range", "bytes=0-")]).await;
        assert_eq!(part.status, 416);
        assert_eq!(part.header("content-range"), Some("bytes */0"));
    }
}

#[tokio::test]
async fn a_blob_that_the_upstream_lacks_is_unknown() {
    let lab = Lab::start().await;
    let target = target(&source().digest());
    for method in ["GET", "HEAD"] {
        let answer = lab.ask(method, HUB, &target, &[]).await;
        assert_eq!(answer.status, 404);
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
    assert!(lab.get(HUB, &target).await.text().contains("BLOB_UNKNOWN"));
}

#[tokio::test]
async fn wrong_bytes_never_end_in_order() {
    let (lab, target) = lab_with_blob().await;
    let gate = Gate::new();
    let wrong =
        Rule::new(Kind::GetBlob, Fault::FlipBit(SIZE / 2)).and(Fault::PauseAt(SIZE - 1, gate.clone()));
    let script = lab.hub.script(wrong);
    let mut client = lab.connect().await;
    client.request("GET", HUB, &target, &[]).await.unwrap();
    // The last byte waits until the client has the head; only then must the body break.
    assert_eq!(within("the head", client.read_head("GET")).await.unwrap().status, 200);
    gate.release();
    let (body, end) = within("the body breaks", client.read_rest()).await;
    assert!(end.is_err(), "the body seemed complete");
    assert!((body.len() as u64) < SIZE);
    script.remove();
    check_whole(&lab.get(HUB, &target).await, &target);
}

#[tokio::test]
async fn wrong_bytes_of_a_small_blob_are_an_error() {
    let lab = Lab::start().await;
    let target = target(&lab.hub.put_blob(vec![1; 512]));
    lab.hub.script(Rule::new(Kind::GetBlob, Fault::FlipBit(5)));
    let answer = lab.get(HUB, &target).await;
    assert_eq!(answer.status, 502, "{}", answer.text());
}

#[tokio::test]
async fn one_connection_serves_one_answer_after_another() {
    let (lab, target) = lab_with_blob().await;
    let mut connection = lab.connect().await;
    // Pipelined: the second and third are sent before the first answer is read.
    connection.request("GET", HUB, &target, &[]).await.unwrap();
    connection.request("HEAD", HUB, &target, &[]).await.unwrap();
    connection.request("GET", HUB, &target, &[("range", "bytes=-10")]).await.unwrap();
    check_whole(&within("the blob", connection.read_response("GET")).await.unwrap(), &target);
    assert_eq!(within("the head", connection.read_response("HEAD")).await.unwrap().status, 200);
    let part = within("the range", connection.read_response("GET")).await.unwrap();
    check_range(&part, "bytes=-10", Some((SIZE - 10, SIZE)));
}

#[tokio::test]
async fn clients_that_take_a_piece_and_leave_stop_nothing() {
    let lab = Lab::start().await;
    let source = BlobSource::Generated { seed: 9, len: 4 << 20 };
    let digest = lab.hub.put_blob(source.clone());
    let target = target(&digest);
    let gate = Gate::new();
    lab.hub.script(Rule::new(Kind::GetBlob, Fault::PauseAt(1 << 20, gate.clone())).once());
    let mut first = lab.connect().await;
    first.request("GET", HUB, &target, &[("range", "bytes=0-")]).await.unwrap();
    assert_eq!(within("the head", first.read_head("GET")).await.unwrap().status, 206);
    let piece = within("a piece", first.read_piece(1000)).await.unwrap().unwrap();
    assert_eq!(piece, source.read(0, piece.len()));
    first.reset().unwrap();
    gate.release();
    let whole = lab.get(HUB, &target).await;
    assert!(whole.complete && whole.body == source.bytes());
    assert_eq!(lab.hub.log().count_at(Endpoint::Cdn, Kind::GetBlob), 1);
}

#[tokio::test]
async fn a_file_truncated_while_it_is_sent_breaks_the_connection() {
    if !STORES_FILES {
        return;
    }
    let lab = Lab::start().await;
    let source = BlobSource::Generated { seed: 11, len: 48 << 20 };
    let digest = lab.hub.put_blob(source.clone());
    let target = target(&digest);
    first_hit(&lab, &target).await;
    let mut client = Connection::open_slow(lab.address, 4096).await.unwrap();
    client.request("GET", HUB, &target, &[]).await.unwrap();
    assert_eq!(within("the head", client.read_head("GET")).await.unwrap().status, 200);
    lab.truncate_blob(&digest, 40 << 20);
    let (received, end) = within("the connection breaks", client.read_rest()).await;
    assert!(end.is_err(), "the body seemed complete");
    assert!(received.len() as u64 <= 40 << 20 && source.bytes().starts_with(&received));
}

#[tokio::test]
async fn k9_a_head_is_answered_where_the_upstream_tells_no_length() {
    let (lab, target) = lab_with_blob().await;
    lab.hub.script(Rule::new(Kind::HeadBlob, Fault::Chunked));
    let untold = lab.hub.script(Rule::new(Kind::GetBlob, Fault::RangeIgnored).and(Fault::Chunked));
    let digest = target.rsplit('/').next().unwrap();
    let mut connection = lab.connect().await;
    // The connection stays usable, and the next answer is not taken for a body.
    for _ in 0..2 {
        connection.request("HEAD", HUB, &target, &[]).await.unwrap();
        let answer = within("a HEAD", connection.read_response("HEAD")).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("content-length"), None);
        assert_eq!(answer.header("transfer-encoding"), None);
        assert_eq!(answer.header("docker-content-digest"), Some(digest));
        assert_eq!(answer.header("accept-ranges"), Some("bytes"));
        assert!(answer.body.is_empty());
    }
    untold.remove();
    connection.request("HEAD", HUB, &target, &[]).await.unwrap();
    let answer = within("a HEAD", connection.read_response("HEAD")).await.unwrap();
    assert_eq!(
        answer.header("content-length"),
        Some(SIZE.to_string().as_str()),
        "a GET of one byte tells it"
    );
    let missing = target.replace(digest, &testkit::digest_of(b"missing"));
    assert_eq!(lab.ask("HEAD", HUB, &missing, &[]).await.status, 404);
}
