//! Whom the upstream must be, and who we are to it.

use std::time::{Duration, Instant};

use testkit::{Authority, Behaviour, Certificate, Door, Endpoint, FakeRegistry, Tls};
use upstream::{BlobRange, ErrorKind, Settings};

use crate::rig::{Rig, bytes, read};

async fn rig(tls: Tls, change: impl FnOnce(&mut Settings, &Authority)) -> Rig {
    let registry = FakeRegistry::start_tls(Behaviour::default(), tls).await;
    let mut settings = crate::rig::settings(&registry);
    change(&mut settings, registry.authority().unwrap());
    Rig::before(registry, |own| *own = settings)
}

fn believe(settings: &mut Settings, authority: &Authority) {
    settings.ca = vec![authority.pem().into_bytes()];
}

#[tokio::test]
async fn f19_an_authority_of_the_operators_is_believed_everywhere() {
    let rig = rig(Tls::default(), believe).await;
    let digest = rig.registry.put_blob(bytes(100));
    assert_eq!(read(rig.blob(&digest, BlobRange::Whole).await.unwrap()).await.0, bytes(100));
}

/// `openssl req -x509` makes a certificate that is marked as an authority.
#[tokio::test]
async fn newcomer_a_self_signed_certificate_is_usable_as_ca_file_and_says_so_without() {
    let tls = Tls { certificate: Certificate::SelfSigned, ..Tls::default() };
    let with = rig(tls, believe).await;
    with.put_manifest();
    with.get("latest").await.unwrap();
    let without = rig(tls, |_, _| {}).await;
    without.put_manifest();
    let said = without.get("latest").await.unwrap_err().to_string();
    assert!(said.contains("self-signed and marked as an authority; give it as ca_file, or"), "{said}");
}

#[tokio::test]
async fn f19_certificates_that_do_not_hold_are_refused_without_a_plaintext_attempt() {
    let cases = [(Certificate::Valid, false), (Certificate::Expired, true), (Certificate::WrongName, true)];
    for (certificate, is_believed) in cases {
        let tls = Tls { certificate, ..Tls::default() };
        let rig = rig(tls, |settings, authority| {
            if is_believed {
                believe(settings, authority);
            }
        })
        .await;
        rig.put_manifest();
        let error = rig.get("latest").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreachable, "{certificate:?}: {error}");
        assert!(error.to_string().contains("certificate"), "{error}");
        assert!(rig.registry.requests().is_empty(), "{certificate:?}");
    }
}

#[tokio::test]
async fn f19_a_handshake_that_stalls_is_timed_out() {
    let rig = rig(Tls::default(), |settings, authority| {
        believe(settings, authority);
        settings.connect_timeout = Duration::from_millis(300);
    })
    .await;
    rig.registry.set_door(Endpoint::Registry, Door::Mute).await;
    let started = Instant::now();
    let error = rig.get("latest").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn any_certificate_will_do_where_the_operator_says_so() {
    for certificate in [Certificate::Valid, Certificate::Expired, Certificate::WrongName] {
        let tls = Tls { certificate, ..Tls::default() };
        let rig = rig(tls, |settings, _| settings.insecure_skip_verify = true).await;
        rig.put_manifest();
        rig.get("latest").await.unwrap();
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_those_who_ask() {
    let tls = Tls { client_certificate: true, ..Tls::default() };
    let with = rig(tls, |settings, authority| {
        believe(settings, authority);
        let identity = authority.client_identity();
        let pem = format!("{}{}", identity.certificate_pem, identity.key_pem);
        settings.client_identity = Some(pem.into_bytes().into());
    })
    .await;
    with.put_manifest();
    with.get("latest").await.unwrap();
    let without = rig(tls, believe).await;
    without.put_manifest();
    assert_eq!(without.get("latest").await.unwrap_err().kind(), ErrorKind::Unreachable);
}
