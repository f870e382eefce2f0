use super::*;

const DIGEST: [u8; 32] = [7; 32];

#[test]
fn an_answer_is_given_only_while_its_challenge_is_pending() {
    let challenges = Arc::new(Challenges::default());
    assert_eq!(challenges.http_answer("/.well-known/acme-challenge/one"), None);
    let one = challenges.offer_http("one", "one.thumbprint");
    let two = challenges.offer_http("two", "two.thumbprint");
    assert_eq!(challenges.http_answer("/.well-known/acme-challenge/one").unwrap(), "one.thumbprint");
    for other in ["/.well-known/acme-challenge/", "/.well-known/acme-challenge/three", "/one", "one", ""] {
        assert_eq!(challenges.http_answer(other), None, "{other}");
    }
    drop(one);
    assert_eq!(challenges.http_answer("/.well-known/acme-challenge/one"), None);
    assert_eq!(challenges.http_answer("/.well-known/acme-challenge/two").unwrap(), "two.thumbprint");
    drop(two);
    assert_eq!(challenges.http_answer("/.well-known/acme-challenge/two"), None);
}

#[test]
fn a_handshake_challenge_is_pending_until_its_offer_is_dropped() {
    let challenges = Arc::new(Challenges::default());
    let offer = challenges.offer_tls("A.Example", &DIGEST).unwrap();
    assert!(challenges.has_tls() && challenges.tls.read().contains_key("a.example"));
    drop(offer);
    assert!(!challenges.has_tls() && challenges.tls.read().is_empty());
}
