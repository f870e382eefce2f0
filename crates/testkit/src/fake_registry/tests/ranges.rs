use super::{ask, blob, simple};
use crate::client::Response;
use crate::{Endpoint, FakeRegistry, Fault, Kind, RangeLie, Rule};

const CONTENT: &str = "0123456789";

async fn ranged(registry: &FakeRegistry, digest: &str, range: &str) -> Response {
    ask(registry, Endpoint::Registry, "GET", &blob(digest), &[("range", range)]).await.unwrap()
}

fn summary(answer: &Response) -> (u16, String, Option<&str>) {
    (answer.status, answer.text(), answer.header("content-range"))
}

#[tokio::test]
async fn ranges_are_honoured_and_labelled() {
    let registry = simple().await;
    let digest = registry.put_blob(CONTENT);
    let cases = [
        ("bytes=2-4", 206, "234", Some("bytes 2-4/10")),
        ("bytes=7-", 206, "789", Some("bytes 7-9/10")),
        ("bytes=-2", 206, "89", Some("bytes 8-9/10")),
        ("bytes=5-99", 206, "56789", Some("bytes 5-9/10")),
        ("bytes=10-", 416, "", Some("bytes */10")),
        ("bytes=0-1,3-4", 200, CONTENT, None),
    ];
    for (range, status, body, label) in cases {
        let answer = ranged(&registry, &digest, range).await;
        assert_eq!(summary(&answer), (status, body.to_owned(), label), "{range}");
        assert_eq!(answer.header("content-length"), Some(&*body.len().to_string()));
    }
    assert_eq!(registry.requests()[1].range.as_deref(), Some("bytes=7-"));
    assert_eq!(registry.requests()[1].body_bytes, 3);
}

#[tokio::test]
async fn if_range_asks_for_the_version_too() {
    let registry = simple().await;
    let digest = registry.put_blob(CONTENT);
    for (etag, status) in [(format!("\"{digest}\""), 206), ("\"other\"".to_owned(), 200)] {
        let headers = [("range", "bytes=1-1"), ("if-range", &*etag)];
        let answer = ask(&registry, Endpoint::Registry, "GET", &blob(&digest), &headers).await.unwrap();
        assert_eq!(answer.status, status, "{etag}");
    }
}

#[tokio::test]
async fn ranges_can_be_ignored_or_wrong() {
    let registry = simple().await;
    let digest = registry.put_blob(CONTENT);
    let cases = [
        (Fault::RangeIgnored, (200, CONTENT, None)),
        (Fault::Range(RangeLie::NotSatisfiable), (416, "", Some("bytes */10"))),
        (Fault::Range(RangeLie::Shifted(2)), (206, "6789", Some("bytes 6-9/10"))),
        (Fault::Range(RangeLie::Shifted(-1)), (206, "3456789", Some("bytes 3-9/10"))),
        (Fault::Range(RangeLie::ClaimsAsked(-3)), (206, "123456", Some("bytes 4-9/10"))),
        (Fault::Range(RangeLie::WrongTotal(99)), (206, "456789", Some("bytes 4-9/99"))),
        (Fault::Range(RangeLie::NoContentRange), (206, "456789", None)),
        // The fourth byte of the content is the first of this range, but not of a body with another start.
        (Fault::FlipBit(4), (206, "556789", Some("bytes 4-9/10"))),
        (Fault::FlipBit(3), (206, "456789", Some("bytes 4-9/10"))),
    ];
    for (fault, (status, body, label)) in cases {
        let rule = Rule::new(Kind::GetBlob, fault.clone()).ranged().once();
        let scripted = registry.script(rule);
        let whole = ask(&registry, Endpoint::Registry, "GET", &blob(&digest), &[]).await.unwrap();
        assert_eq!((whole.status, whole.text().as_str()), (200, CONTENT));
        let answer = ranged(&registry, &digest, "bytes=4-").await;
        assert_eq!(summary(&answer), (status, body.to_owned(), label), "{fault:?}");
        assert!(answer.complete);
        assert_eq!(scripted.applied(), 1);
    }
}
