use std::net::IpAddr;

use url::Url;

use super::{Inside, check, check_host};

fn host_verdict(url: &str) -> Result<(), Inside> {
    let url = Url::parse(url).unwrap();
    check_host(&url.host().unwrap())
}

#[test]
fn s02_inside_addresses_are_refused() {
    let cases = [
        ("0.0.0.0", Inside::Unspecified),
        ("0.1.2.3", Inside::Unspecified),
        ("127.0.0.1", Inside::Loopback),
        ("127.255.255.254", Inside::Loopback),
        ("10.0.0.1", Inside::Private),
        ("172.16.0.1", Inside::Private),
        ("172.31.255.255", Inside::Private),
        ("192.168.1.1", Inside::Private),
        ("100.64.0.1", Inside::Private),
        ("100.100.100.200", Inside::Private),
        ("169.254.169.254", Inside::LinkLocal),
        ("169.254.170.2", Inside::LinkLocal),
        ("168.63.129.16", Inside::Metadata),
        ("192.0.0.192", Inside::Metadata),
        ("192.0.0.8", Inside::Reserved),
        ("192.0.2.1", Inside::Reserved),
        ("198.51.100.1", Inside::Reserved),
        ("203.0.113.1", Inside::Reserved),
        ("224.0.0.1", Inside::Multicast),
        ("239.255.255.255", Inside::Multicast),
        ("240.0.0.1", Inside::Reserved),
        ("255.255.255.255", Inside::Multicast),
        ("::", Inside::Unspecified),
        ("::1", Inside::Loopback),
        ("::ffff:127.0.0.1", Inside::Loopback),
        ("::ffff:10.0.0.1", Inside::Private),
        ("::ffff:a9fe:a9fe", Inside::LinkLocal),
        ("::127.0.0.1", Inside::Loopback),
        ("::ffff:0:7f00:1", Inside::Loopback),
        ("64:ff9b::7f00:1", Inside::Loopback),
        ("64:ff9b::a9fe:a9fe", Inside::LinkLocal),
        ("64:ff9b:1::1", Inside::Reserved),
        ("2002:7f00:1::", Inside::Loopback),
        ("2002:c0a8:101::1", Inside::Private),
        ("fc00::1", Inside::Private),
        ("fd00:ec2::254", Inside::Private),
        ("fec0::1", Inside::Private),
        ("fe80::1", Inside::LinkLocal),
        ("ff02::1", Inside::Multicast),
        ("2001::1", Inside::Reserved),
        ("2001:db8::1", Inside::Reserved),
        ("100::1", Inside::Reserved),
    ];
    for (text, inside) in cases {
        let address: IpAddr = text.parse().unwrap();
        assert_eq!(check(address), Err(inside), "{text}");
    }
}

#[test]
fn s02_outside_addresses_pass() {
    let outside = [
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "172.15.255.255",
        "172.32.0.0",
        "192.167.255.255",
        "192.169.0.0",
        "192.0.1.1",
        "198.18.0.5",
        "223.255.255.255",
        "2606:4700::1111",
        "2a00:1450:4001:82b::200e",
        "::ffff:1.1.1.1",
        "64:ff9b::101:101",
        "2002:101:101::1",
    ];
    for text in outside {
        let address: IpAddr = text.parse().unwrap();
        assert_eq!(check(address), Ok(()), "{text}");
    }
}

#[test]
fn s02_every_spelling_of_an_inside_host_is_seen_through() {
    let loopback = [
        "http://127.0.0.1/",
        "http://127.0.0.1./",
        "http://127.1/",
        "http://0x7f.1/",
        "http://0x7f000001/",
        "http://2130706433/",
        "http://0177.0.0.1/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[0:0:0:0:0:ffff:7f00:1]/",
        "http://%31%32%37.0.0.1/",
        "http://\u{ff11}\u{ff12}\u{ff17}.0.0.1/",
    ];
    for url in loopback {
        assert_eq!(host_verdict(url), Err(Inside::Loopback), "{url}");
    }
    assert_eq!(host_verdict("http://0xa9fea9fe/"), Err(Inside::LinkLocal));
    assert_eq!(host_verdict("http://2852039166./"), Err(Inside::LinkLocal));
    assert_eq!(host_verdict("http://0/"), Err(Inside::Unspecified));
}

#[test]
fn s02_names_are_left_to_the_check_after_resolution() {
    for url in ["https://localhost/", "https://localhost./", "https://metadata.google.internal/"] {
        assert_eq!(host_verdict(url), Ok(()), "{url}");
    }
}
