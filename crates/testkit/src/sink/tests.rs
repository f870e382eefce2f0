use crate::client::{Connection, get, request};
use crate::{Authority, Sink};

#[tokio::test]
async fn connections_and_credentials_are_counted() {
    let sink = Sink::start().await;
    assert_eq!((sink.connections(), sink.credentials()), (0, 0));
    let plain = get(sink.address(), &sink.host(), "/token?service=x", &[]).await.unwrap();
    assert_eq!((plain.status, plain.complete), (404, true));
    assert_eq!((sink.connections(), sink.credentials()), (1, 0));
    assert!(!sink.saw("s3cret"));
    // "user:s3cret" in base64.
    let basic = [("Authorization", "Basic dXNlcjpzM2NyZXQ=")];
    get(sink.address(), &sink.host(), "/", &basic).await.unwrap();
    assert_eq!((sink.connections(), sink.credentials()), (2, 1));
    assert!(sink.saw("s3cret") && sink.saw("user"));
    get(sink.address(), &sink.host(), "/?q=hidden", &[("cookie", "a=b")]).await.unwrap();
    assert_eq!(sink.credentials(), 2);
    assert!(sink.saw("hidden"));
    assert_eq!(sink.requests().len(), 3);
    assert!(sink.requests()[0].starts_with("GET /token?service=x HTTP/1.1\r\n"));
    sink.wait_for_connections(3).await;
}

#[tokio::test]
async fn bytes_that_are_no_request_are_recorded() {
    let sink = Sink::start().await;
    let mut connection = Connection::open(sink.address()).await.unwrap();
    connection.send(b"password").await.unwrap();
    connection.half_close().await.unwrap();
    let (answer, end) = connection.read_raw_to_end().await;
    assert!(answer.is_empty() && end.is_ok());
    assert_eq!(sink.received(), b"password");
    assert!(sink.requests().is_empty());
}

#[tokio::test]
async fn a_sink_answers_as_configured() {
    let sink = Sink::answering(200, &[("content-type", "application/json")], b"{\"token\":\"t\"}").await;
    let answer = get(sink.address(), &sink.host(), "/", &[]).await.unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "{\"token\":\"t\"}"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let head = request("HEAD", sink.address(), &sink.host(), "/", &[]).await.unwrap();
    assert_eq!((head.header("content-length"), head.body.len()), (Some("13"), 0));
}

#[tokio::test]
async fn a_sink_under_tls_sees_through_it() {
    let authority = Authority::new();
    let sink = Sink::start_tls(&authority).await;
    assert!(sink.url().starts_with("https://localhost:"));
    let mut connection = Connection::open_tls(sink.address(), "localhost", &authority.pem()).await.unwrap();
    connection.request("GET", &sink.host(), "/", &[("authorization", "Bearer abc")]).await.unwrap();
    assert_eq!(connection.read_response("GET").await.unwrap().status, 404);
    assert!(sink.saw("Bearer abc"));
    let stranger = Authority::new();
    Connection::open_tls(sink.address(), "localhost", &stranger.pem()).await.unwrap_err();
    assert_eq!((sink.connections(), sink.credentials()), (2, 1));
}

#[tokio::test]
async fn dropping_a_sink_frees_its_port() {
    let sink = Sink::start().await;
    let address = sink.address();
    let mut connection = Connection::open(address).await.unwrap();
    sink.wait_for_connections(1).await;
    drop(sink);
    let (_, end) = crate::within("the end of the connection", connection.read_raw_to_end()).await;
    drop(end);
    Connection::open(address).await.unwrap_err();
}
