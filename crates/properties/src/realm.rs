//! The token realms that may see credentials, and the addresses to which foreign text may lead.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use policy::address;
use policy::realm::{RealmPlan, TrustedHost, UpstreamScope};
use url::Url;

use crate::split_line;

/// Upstreams, each with its host and its owner's domain.
const UPSTREAMS: [(&str, &str, u16, Option<&str>); 4] = [
    ("https://registry-1.docker.io", "registry-1.docker.io", 443, Some("docker.io")),
    ("https://registry.corp.lan:5000", "registry.corp.lan", 5000, None),
    ("http://10.0.0.5:5000", "10.0.0.5", 5000, None),
    ("https://registry.github.io", "registry.github.io", 443, Some("registry.github.io")),
];

/// Checks that credentials are sent only to the upstream, its owner and the operator's trusted hosts. The
/// input is a list of trusted hosts separated by spaces, a line end, and a realm; 16 bytes of it are also
/// read as an address.
pub fn check(input: &[u8]) {
    if let Some(bytes) = input.first_chunk::<16>() {
        check_address(Ipv6Addr::from(*bytes).into());
        check_address(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]).into());
    }
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (listed, realm) = split_line(text);
    let trusted: Vec<TrustedHost> = listed.split(' ').take(4).filter_map(parse_trusted).collect();
    for (upstream, host, port, domain) in UPSTREAMS {
        let upstream = Url::parse(upstream).expect("a URL");
        let territory = UpstreamScope::new(upstream.clone(), trusted.clone());
        // No token is fetched with credentials for an untrusted host.
        let stranger = Url::parse("https://stranger.example").expect("a URL");
        let is_listed = territory.may_see_credentials(&stranger);
        assert!(is_listed || !matches!(territory.plan_realm_for(&stranger, realm), RealmPlan::Trusted(_)));
        let (url, is_trusted) = match territory.plan_realm_for(&upstream, realm) {
            RealmPlan::Trusted(url) => (url, true),
            RealmPlan::Anonymous(url) => (url, false),
            RealmPlan::Refused(_) => continue,
        };
        assert!(url.username().is_empty() && url.password().is_none());
        assert!(url.scheme() == "https" || (url.scheme() == "http" && upstream.scheme() == "http"));
        assert_eq!(Url::parse(url.as_str()).as_ref(), Ok(&url), "another reading leads elsewhere");
        let written = url.host_str().expect("http has a host");
        let asked = written.trim_end_matches('.');
        let is_home = asked == host && url.port_or_known_default() == Some(port);
        let is_below =
            |domain: &str| asked.strip_suffix(domain).is_some_and(|it| it.is_empty() || it.ends_with('.'));
        let is_owners = url.scheme() == "https" && domain.is_some_and(is_below);
        let is_listed = trusted.iter().any(|trusted| is_spelled(trusted, asked, &url));
        let may_be = is_home || is_owners || is_listed;
        assert!(!is_trusted || may_be, "{url} is trusted by {upstream}");
        // A name with an empty label has no owner.
        assert!(is_trusted || !may_be || written.contains(".."), "{url} is not trusted by {upstream}");
    }
}

fn parse_trusted(text: &str) -> Option<TrustedHost> {
    let trusted = text.parse::<TrustedHost>().ok()?;
    assert_eq!(trusted.to_string().parse(), Ok(trusted.clone()));
    Some(trusted)
}

/// Whether the text of a trusted host is the host and the port of the URL.
fn is_spelled(trusted: &TrustedHost, asked: &str, url: &Url) -> bool {
    let text = trusted.to_string();
    let default = if url.scheme() == "https" { 443 } else { 80 };
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()),
        _ => (&*text, Some(default)),
    };
    host.trim_end_matches('.') == asked && port == url.port_or_known_default()
}

/// No admitted address is internal by a definition of the standard library.
fn check_address(address: IpAddr) {
    if address::check(address).is_err() {
        return;
    }
    assert!(!address.is_loopback() && !address.is_unspecified() && !address.is_multicast(), "{address}");
    match address {
        IpAddr::V4(v4) => {
            let is_inside =
                v4.is_private() || v4.is_link_local() || v4.is_broadcast() || v4.is_documentation();
            assert!(!is_inside, "{v4}");
        }
        IpAddr::V6(v6) => {
            assert!(!v6.is_unique_local() && !v6.is_unicast_link_local(), "{v6}");
            let carried = v6.to_ipv4().map_or(Ok(()), |v4| address::check(v4.into()));
            assert_eq!(carried, Ok(()), "{v6} carries what may not be reached");
        }
    }
}
