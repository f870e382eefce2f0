use std::io::ErrorKind;

use bytes::BytesMut;

use super::read;

#[tokio::test]
async fn pipelined_requests_come_one_by_one() {
    let mut wire: &[u8] = b"GET /v2/ HTTP/1.1\r\nHost: a\r\nX-Odd:  b c \r\n\r\nHEAD /x?y=1 HTTP/1.1\r\n\r\n";
    let mut pending = BytesMut::new();
    let first = read(&mut wire, &mut pending).await.unwrap().unwrap();
    assert_eq!((first.method.as_str(), first.target.as_str()), ("GET", "/v2/"));
    assert_eq!(first.header("x-odd"), Some("b c"));
    let second = read(&mut wire, &mut pending).await.unwrap().unwrap();
    assert_eq!((second.method.as_str(), second.target.as_str()), ("HEAD", "/x?y=1"));
    assert!(read(&mut wire, &mut pending).await.unwrap().is_none());
}

#[tokio::test]
async fn a_request_body_is_skipped() {
    let mut wire: &[u8] = b"POST /t HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n\r\n";
    let mut pending = BytesMut::new();
    assert_eq!(read(&mut wire, &mut pending).await.unwrap().unwrap().method, "POST");
    assert_eq!(read(&mut wire, &mut pending).await.unwrap().unwrap().method, "GET");
}

#[tokio::test]
async fn malformed_requests_are_errors() {
    for wire in ["GET /v2/ HTTP/1.1\r\nHost: a", "\x16\x03\x01\r\n\r\n", "GET / HTTP/1.1\r\nno colon\r\n\r\n"]
    {
        let error = read(&mut wire.as_bytes(), &mut BytesMut::new()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{wire:?}");
    }
}
