use std::time::Duration;

use rustls::CertificateError;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use testkit::{Authority, Certificate};
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

use super::{Authorities, is_cause, trusted, verified};

#[test]
fn without_a_system_the_bundled_authorities_are_there() {
    let bundled = Authorities::with_system(Vec::new()).and(&[]).unwrap();
    assert_eq!(bundled.roots.len(), TLS_SERVER_ROOT_CERTS.len());
    assert!(bundled.roots.len() > 100);
}

#[test]
fn the_systems_and_the_operators_authorities_come_on_top() {
    let own = Authority::new().pem();
    let two = format!("{own}{}", Authority::new().pem()).into_bytes();
    let system = vec![TLS_SERVER_ROOT_CERTS[0].clone(), b"damaged".to_vec().into()];
    let shared = Authorities::with_system(system);
    let all = shared.and(&[own.into_bytes(), two]).unwrap();
    assert_eq!(all.roots.len(), TLS_SERVER_ROOT_CERTS.len() + 1 + 3);
    assert_eq!(
        shared.and(&[]).unwrap().roots.len(),
        TLS_SERVER_ROOT_CERTS.len() + 1,
        "other upstreams do not trust them"
    );
}

#[test]
fn only_http1_is_offered() {
    let roots = Authorities::with_system(Vec::new()).and(&[]).unwrap();
    for config in
        [verified(&roots), trusted(&roots, None, true).unwrap(), trusted(&roots, None, false).unwrap()]
    {
        assert_eq!(config.alpn_protocols, [b"http/1.1"]);
    }
}

/// `openssl req -x509` marks what it makes as an authority, and webpki lets no authority be a server.
#[test]
fn newcomer_a_self_signed_certificate_given_as_ca_file_stands_for_itself_and_nothing_else() {
    let (own, other) = (Authority::new(), Authority::new());
    let server = CertificateDer::from_pem_slice(own.pem().as_bytes()).unwrap();
    let verify = |ca: &[Vec<u8>], name: &str, now: UnixTime| {
        let trust = Authorities::with_system(Vec::new()).and(ca).unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        trust.verifier().verify_server_cert(&server, &[], &name, &[], now).map(|_| ())
    };
    let pinned = [own.pem().into_bytes()];
    let now = UnixTime::now();
    verify(&pinned, "localhost", now).unwrap();
    verify(&pinned, "127.0.0.1", now).unwrap();
    let failed = |error: Result<(), rustls::Error>| match error.unwrap_err() {
        rustls::Error::InvalidCertificate(error) => error,
        other => panic!("{other}"),
    };
    let wrong_name = failed(verify(&pinned, "elsewhere.example", now));
    assert!(matches!(wrong_name, CertificateError::NotValidForNameContext { .. }), "{wrong_name:?}");
    let late = UnixTime::since_unix_epoch(Duration::from_secs(200_000_000_000));
    let expired = failed(verify(&pinned, "localhost", late));
    assert!(matches!(expired, CertificateError::ExpiredContext { .. }), "{expired:?}");
    for ca in [&[][..], &[other.pem().into_bytes()]] {
        let foreign = failed(verify(ca, "localhost", now));
        assert!(is_cause(&foreign, |it| *it == webpki::Error::CaUsedAsEndEntity), "{foreign:?}");
    }
}

#[test]
fn newcomer_a_certificate_of_an_unknown_authority_is_believed_when_it_is_the_one_in_ca_file() {
    let pem = Authority::new().server_identity(Certificate::Valid).certificate_pem;
    let server = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let verify = |ca: &[Vec<u8>]| {
        let verifier = Authorities::with_system(Vec::new()).and(ca).unwrap().verifier();
        verifier.verify_server_cert(&server, &[], &name, &[], UnixTime::now()).map(|_| ())
    };
    verify(&[pem.clone().into_bytes()]).unwrap();
    assert_eq!(verify(&[]).unwrap_err(), CertificateError::UnknownIssuer.into());
}
