//! The certificate that each virtual host has, for `wharf check`.

use certificates::{Certificate, CertificateSet};

use policy::issuance;

use super::push_table;
use crate::config::Config;
use crate::obtaining;
use crate::virtual_hosts;

/// The table of virtual hosts with their certificates at `now`, in seconds since 1970. Empty without TLS.
pub(super) fn table(config: &Config, now: u64) -> String {
    let Some(tls) = &config.server.tls else { return String::new() };
    let mut rows = vec![["HOST", "CERTIFICATE", "VALID UNTIL"].map(str::to_owned)];
    for host in virtual_hosts::all(config) {
        let row = match best(&tls.certificates, &host, now) {
            Some(certificate) => [host, certificate.source().to_owned(), end(certificate, now)],
            None if obtaining::gives(config, &host) => {
                [host, "from the authority".to_owned(), "renewed by wharf".to_owned()]
            }
            None => [host, "-".to_owned(), "no certificate covers this name".to_owned()],
        };
        rows.push(row);
    }
    let mut text = String::new();
    if rows.len() > 1 {
        text.push('\n');
        push_table(&mut text, &rows);
    }
    text
}

/// The authority, and the names of each certificate to request. Empty without an authority.
pub(super) fn requests(config: &Config) -> String {
    let Some(acme) = &config.acme else { return String::new() };
    let (names, left_out) = obtaining::names(config, acme);
    let (directory, challenge) = (&acme.settings.directory, acme.settings.challenge.name());
    let mut text = format!("\ncertificates from {directory} by {challenge}:\n");
    for names in issuance::split(&names) {
        text.push_str(&format!("  {}\n", names.join("\n  ")));
    }
    for (host, why) in left_out {
        text.push_str(&format!("no certificate for {host}: it {why}\n"));
    }
    text
}

/// A line for each certificate that is not valid at `now`.
pub(super) fn warnings(config: &Config, now: u64) -> Vec<String> {
    let all = config.server.tls.iter().flat_map(|tls| tls.certificates.all());
    let invalid = all.filter(|it| it.validity().is_some_and(|validity| !validity.holds(now)));
    invalid.map(|it| format!("{}: the certificate is not valid: {}", it.source(), end(it, now))).collect()
}

/// The certificate for `host`, a valid one if there is one.
fn best<'s>(set: &'s CertificateSet, host: &str, now: u64) -> Option<&'s Certificate> {
    let covering = || set.all().iter().filter(|it| it.covers(host));
    let is_valid = |it: &&Certificate| it.validity().is_none_or(|validity| validity.holds(now));
    covering().find(is_valid).or_else(|| covering().next())
}

fn end(certificate: &Certificate, now: u64) -> String {
    match certificate.validity() {
        None => "unknown".to_owned(),
        Some(validity) if now < validity.begins => format!("not valid before {}", date(validity.begins)),
        Some(validity) if validity.ends < now => format!("expired {}", date(validity.ends)),
        Some(validity) => date(validity.ends),
    }
}

/// A day, as `2027-01-31`, from seconds since 1970.
pub(crate) fn date(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|it| time::OffsetDateTime::from_unix_timestamp(it).ok());
    time.map_or_else(|| "after the year 9999".to_owned(), |time| time.date().to_string())
}
