use tokio::io::AsyncWriteExt;

use super::*;

/// The header at the start of `bytes`, and the bytes that are left.
async fn read_from(bytes: &[u8]) -> (Option<Told>, Vec<u8>) {
    let mut stream = bytes;
    let told = read(&mut stream).await.ok();
    (told, stream.to_vec())
}

fn client(address: &str) -> Option<Told> {
    Some(Told::Client(address.parse().unwrap()))
}

/// A header of version 2.
fn binary(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
    let length = u16::try_from(addresses.len()).unwrap().to_be_bytes();
    [&SIGNATURE[..], &[command, family], &length, addresses].concat()
}

#[tokio::test]
async fn a_line_of_version_1_tells_the_client_and_leaves_the_rest() {
    let table: [(&[u8], Option<Told>); 14] = [
        (b"PROXY TCP4 192.0.2.7 10.0.0.1 56324 443\r\n", client("192.0.2.7:56324")),
        (b"PROXY TCP6 2001:db8::7 fd00::1 56324 443\r\n", client("[2001:db8::7]:56324")),
        (b"PROXY UNKNOWN\r\n", Some(Told::Client(UNKNOWN))),
        (b"PROXY UNKNOWN ff:ff 1 2 3\r\n", Some(Told::Client(UNKNOWN))),
        (b"PROXY TCP4 2001:db8::7 10.0.0.1 1 2\r\n", None),
        (b"PROXY TCP6 192.0.2.7 fd00::1 1 2\r\n", None),
        (b"PROXY TCP4 192.0.2.7 10.0.0.1 65536 443\r\n", None),
        (b"PROXY TCP4 192.0.2.7 10.0.0.1 1 2 3\r\n", None),
        (b"PROXY TCP4  192.0.2.7 10.0.0.1 1 2\r\n", None),
        (b"PROXY UDP4 192.0.2.7 10.0.0.1 1 2\r\n", None),
        (b"PROXY TCP4 192.0.2.7 10.0.0.1 1 2\n", None),
        (b"proxy TCP4 192.0.2.7 10.0.0.1 1 2\r\n", None),
        (b"GET /v2/ HTTP/1.1\r\n\r\n", None),
        (b"PROXY ", None),
    ];
    for (header, expected) in table {
        let (told, rest) = read_from(&[header, b"GET "].concat()).await;
        assert_eq!(told, expected, "{}", String::from_utf8_lossy(header));
        assert!(told.is_none() || rest == b"GET ", "{}", String::from_utf8_lossy(header));
    }
    let endless = [b"PROXY UNKNOWN ".to_vec(), vec![b'x'; 200]].concat();
    assert_eq!(read_from(&endless).await.0, None);
}

#[tokio::test]
async fn a_header_of_version_2_tells_the_client_and_leaves_the_rest() {
    let v4 = [&[192, 0, 2, 7][..], &[10, 0, 0, 1], &56324_u16.to_be_bytes(), &443_u16.to_be_bytes()].concat();
    let source: std::net::Ipv6Addr = "2001:db8::7".parse().unwrap();
    let v6 = [&source.octets()[..], &[0; 16], &56324_u16.to_be_bytes(), &443_u16.to_be_bytes()].concat();
    let extended = [&v4[..], &[0x04, 0, 3, 1, 2, 3]].concat();
    let table = [
        (binary(0x21, 0x11, &v4), client("192.0.2.7:56324")),
        (binary(0x21, 0x11, &extended), client("192.0.2.7:56324")),
        (binary(0x21, 0x21, &v6), client("[2001:db8::7]:56324")),
        (binary(0x20, 0x00, &[]), Some(Told::Own)),
        (binary(0x20, 0x11, &v4), Some(Told::Own)),
        (binary(0x21, 0x00, &[]), Some(Told::Client(UNKNOWN))),
        (binary(0x21, 0x31, &[0; 216]), Some(Told::Client(UNKNOWN))),
        (binary(0x21, 0x11, &v4[..11]), None),
        (binary(0x21, 0x21, &v6[..35]), None),
        (binary(0x11, 0x11, &v4), None),
        (binary(0x22, 0x11, &v4), None),
        (binary(0x21, 0x11, &[0; ADDRESS_BYTES_MAX + 1]), None),
    ];
    for (header, expected) in table {
        let (told, rest) = read_from(&[&header[..], b"GET "].concat()).await;
        assert_eq!(told, expected, "{header:?}");
        assert!(told.is_none() || rest == b"GET ", "{header:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_header_that_does_not_end_is_given_up() {
    let peer = "10.0.0.1:1".parse().unwrap();
    let (mut proxy, mut server) = tokio::io::duplex(64);
    proxy.write_all(b"PROXY TCP4 192").await.unwrap();
    let read = read_client(&mut server, peer, Duration::from_secs(10)).await;
    assert!(matches!(read, Err((CloseReason::SlowHead, None))), "{read:?}");
    drop(proxy);
    let read = read_client(&mut server, peer, Duration::from_secs(10)).await;
    assert!(matches!(read, Err((CloseReason::Malformed, Some(_)))), "{read:?}");
}
