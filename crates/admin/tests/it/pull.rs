//! Work on many images whose progress the answer reports, line by line.

use std::sync::Arc;
use std::sync::Mutex;

use admin::{ImageRequest, ImageWork};
use bytes::Bytes;
use testkit::client::{Broken, Connection};
use testkit::within;
use tokio::sync::{mpsc, oneshot};

use crate::{AdminLab, settings};

/// A request, and where its lines go.
type Begun = (ImageRequest, mpsc::Sender<Bytes>);

/// Work that a test drives: it takes one request.
#[derive(Debug)]
struct Work {
    request: Mutex<Option<oneshot::Sender<Begun>>>,
}

impl ImageWork for Work {
    fn pull(&self, request: ImageRequest) -> Option<mpsc::Receiver<Bytes>> {
        let told = self.request.lock().unwrap().take()?;
        let (sender, receiver) = mpsc::channel(4);
        told.send((request, sender)).unwrap();
        Some(receiver)
    }

    fn verify(&self, request: ImageRequest) -> Option<mpsc::Receiver<Bytes>> {
        self.pull(request)
    }
}

async fn lab() -> (AdminLab, oneshot::Receiver<Begun>) {
    let (told, begun) = oneshot::channel();
    let work = Arc::new(Work { request: Mutex::new(Some(told)) });
    (AdminLab::start_for(settings(None), None, Some(work)).await, begun)
}

/// Sends a request over HTTP/1.0, so that the answer ends with the connection.
async fn send(lab: &AdminLab, path: &str, content: &str) -> Connection {
    let mut connection = Connection::open(lab.address).await.unwrap();
    let length = content.len();
    let request =
        format!("POST {path} HTTP/1.0\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{content}");
    connection.send(request.as_bytes()).await.unwrap();
    connection
}

async fn answer_to(lab: &AdminLab, path: &str, content: &str) -> String {
    let mut connection = send(lab, path, content).await;
    let (bytes, end): (Bytes, Result<(), Broken>) = within("an answer", connection.read_raw_to_end()).await;
    end.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn lines_are_sent_as_they_come_and_the_answer_ends_with_the_work() {
    for path in ["/api/pull", "/api/verify"] {
        let (lab, begun) = lab().await;
        let content = r#"{"images": ["alpine", "redis:7"], "platforms": "linux/amd64"}"#;
        let mut connection = send(&lab, path, content).await;
        let (request, lines) = within("the request", begun).await.unwrap();
        assert_eq!(request.images, ["alpine", "redis:7"]);
        assert_eq!(request.platforms.unwrap().to_string(), "linux/amd64");
        let head = within("a head", connection.read_head("POST")).await.unwrap();
        assert_eq!((head.status, head.header("content-type")), (200, Some("application/jsonl")));
        assert_eq!(head.header("content-length"), None);
        let mut got = String::new();
        for line in ["{\"a\":1}\n", "{\"b\":2}\n"] {
            assert!(lines.send(Bytes::from(line)).await.is_ok(), "{path} {line} {got}");
            while !got.ends_with(line) {
                let piece = within(line, connection.read_piece(4096)).await.unwrap().unwrap();
                got += &String::from_utf8_lossy(&piece);
            }
        }
        drop(lines);
        let (rest, end) = within("the end", connection.read_rest()).await;
        assert!(rest.is_empty() && end.is_ok());
    }
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_work() {
    let (lab, begun) = lab().await;
    let connection = send(&lab, "/api/pull", r#"{"images": ["alpine"]}"#).await;
    let (_, lines) = within("the request", begun).await.unwrap();
    drop(connection);
    within("the end of the work", lines.closed()).await;
}

#[tokio::test]
async fn requests_that_are_wrong_or_too_many_are_refused() {
    let (lab, _begun) = lab().await;
    for (content, named) in [
        ("", "content"),
        ("[]", "content"),
        ("{}", "images"),
        (r#"{"images": []}"#, "images"),
        (r#"{"images": "alpine"}"#, "images"),
        (r#"{"images": [1]}"#, "images"),
        (r#"{"images": ["a"], "platforms": "linux"}"#, "platforms"),
        (r#"{"images": ["a"], "platform": "linux/amd64"}"#, "platform"),
    ] {
        let answer = answer_to(&lab, "/api/pull", content).await;
        assert!(answer.starts_with("HTTP/1.0 400"), "{content}: {answer}");
        assert!(answer.contains(&format!("\"message\":\"{named}: ")), "{content}: {answer}");
    }
    let many = format!(r#"{{"images": [{}"a"]}}"#, "\"a\",".repeat(10_000));
    assert!(answer_to(&lab, "/api/pull", &many).await.starts_with("HTTP/1.0 400"));
    let first = send(&lab, "/api/pull", r#"{"images": ["a"]}"#).await;
    let begun = _begun.await.unwrap();
    assert!(answer_to(&lab, "/api/pull", r#"{"images": ["a"]}"#).await.starts_with("HTTP/1.0 429"));
    drop((first, begun));
}

#[tokio::test]
async fn content_without_a_bounded_length_and_content_elsewhere_are_refused() {
    let (lab, _begun) = lab().await;
    for (head, status) in [
        ("POST /api/pull HTTP/1.1\r\nHost: localhost\r\n\r\n", "413"),
        ("POST /api/pull HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000\r\n\r\n", "413"),
        ("POST /api/pull HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", "413"),
        ("POST /api/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}", "400"),
        ("PUT /api/pull HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}", "400"),
        (
            "POST /api/pull HTTP/1.1\r\nHost: localhost\r\nOrigin: http://x\r\nContent-Length: 2\r\n\r\n{}",
            "403",
        ),
    ] {
        let mut connection = Connection::open(lab.address).await.unwrap();
        connection.send(head.as_bytes()).await.unwrap();
        let answer = within("an answer", connection.read_head("POST")).await.unwrap();
        assert_eq!(answer.status.to_string(), status, "{head}");
    }
}

#[tokio::test]
async fn a_server_that_does_no_such_work_says_so() {
    let lab = AdminLab::start(settings(None)).await;
    let answer = answer_to(&lab, "/api/pull", r#"{"images": ["a"]}"#).await;
    assert!(answer.starts_with("HTTP/1.0 404") && answer.contains("not_offered"), "{answer}");
}
