use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::{Broken, Connection, Response, request};
use crate::deadline::within;

/// A server that reads one request head, writes `answer` and ends: by FIN, or by reset.
async fn server(answer: &'static [u8], is_reset: bool) -> (std::net::SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            assert_ne!(stream.read_buf(&mut head).await.unwrap(), 0);
        }
        stream.write_all(answer).await.unwrap();
        if is_reset {
            stream.set_zero_linger().unwrap();
        }
        String::from_utf8(head).unwrap()
    });
    (address, task)
}

async fn answer_to(method: &str, answer: &'static [u8]) -> Result<Response, Broken> {
    let (address, _task) = server(answer, false).await;
    within("the answer", request(method, address, "h", "/x", &[])).await
}

#[tokio::test]
async fn bodies_end_as_their_framing_says() {
    let cases: [(&str, &'static [u8], &[u8], bool); 10] = [
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", b"abc", true),
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcd", b"abc", true),
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", b"ab", false),
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"", true),
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", b"", true),
        ("GET", b"HTTP/1.1 200 OK\r\n\r\nabc", b"abc", true),
        (
            "GET",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n",
            b"abc",
            true,
        ),
        ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", b"ab", false),
        ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", b"ab", false),
        ("GET", b"HTTP/1.1 204 No\r\n\r\n", b"", true),
    ];
    for (method, wire, body, complete) in cases {
        let response = answer_to(method, wire).await.unwrap();
        let text = String::from_utf8_lossy(wire);
        assert_eq!((&response.body[..], response.complete), (body, complete), "{text}");
    }
}

#[tokio::test]
async fn answers_without_a_head_are_broken() {
    assert!(matches!(answer_to("GET", b"").await, Err(Broken::Closed)));
    assert!(matches!(answer_to("GET", b"HTTP/1.1 200 OK\r\n").await, Err(Broken::Closed)));
    assert!(matches!(answer_to("GET", b"SSH-2.0\r\n\r\n").await, Err(Broken::Malformed(_))));
}

#[tokio::test]
async fn a_reset_is_not_an_end() {
    let (address, task) = server(b"HTTP/1.1 200 OK\r\n\r\nabc", true).await;
    let mut connection = Connection::open(address).await.unwrap();
    connection.request("GET", "h", "/", &[]).await.unwrap();
    within("the server", task).await.unwrap();
    // Delimited by the connection's end, so a proper end would be a complete body. How many bytes the kernel
    // delivers before the reset is not specified.
    let end = match connection.read_head("GET").await {
        Ok(_) => connection.read_rest().await.1,
        Err(broken) => Err(broken),
    };
    assert!(matches!(end, Err(Broken::Reset)), "{end:?}");
}

#[tokio::test]
async fn the_request_is_sent_as_given() {
    let (address, task) = server(b"HTTP/1.1 200 OK\r\nX-A:  b \r\nx-a: c\r\n\r\n", false).await;
    let response =
        request("GET", address, "docker.io.example:5", "/v2/?ns=x", &[("Range", "bytes=0-")]).await;
    let response = response.unwrap();
    assert_eq!(response.header("x-a"), Some("b"));
    assert_eq!(response.headers.len(), 2);
    let sent = task.await.unwrap();
    assert_eq!(sent, "GET /v2/?ns=x HTTP/1.1\r\nHost: docker.io.example:5\r\nRange: bytes=0-\r\n\r\n");
}

#[tokio::test]
async fn pieces_are_as_small_as_requested() {
    let (address, _task) = server(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde", false).await;
    let mut connection = Connection::open_slow(address, 4096).await.unwrap();
    connection.request("GET", "h", "/", &[]).await.unwrap();
    let head = connection.read_head("GET").await.unwrap();
    assert_eq!((head.status, head.header("content-length")), (200, Some("5")));
    assert_eq!(connection.read_piece(2).await.unwrap().unwrap(), "ab");
    assert_eq!(connection.read_piece(1).await.unwrap().unwrap(), "c");
    let (rest, end) = connection.read_rest().await;
    assert_eq!(rest, "de");
    assert!(end.is_ok());
    assert!(connection.read_piece(1).await.unwrap().is_none());
}
