use std::net::IpAddr;

use url::Url;

use super::{Inside, InsideName, check, check_host, check_name};

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

#[test]
fn t26_names_that_cannot_be_anybodys_outside_are_seen_through() {
    let inside = [
        ("localhost", InsideName::Label),
        ("intranet", InsideName::Label),
        ("intranet.", InsideName::Label),
        ("com", InsideName::Label),
        ("", InsideName::Label),
        ("a.localhost", InsideName::Suffix),
        ("metadata.google.internal", InsideName::Suffix),
        ("METADATA.google.INTERNAL.", InsideName::Suffix),
        ("vault.corp.lan", InsideName::Suffix),
        ("printer.local", InsideName::Suffix),
        ("router.home.arpa", InsideName::Suffix),
        ("1.0.0.10.in-addr.arpa", InsideName::Suffix),
        ("kubernetes.default.svc", InsideName::Suffix),
        ("kubernetes.default.svc.cluster.local", InsideName::Suffix),
        ("vault.service.consul", InsideName::Suffix),
        ("db.corp", InsideName::Suffix),
        ("x.test", InsideName::Suffix),
        ("x.invalid", InsideName::Suffix),
        ("hidden.onion", InsideName::Suffix),
        ("ip-10-0-0-1.ec2.internal", InsideName::Suffix),
        ("10.0.0.1.nip.io", InsideName::Carries(Inside::Private)),
        ("app.127.0.0.1.nip.io", InsideName::Carries(Inside::Loopback)),
        ("169-254-169-254.sslip.io", InsideName::Carries(Inside::LinkLocal)),
        ("app-192-168-1-1.nip.io", InsideName::Carries(Inside::Private)),
        ("customer-10-8-33-1-v4.nip.io", InsideName::Carries(Inside::Private)),
        ("0a000001.nip.io", InsideName::Carries(Inside::Private)),
        ("x.7F000001.nip.io", InsideName::Carries(Inside::Loopback)),
        ("--1.sslip.io", InsideName::Carries(Inside::Loopback)),
        ("fd00--1.sslip.io", InsideName::Carries(Inside::Private)),
        ("10.0.0.1.traefik.me", InsideName::Carries(Inside::Private)),
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
