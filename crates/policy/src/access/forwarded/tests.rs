use proptest::prelude::*;

use super::*;

fn networks(texts: &[&str]) -> Vec<Network> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn the_first_address_from_the_right_that_is_no_proxy_is_the_client() {
    let trusted = networks(&["10.0.0.0/8", "fd00::/8"]);
    let unknown = "::";
    let table: [(&str, &[&str], &[&str], &str); 19] = [
        // An untrusted peer is never believed.
        ("192.0.2.1", &["10.0.0.9"], &["for=10.0.0.9"], "192.0.2.1"),
        ("10.0.0.1", &[], &[], "10.0.0.1"),
        ("10.0.0.1", &["198.51.100.7"], &[], "198.51.100.7"),
        ("::ffff:10.0.0.1", &["198.51.100.7"], &[], "198.51.100.7"),
        // The client's own text stands to the left.
        ("10.0.0.1", &["10.9.9.9, 198.51.100.7"], &[], "198.51.100.7"),
        ("10.0.0.1", &["10.9.9.9", "198.51.100.7"], &[], "198.51.100.7"),
        ("10.0.0.1", &["junk, 198.51.100.7, 10.0.0.2"], &[], "198.51.100.7"),
        ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], &[], "10.0.0.3"),
        ("10.0.0.1", &["198.51.100.7:4711"], &[], "198.51.100.7"),
        ("10.0.0.1", &["[2001:db8::7]:4711"], &[], "2001:db8::7"),
        ("10.0.0.1", &["2001:db8::7"], &[], "2001:db8::7"),
        // A proxy that hides its client says so; the address of the proxy must not stand in for it.
        ("10.0.0.1", &["unknown"], &[], unknown),
        ("10.0.0.1", &[""], &[], unknown),
        ("10.0.0.1", &[], &["for=198.51.100.7;proto=https"], "198.51.100.7"),
        ("10.0.0.1", &[], &["For=\"[2001:db8::7]:4711\""], "2001:db8::7"),
        ("10.0.0.1", &[], &["for=_hidden"], unknown),
        ("10.0.0.1", &[], &["proto=https"], unknown),
        // A proxy that writes one header may hand on a forgery of the other.
        ("10.0.0.1", &["198.51.100.7"], &["for=10.0.0.9"], unknown),
        ("10.0.0.1", &["198.51.100.7"], &["for=198.51.100.7"], "198.51.100.7"),
    ];
    for (peer, listed, forwarded, expected) in table {
        let headers = Forwarding {
            x_forwarded_for: listed.iter().map(|text| text.as_bytes()).collect(),
            forwarded: forwarded.iter().map(|text| text.as_bytes()).collect(),
        };
        let found = client_address(address(peer), &trusted, &headers);
        assert_eq!(found, address(expected), "{peer} {listed:?} {forwarded:?}");
    }
}

proptest! {
    /// Whatever a client writes, the address that the proxy appends decides.
    #[test]
    fn a_client_behind_a_proxy_cannot_choose_its_address(
        own in proptest::collection::vec(".{0,40}", 0..4),
        other in proptest::collection::vec(".{0,40}", 0..4),
        real in any::<u32>(),
        is_listed in any::<bool>(),
    ) {
        let trusted = networks(&["10.0.0.0/8"]);
        let real = IpAddr::from(real.to_be_bytes());
        prop_assume!(!contains(&trusted, real));
        let appended = if is_listed { real.to_string() } else { format!("for={real}") };
        let mut written: Vec<&[u8]> = own.iter().map(|text| text.as_bytes()).collect();
        written.push(appended.as_bytes());
        let forged: Vec<&[u8]> = other.iter().map(|text| text.as_bytes()).collect();
        let headers = if is_listed {
            Forwarding { x_forwarded_for: written, forwarded: forged }
        } else {
            Forwarding { x_forwarded_for: forged, forwarded: written }
        };
        let found = client_address(address("10.0.0.1"), &trusted, &headers);
        prop_assert!(found == real || found == UNKNOWN, "{found}");
    }
}
