//! The target of a redirect.

use policy::address;
use url::{Host, Url};

use crate::split_line;

/// Checks that a redirect leads to HTTP or HTTPS, never from HTTPS to HTTP, and that credentials are sent
/// only to the same origin. The input is a URL of an upstream, a line end, and a `Location`.
pub fn check(input: &[u8]) {
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (current, location) = (&input[..end], input.get(end + 1..).unwrap_or_default());
    let current = std::str::from_utf8(current).ok().and_then(|text| Url::parse(split_line(text).0).ok());
    let Some(current) = current.filter(|url| matches!(url.scheme(), "http" | "https")) else { return };
    let Ok((next, is_home)) = upstream::fuzzing::follow_location(&current, location) else { return };
    assert!(matches!(next.scheme(), "http" | "https"));
    assert!(current.scheme() == "http" || next.scheme() == "https", "{next} is a downgrade");
    assert!(next.username().is_empty() && next.password().is_none() && next.fragment().is_none());
    let host = next.host_str().expect("http has a host");
    assert!(!host.is_empty());
    assert_eq!(Url::parse(next.as_str()).as_ref(), Ok(&next), "another reading leads elsewhere");
    // The dot of the root is no part of the name.
    let origin = |url: &Url| {
        let host = url.host_str().expect("http has a host");
        (
            url.scheme().to_owned(),
            host.strip_suffix('.').unwrap_or(host).to_owned(),
            url.port_or_known_default(),
        )
    };
    assert_eq!(is_home, origin(&current) == origin(&next));
    // An address in the URL is checked like that of a socket.
    let address = match next.host() {
        Some(Host::Ipv4(address)) => address.into(),
        Some(Host::Ipv6(address)) => address.into(),
        _ => return,
    };
    let host = next.host().expect("it has one");
    assert_eq!(address::check_host(&host), address::check(address));
}
