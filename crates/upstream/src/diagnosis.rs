//! Describes why a request failed, for the operator: what happened and, behind a semicolon, what to do. The
//! libraries' messages name their own internals.

use std::error::Error as StdError;
use std::io;
use std::time::{Duration, SystemTime};

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError};
use url::Url;

use crate::error::causes;
use crate::location::host_of;
use crate::resolver::NameError;
use crate::tls::is_cause;

/// The most names of a foreign certificate in a message.
const NAME_COUNT_MAX: usize = 3;
/// The most bytes of each.
const NAME_BYTES_MAX: usize = 64;

/// The reader of a description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// May see the addresses and files of this machine.
    Operator,
    Client,
}

/// Describes a failed request to `url`, as the rest of a sentence about the host. `has_proxy` says that it
/// may have used a proxy.
pub(crate) fn describe(error: &reqwest::Error, url: &Url, has_proxy: bool, reader: Reader) -> String {
    if let Some(text) = known(error, url, reader) {
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

/// Describes the first cause of a known kind.
fn known(error: &reqwest::Error, url: &Url, reader: Reader) -> Option<String> {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(cause) = next {
        if let Some(name) = cause.downcast_ref::<NameError>() {
            let host = url.host_str().unwrap_or_default();
            return Some(match reader {
                Reader::Operator => name.in_words(host),
                Reader::Client => name.for_client(host),
            });
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

/// Returns the TLS error inside `error`, through any number of nested I/O errors: they hide it from `source`.
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
            "refused the TLS handshake ({}); check client_cert and client_key, which it seems to ask for",
            alert_in_words(*alert)
        ),
        rustls::Error::AlertReceived(alert) => {
            format!(
                "refused the TLS handshake ({}); check that this is the registry's address and port",
                alert_in_words(*alert)
            )
        }
        rustls::Error::PeerIncompatible(_) => {
            "speaks no version of TLS that is still safe; update it".to_owned()
        }
        rustls::Error::PeerMisbehaved(_) | rustls::Error::InappropriateMessage { .. } => {
            "does not keep to the rules of TLS; check what stands in between, and update the registry"
                .to_owned()
        }
        rustls::Error::NoCertificatesPresented => "shows no certificate; give it one".to_owned(),
        _ => "failed in the TLS handshake; check that this is the registry's address and port".to_owned(),
    }
}

/// Returns the alert's name from the RFC, with blanks: `certificate required`.
fn alert_in_words(alert: AlertDescription) -> String {
    let Some(name) = alert.as_str() else { return format!("alert {}", u8::from(alert)) };
    let mut words = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && words.ends_with(|before: char| before.is_ascii_lowercase()) {
            words.push(' ');
        }
        words.push(c);
    }
    let is_short_form = |word: &str| word.chars().all(|c| c.is_ascii_uppercase());
    let words = words.split(' ');
    let words = words.map(|word| if is_short_form(word) { word.to_owned() } else { word.to_lowercase() });
    words.collect::<Vec<_>>().join(" ")
}

/// Returns one sentence for every fault of a certificate. The libraries' messages show the names of their
/// values.
fn certificate_failure(error: &CertificateError) -> String {
    let is = |meant: fn(&webpki::Error) -> bool| is_cause(error, meant);
    match error {
        CertificateError::UnknownIssuer => {
            "has a certificate from an unknown authority; give that authority's certificate as ca_file"
                .to_owned()
        }
        CertificateError::ExpiredContext { not_after, .. } => format!(
            "has a certificate that expired on {}; renew it there; if that date is not past, check this machine's \
             clock",
            date(*not_after)
        ),
        CertificateError::Expired => {
            "has a certificate that expired; renew it there, or check this machine's clock".to_owned()
        }
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "has a certificate that is valid from {}; check this machine's clock, which says {}",
            date(*not_before),
            date(*time)
        ),
        CertificateError::NotValidYet => {
            "has a certificate that is not valid yet; check this machine's clock".to_owned()
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names: Vec<String> = presented.iter().take(NAME_COUNT_MAX).map(|name| shown(name)).collect();
            let more = if presented.len() > NAME_COUNT_MAX { ", ..." } else { "" };
            format!(
                "has a certificate for other names ({}{more}) and not for {}; correct the name in upstream",
                if names.is_empty() { "none".to_owned() } else { names.join(", ") },
                shown(&expected.to_str())
            )
        }
        CertificateError::NotValidForName => {
            "has a certificate for other names; correct the name in upstream".to_owned()
        }
        CertificateError::Revoked => "has a certificate that was revoked; renew it there".to_owned(),
        CertificateError::BadSignature => {
            "has a certificate whose signature is wrong; if ca_file names an authority of the same name, give the one \
             that signed it"
                .to_owned()
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "has a certificate that is not for servers; make one for server authentication".to_owned()
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => weak_signature(),
        // Some causes still use it.
        #[expect(deprecated, reason = "rustls sends it for what it knows no details of")]
        CertificateError::UnsupportedSignatureAlgorithm => weak_signature(),
        CertificateError::Other(_) if is(|it| matches!(it, webpki::Error::CaUsedAsEndEntity)) => {
            "has a certificate that is self-signed and marked as an authority; give it as ca_file, or make one that \
             is not marked so (CA:FALSE)"
                .to_owned()
        }
        CertificateError::Other(_) if is(|it| matches!(it, webpki::Error::UnsupportedCertVersion)) => {
            "has an old X.509 v1 certificate without names; make a v3 one with subjectAltName".to_owned()
        }
        CertificateError::BadEncoding => "has a damaged certificate; make a new one".to_owned(),
        _ => "has a certificate that cannot be used; make a new one, with subjectAltName, and see what \
              `openssl x509 -text` says of this one"
            .to_owned(),
    }
}

fn weak_signature() -> String {
    "has a certificate that is signed in a way that is not safe, such as with SHA-1 or a short key; make one that is \
     signed with SHA-256"
        .to_owned()
}

/// Prints a name from a certificate: bounded, and without terminal control characters.
fn shown(name: &str) -> String {
    // It comes as `DnsName("example.com")`.
    let name = name.split_once('"').map_or(name, |(_, rest)| rest.trim_end_matches(['"', ')']));
    let end = name.floor_char_boundary(NAME_BYTES_MAX);
    name[..end].chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// A day, such as `29 Nov 2026`.
fn date(time: UnixTime) -> String {
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(time.as_secs()));
    // The library cannot print years beyond four digits.
    let last = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    let text = httpdate::fmt_http_date(time.unwrap_or(last).min(last));
    text.get(5..16).unwrap_or(&text).to_owned()
}

/// Returns the URL's host with its port, even if it is the scheme's default: another scheme has another one.
fn with_port(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port_or_known_default() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

#[cfg(test)]
mod tests;
