use certificates::Certificate;
use certificates::pair::PairError;

use super::*;

fn pair(certificate: Option<Certificate>) -> Pair {
    let files = PairFiles { certificate: "a.pem".into(), key: "a.key".into() };
    let fault = PairError::Unreadable { path: "a.key".into(), cause: "gone".to_owned() };
    Pair { files, certificate, fault: Some(fault) }
}

fn certificate() -> Certificate {
    let identity = rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]).unwrap();
    let (chain, key) = (identity.cert.pem(), identity.signing_key.serialize_pem());
    Certificate::from_pem("a.pem", chain.as_bytes(), key.as_bytes()).unwrap()
}

#[test]
fn a_waiting_pair_is_described_by_its_files_its_fault_and_what_clients_get() {
    let old = describe_waiting(&pair(Some(certificate())), None).unwrap();
    for words in
        ["a.pem", "a.key", "gone", "the certificate that wharf loaded before", "as soon as it matches"]
    {
        assert!(old.contains(words), "{words}: {old}");
    }
    let none = describe_waiting(&pair(None), None).unwrap();
    assert!(none.contains("wharf serves without it"), "{none}");
    let late = describe_waiting(&pair(Some(certificate())), Some(Duration::from_secs(305))).unwrap();
    assert!(late.contains("have not matched for 5 minutes"), "{late}");
    let matching = Pair { fault: None, ..pair(None) };
    assert_eq!(describe_waiting(&matching, None), None);
}
