use http::HeaderValue;

use super::*;

#[test]
fn only_a_trusted_proxy_tells_the_address_of_its_client() {
    let table =
        AccessTable { trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()], ..AccessTable::default() };
    let mut headers = HeaderMap::new();
    headers.append("x-forwarded-for", HeaderValue::from_static("10.9.9.9"));
    headers.append("x-forwarded-for", HeaderValue::from_static("198.51.100.7"));
    for (peer, table, expected) in [
        ("10.0.0.1:4711", Some(&table), "198.51.100.7:0"),
        ("[::ffff:10.0.0.1]:4711", Some(&table), "198.51.100.7:0"),
        ("192.0.2.1:4711", Some(&table), "192.0.2.1:4711"),
        ("10.0.0.1:4711", None, "10.0.0.1:4711"),
    ] {
        let client = client_of(peer.parse().unwrap(), &headers, table);
        assert_eq!(client, expected.parse().unwrap(), "{peer}");
    }
    let direct = client_of("10.0.0.1:4711".parse().unwrap(), &HeaderMap::new(), Some(&table));
    assert_eq!(direct, "10.0.0.1:4711".parse().unwrap(), "a proxy's own request keeps its port");
}
