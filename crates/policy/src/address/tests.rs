use std::net::IpAddr;

use url::Url;

use super::{InternalAddress, InternalName, check, check_host, check_name};

fn host_verdict(url: &str) -> Result<(), InternalAddress> {
    let url = Url::parse(url).unwrap();
    check_host(&url.host().unwrap())
}

#[test]
fn s02_inside_addresses_are_refused() {
    let cases = [
        ("0.0.0.0", InternalAddress::Unspecified),
        ("0.1.2.3", InternalAddress::Unspecified),
        ("127.0.0.1", InternalAddress::Loopback),
        ("127.255.255.254", InternalAddress::Loopback),
        ("10.0.0.1", InternalAddress::Private),
        ("172.16.0.1", InternalAddress::Private),
        ("172.31.255.255", InternalAddress::Private),
        ("192.168.1.1", InternalAddress::Private),
        ("100.64.0.1", InternalAddress::Private),
        ("100.100.100.200", InternalAddress::Private),
        ("169.254.169.254", InternalAddress::LinkLocal),
        ("169.254.170.2", InternalAddress::LinkLocal),
        ("168.63.129.16", InternalAddress::Metadata),
        ("192.0.0.192", InternalAddress::Metadata),
        ("192.0.0.8", InternalAddress::Reserved),
        ("192.0.2.1", InternalAddress::Reserved),
        ("198.51.100.1", InternalAddress::Reserved),
        ("203.0.113.1", InternalAddress::Reserved),
        ("224.0.0.1", InternalAddress::Multicast),
        ("239.255.255.255", InternalAddress::Multicast),
        ("240.0.0.1", InternalAddress::Reserved),
        ("255.255.255.255", InternalAddress::Multicast),
        ("::", InternalAddress::Unspecified),
        ("::1", InternalAddress::Loopback),
        ("::ffff:127.0.0.1", InternalAddress::Loopback),
        ("::ffff:10.0.0.1", InternalAddress::Private),
        ("::ffff:a9fe:a9fe", InternalAddress::LinkLocal),
        ("::127.0.0.1", InternalAddress::Loopback),
        ("::ffff:0:7f00:1", InternalAddress::Loopback),
        ("64:ff9b::7f00:1", InternalAddress::Loopback),
        ("64:ff9b::a9fe:a9fe", InternalAddress::LinkLocal),
        ("64:ff9b:1::1", InternalAddress::Reserved),
        ("2002:7f00:1::", InternalAddress::Loopback),
        ("2002:c0a8:101::1", InternalAddress::Private),
        ("fc00::1", InternalAddress::Private),
        ("fd00:ec2::254", InternalAddress::Private),
        ("fec0::1", InternalAddress::Private),
        ("fe80::1", InternalAddress::LinkLocal),
        ("ff02::1", InternalAddress::Multicast),
        ("2001::1", InternalAddress::Reserved),
        ("2001:db8::1", InternalAddress::Reserved),
        ("100::1", InternalAddress::Reserved),
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
        assert_eq!(host_verdict(url), Err(InternalAddress::Loopback), "{url}");
    }
    assert_eq!(host_verdict("http://0xa9fea9fe/"), Err(InternalAddress::LinkLocal));
    assert_eq!(host_verdict("http://2852039166./"), Err(InternalAddress::LinkLocal));
    assert_eq!(host_verdict("http://0/"), Err(InternalAddress::Unspecified));
}

#[test]
fn s02_names_are_left_to_the_check_after_resolution() {
    for url in ["https://localhost/", "https://localhost./", "https://metadata.google.internal/"] {
        assert_eq!(host_verdict(url), Ok(()), "{url}");
    }
}

#[test]
fn t26_names_that_cannot_be_anybodys_outside_are_seen_through() {
    let inside = [
        ("localhost", InternalName::Label),
        ("intranet", InternalName::Label),
        ("intranet.", InternalName::Label),
        ("com", InternalName::Label),
        ("", InternalName::Label),
        ("a.localhost", InternalName::Suffix),
        ("metadata.google.internal", InternalName::Suffix),
        ("METADATA.google.INTERNAL.", InternalName::Suffix),
        ("vault.corp.lan", InternalName::Suffix),
        ("printer.local", InternalName::Suffix),
        ("router.home.arpa", InternalName::Suffix),
        ("1.0.0.10.in-addr.arpa", InternalName::Suffix),
        ("kubernetes.default.svc", InternalName::Suffix),
        ("kubernetes.default.svc.cluster.local", InternalName::Suffix),
        ("vault.service.consul", InternalName::Suffix),
        ("db.corp", InternalName::Suffix),
        ("x.test", InternalName::Suffix),
        ("x.invalid", InternalName::Suffix),
        ("hidden.onion", InternalName::Suffix),
        ("ip-10-0-0-1.ec2.internal", InternalName::Suffix),
        ("10.0.0.1.nip.io", InternalName::Carries(InternalAddress::Private)),
        ("app.127.0.0.1.nip.io", InternalName::Carries(InternalAddress::Loopback)),
        ("169-254-169-254.sslip.io", InternalName::Carries(InternalAddress::LinkLocal)),
        ("app-192-168-1-1.nip.io", InternalName::Carries(InternalAddress::Private)),
        ("customer-10-8-33-1-v4.nip.io", InternalName::Carries(InternalAddress::Private)),
        ("0a000001.nip.io", InternalName::Carries(InternalAddress::Private)),
        ("x.7F000001.nip.io", InternalName::Carries(InternalAddress::Loopback)),
        ("--1.sslip.io", InternalName::Carries(InternalAddress::Loopback)),
        ("fd00--1.sslip.io", InternalName::Carries(InternalAddress::Private)),
        ("10.0.0.1.traefik.me", InternalName::Carries(InternalAddress::Private)),
    ];
    for (name, expected) in inside {
        assert_eq!(check_name(name), Err(expected), "{name}");
    }
}

#[test]
fn t26_names_of_the_outside_pass() {
    let outside = [
        "registry-1.docker.io",
        "auth.docker.io.",
        "production.cloudflare.docker.com",
        "prod-registry-k8s-io-us-east-1.s3.dualstack.us-east-1.amazonaws.com",
        "ec2-54-1-2-3.compute-1.amazonaws.com",
        "d2c1f3a4.cloudfront.net",
        "0a000001.cloudfront.net",
        "bucket.s3.amazonaws.com",
        "account.blob.core.windows.net",
        "registry.corp.co.uk",
        "8.8.8.8.nip.io",
        "08080808.nip.io",
        "a--b.example.com",
        "xn--dcker-jua.io",
        "v1-2-3.example.com",
        "1-2-3-400.example.com",
        "auth.other.example",
    ];
    for name in outside {
        assert_eq!(check_name(name), Ok(()), "{name}");
    }
}
