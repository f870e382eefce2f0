use crate::authority::{Authority, PemPair};

use super::*;

const NOW: u64 = 1_800_000_000;

fn certificate(name: &str) -> Certificate {
    let made = Authority::make("test", &["example".to_owned()], NOW).unwrap();
    let PemPair { certificate, key } =
        Authority::open(&made, NOW).unwrap().sign(&[name.to_owned()], NOW).unwrap();
    Certificate::from_pem(name, certificate.as_bytes(), key.as_bytes()).unwrap()
}

#[test]
fn a_reload_keeps_what_was_obtained_and_a_renewal_keeps_what_is_configured() {
    let [file, other, first, second] = ["a.example", "b.example", "c.example", "d.example"].map(certificate);
    let shown = Certificates::new(CertificateSet::new(vec![file.clone()]));
    let names = || shown.current().all().iter().map(|it| it.source().to_owned()).collect::<Vec<_>>();
    assert!(shown.obtain(vec![first.clone()]));
    assert_eq!(names(), ["a.example", "c.example"], "the default is the configured one");
    assert!(shown.replace(CertificateSet::new(vec![other.clone()])));
    assert_eq!(names(), ["b.example", "c.example"]);
    assert!(!shown.replace(CertificateSet::new(vec![other])), "nothing changed");
    assert!(shown.obtain(vec![second]));
    assert_eq!(names(), ["b.example", "d.example"]);
    assert!(shown.obtain(Vec::new()));
    assert_eq!(names(), ["b.example"]);
}
