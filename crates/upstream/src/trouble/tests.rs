use rustls::InvalidMessage;
use rustls::pki_types::ServerName;

use super::*;

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

#[test]
fn each_failure_of_tls_says_what_to_do() {
    let hub = url("https://10.0.0.9:5055");
    let certificate = |error| rustls::Error::InvalidCertificate(error);
    for (error, expected) in [
        (
            rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType),
            "does not speak TLS; if it is plain HTTP, write upstream = \"http://10.0.0.9:5055\"",
        ),
        (
            certificate(CertificateError::UnknownIssuer),
            "has a certificate from an unknown authority; give that authority's certificate as ca_file",
        ),
        (
            certificate(CertificateError::NotValidYetContext {
                time: at(1_761_407_332),
                not_before: at(1_795_966_813),
            }),
            "has a certificate that is valid from 29 Nov 2026; check this machine's clock, which says 25 Oct 2025",
        ),
        (
            certificate(CertificateError::ExpiredContext {
                time: at(1_795_966_813),
                not_after: at(1_761_407_332),
            }),
            "has a certificate that ended on 25 Oct 2025; renew it, or check this machine's clock, which says \
             29 Nov 2026",
        ),
        (
            certificate(CertificateError::NotValidForNameContext {
                expected: ServerName::try_from("registry.example").unwrap(),
                presented: vec![
                    "DnsName(\"other.example\")".to_owned(),
                    "DnsName(\"a\u{1b}[31m\")".to_owned(),
                ],
            }),
            "has a certificate for other names (other.example, a?[31m) and not for registry.example; correct the \
             name in upstream",
        ),
        (
            rustls::Error::AlertReceived(AlertDescription::CertificateRequired),
            "refused the TLS handshake (CertificateRequired); check client_cert and client_key, which it seems to \
             ask for",
        ),
    ] {
        assert_eq!(tls_failure(&error, &hub), expected);
    }
}

#[test]
fn a_scheme_s_own_port_is_written_out_for_another_scheme() {
    let error = rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType);
    let said = tls_failure(&error, &url("https://registry.example"));
    assert!(said.ends_with("upstream = \"http://registry.example:443\""), "{said}");
}

#[test]
fn a_connection_that_failed_says_what_to_look_at() {
    let hub = url("https://registry.example:5055");
    for (kind, expected) in [
        (
            io::ErrorKind::ConnectionRefused,
            "nothing listens on port 5055 there; check the address and the port",
        ),
        (io::ErrorKind::NetworkUnreachable, "there is no way to its address; check this machine's network"),
        (
            io::ErrorKind::ConnectionReset,
            "if it is plain HTTP, write upstream = \"http://registry.example:5055\"",
        ),
    ] {
        let said = connect_failure(&io::Error::from(kind), &hub).unwrap();
        assert!(said.ends_with(expected), "{said}");
    }
    assert_eq!(connect_failure(&io::Error::from(io::ErrorKind::Other), &hub), None);
}

#[test]
fn a_day_is_a_day_however_late() {
    assert_eq!(date(at(0)), "01 Jan 1970");
    assert_eq!(date(at(u64::MAX)), "31 Dec 9999");
}
