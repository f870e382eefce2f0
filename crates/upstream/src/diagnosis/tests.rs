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
            "has a certificate that expired on 25 Oct 2025; renew it there; if that date is not past, check this \
             machine's clock",
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
            "refused the TLS handshake (certificate required); check client_cert and client_key, which it seems to \
             ask for",
        ),
    ] {
        assert_eq!(tls_failure(&error, &hub), expected);
    }
}

/// The libraries' texts show the names of their values, such as `Other(OtherError(UnsupportedCertVersion))`.
#[test]
fn newcomer_every_fault_of_a_certificate_is_a_sentence_that_says_what_to_do() {
    use rustls::OtherError;
    use rustls::pki_types::alg_id::RSA_PKCS1_SHA256;
    let other = |error: webpki::Error| CertificateError::Other(OtherError(std::sync::Arc::new(error)));
    let oid = || RSA_PKCS1_SHA256.as_ref().to_vec();
    for (error, expected) in [
        (CertificateError::Expired, "that expired; renew it there"),
        (CertificateError::NotValidYet, "not valid yet; check this machine's clock"),
        (CertificateError::Revoked, "was revoked; renew it there"),
        (CertificateError::BadSignature, "whose signature is wrong; "),
        (CertificateError::BadEncoding, "damaged certificate; make a new one"),
        (CertificateError::NotValidForName, "for other names; correct"),
        (CertificateError::InvalidPurpose, "not for servers; "),
        (CertificateError::UnhandledCriticalExtension, "that cannot be used; "),
        (CertificateError::ApplicationVerificationFailure, "that cannot be used; "),
        (
            CertificateError::UnsupportedSignatureAlgorithmContext {
                signature_algorithm_id: oid(),
                supported_algorithms: Vec::new(),
            },
            "signed in a way that is not safe, such as with SHA-1",
        ),
        (
            CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext {
                signature_algorithm_id: oid(),
                public_key_algorithm_id: oid(),
            },
            "signed in a way that is not safe, such as with SHA-1",
        ),
        (
            other(webpki::Error::CaUsedAsEndEntity),
            "is self-signed and marked as an authority; give it as ca_file, or",
        ),
        (
            other(webpki::Error::UnsupportedCertVersion),
            "has an old X.509 v1 certificate without names; make a v3 one with subjectAltName",
        ),
        (other(webpki::Error::PathLenConstraintViolated), "that cannot be used; "),
    ] {
        let name = format!("{error:?}");
        let said = tls_failure(&rustls::Error::InvalidCertificate(error), &url("https://registry.example"));
        assert!(said.contains(expected) && said.contains("; "), "{name}: {said}");
        let values = said.contains("Error") || said.contains("Context") || said.contains("Unsupported");
        assert!(!values && !said.contains(['(', '{', '[']) || said.contains("(CA:FALSE)"), "{name}: {said}");
    }
    for (alert, expected) in [
        (AlertDescription::UnknownCA, "(unknown CA); "),
        (AlertDescription::HandshakeFailure, "(handshake failure); "),
        (AlertDescription::Unknown(199), "(alert 199); "),
    ] {
        let said = tls_failure(&rustls::Error::AlertReceived(alert), &url("https://registry.example"));
        assert!(said.contains(expected), "{said}");
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
