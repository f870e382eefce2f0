//! Describes why a request came to nothing, for the person who has to do something about it: what happened and, behind
//! a semicolon, what to do, where that follows from it. The libraries' own texts name their own parts.

use std::error::Error as StdError;
use std::io;
use std::time::{Duration, SystemTime};

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError};
use url::Url;

use crate::error::causes;
use crate::resolver::NameError;
use crate::transport::host_of;

/// So many names of a foreign certificate are shown.
const NAME_COUNT_MAX: usize = 3;
/// And so much of each, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// What went wrong with a request to `url`, as it goes on from the host's name. `has_proxy`: it may have gone through
/// a proxy.
pub(crate) fn describe(error: &reqwest::Error, url: &Url, has_proxy: bool) -> String {
    if let Some(text) = known(error, url) {
        return text;
    }
    let cause = causes(error);
    let proxy = if has_proxy { " (a proxy is set)" } else { "" };
    if error.is_connect() {
        if cause.contains("tunnel") {
            return format!("could not be reached: the proxy did not let us through ({cause}); check proxy");
        }
        return format!("could not be reached{proxy}: {cause}");
    }
    let advice = match url.scheme() {
        "http" => format!("; if it speaks TLS, write upstream = \"https://{}\"", host_of(url)),
        _ => String::new(),
    };
    format!("broke the connection{proxy}: {cause}{advice}")
}

/// The first cause that is of a known kind.
fn known(error: &reqwest::Error, url: &Url) -> Option<String> {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(cause) = next {
        if let Some(name) = cause.downcast_ref::<NameError>() {
            return Some(name.in_words(url.host_str().unwrap_or_default()));
        }
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            return Some(tls_failure(tls, url));
        }
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            if let Some(tls) = tls_inside(io) {
                return Some(tls_failure(tls, url));
            }
            if error.is_connect()
                && let Some(text) = connect_failure(io, url)
            {
                return Some(text);
            }
        }
        next = cause.source();
    }
    None
}

/// The TLS error that `error` wraps, through as many of its kind as there are: they hide it from `source`.
fn tls_inside(error: &io::Error) -> Option<&rustls::Error> {
    let inner = error.get_ref()?;
    inner.downcast_ref().or_else(|| tls_inside(inner.downcast_ref()?))
}

fn connect_failure(error: &io::Error, url: &Url) -> Option<String> {
    let port = url.port_or_known_default().unwrap_or_default();
    Some(match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            format!(
                "could not be reached: nothing listens on port {port} there; check the address and the port"
            )
        }
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            "could not be reached: there is no way to its address; check this machine's network".to_owned()
        }
        io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof if url.scheme() == "https" => format!(
            "broke off the TLS handshake; if it is plain HTTP, write upstream = \"http://{}\"",
            with_port(url)
        ),
        _ => return None,
    })
}

fn tls_failure(error: &rustls::Error, url: &Url) -> String {
    match error {
        rustls::Error::InvalidMessage(_) => {
            format!("does not speak TLS; if it is plain HTTP, write upstream = \"http://{}\"", with_port(url))
        }
        rustls::Error::InvalidCertificate(error) => certificate_failure(error),
        rustls::Error::AlertReceived(
            alert @ (AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::CertificateUnknown),
        ) => format!(
            "refused the TLS handshake ({alert:?}); check client_cert and client_key, which it seems to ask for"
        ),
        rustls::Error::AlertReceived(alert) => {
            format!(
                "refused the TLS handshake ({alert:?}); check that this is the registry's address and port"
            )
        }
        rustls::Error::PeerIncompatible(_) => {
            "speaks no version of TLS that is still safe; update it".to_owned()
        }
        other => format!("failed in the TLS handshake: {other}"),
    }
}

fn certificate_failure(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer => {
            "has a certificate from an unknown authority; give that authority's certificate as ca_file"
                .to_owned()
        }
        CertificateError::ExpiredContext { time, not_after } => format!(
            "has a certificate that ended on {}; renew it, or check this machine's clock, which says {}",
            date(*not_after),
            date(*time)
        ),
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "has a certificate that is valid from {}; check this machine's clock, which says {}",
            date(*not_before),
            date(*time)
        ),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names: Vec<String> = presented.iter().take(NAME_COUNT_MAX).map(|name| shown(name)).collect();
            let more = if presented.len() > NAME_COUNT_MAX { ", ..." } else { "" };
            format!(
                "has a certificate for other names ({}{more}) and not for {}; correct the name in upstream",
                if names.is_empty() { "none".to_owned() } else { names.join(", ") },
                shown(&expected.to_str())
            )
        }
        CertificateError::Revoked => "has a certificate that was revoked; renew it".to_owned(),
        other => format!("has a certificate that cannot be accepted: {other}"),
    }
}

/// A name from a certificate: bounded, and without characters that act on a terminal.
fn shown(name: &str) -> String {
    // It comes as `DnsName("example.com")`.
    let name = name.split_once('"').map_or(name, |(_, rest)| rest.trim_end_matches(['"', ')']));
    let end = name.floor_char_boundary(NAME_BYTES_MAX);
    name[..end].chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// A day, such as `29 Nov 2026`.
fn date(time: UnixTime) -> String {
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(time.as_secs()));
    // The library has no words for years beyond four digits.
    let last = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    let text = httpdate::fmt_http_date(time.unwrap_or(last).min(last));
    text.get(5..16).unwrap_or(&text).to_owned()
}

/// The URL's host with its port, be it the scheme's own or not: under another scheme it would be another one.
fn with_port(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port_or_known_default() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

#[cfg(test)]
mod tests;
