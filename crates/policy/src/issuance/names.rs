//! The names to request.

use std::net::IpAddr;

/// A name that no public authority signs for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NamesError {
    /// An IP address.
    #[error("is an IP address")]
    Address,
    /// A name of one label, such as `localhost`.
    #[error("has no dot")]
    OneLabel,
    /// A name that is no host name, for example because of an underscore.
    #[error("is no host name")]
    Malformed,
}

/// The names to request for these virtual hosts, each once, and the hosts that get no certificate.
///
/// With `wildcard`, each host below `domain` is covered by a wildcard for the label before its first dot:
/// `docker-io.<domain>` by `*.<domain>`, `docker.io.<domain>` by `*.io.<domain>` (RFC 9525, section 6.3: a
/// wildcard stands for one label).
pub fn requested(
    hosts: &[String],
    domain: Option<&str>,
    wildcard: bool,
) -> (Vec<String>, Vec<(String, NamesError)>) {
    let (mut names, mut left_out) = (Vec::<String>::new(), Vec::new());
    for host in hosts {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        if let Err(error) = check(&host) {
            left_out.push((host, error));
            continue;
        }
        let parent = host.split_once('.').map(|(_, parent)| parent);
        let is_below = |parent: &&str| {
            domain.is_some_and(|domain| *parent == domain || parent.ends_with(&format!(".{domain}")))
        };
        let name = match parent.filter(|_| wildcard).filter(is_below) {
            Some(parent) => format!("*.{parent}"),
            None => host,
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    (names, left_out)
}

fn check(host: &str) -> Result<(), NamesError> {
    if host.parse::<IpAddr>().is_ok() {
        return Err(NamesError::Address);
    }
    if !host.contains('.') {
        return Err(NamesError::OneLabel);
    }
    let is_label = |label: &str| {
        let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '-';
        (1..=63).contains(&label.len())
            && label.chars().all(is_letter)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if host.len() <= 253 && host.split('.').all(is_label) { Ok(()) } else { Err(NamesError::Malformed) }
}
