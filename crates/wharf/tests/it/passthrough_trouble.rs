//! `auth = "passthrough"` while the token service is hostile.

use testkit::{Credential, Endpoint, FakeRegistry, Fault, Kind, Rule};

use crate::passthrough::{PASSTHROUGH, alice, bearer, fake, get, login, manifest, start};
use crate::program::{Program, configuration};

/// A wharf that trusts no host beside the registry's own.
fn start_without_trust(fake: &FakeRegistry) -> Program {
    let upstream = fake.url();
    let registry = format!("[[registry]]\nname = \"fake.test\"\nupstream = {upstream:?}\n{PASSTHROUGH}");
    Program::start(&configuration(&registry))
}

/// Whether a host of this registry saw a password of a client.
fn has_seen_a_password(fake: &FakeRegistry) -> bool {
    let is_login = |credential: &Credential| matches!(credential, Credential::Basic { .. });
    [Endpoint::Registry, Endpoint::Token, Endpoint::Cdn]
        .into_iter()
        .any(|endpoint| fake.log().credentials(endpoint).iter().any(is_login))
}

#[tokio::test(flavor = "multi_thread")]
async fn s01_with_passthrough_a_hostile_token_service_gets_one_login_and_gives_nothing_away() {
    let elsewhere = FakeRegistry::start().await;
    let away = format!("{}/token", elsewhere.url_of(Endpoint::Token));
    let faults = [
        ("a page", Fault::HtmlPortal),
        ("a failure", Fault::Status(500)),
        ("half a document", Fault::Body("{\"token\":".into())),
        ("no token", Fault::Body("{}".into())),
        ("a token with a line break", Fault::Body("{\"token\":\"a\\r\\nX: b\"}".into())),
        ("a token without end", Fault::Body(format!("{{\"token\":\"{}\"}}", "x".repeat(1 << 20)).into())),
        ("a redirect", Fault::RedirectTo(away)),
        ("no HTTP", Fault::Raw("canary?\r\n\r\n".into())),
    ];
    for (what, fault) in faults {
        let fake = fake(bearer()).await;
        fake.script(Rule::new(Kind::Token, fault).before_auth());
        let program = start(&fake, "");
        for target in [manifest("team/alice"), "/v2/".to_owned()] {
            let answer = get(&program, &target, alice().as_deref()).await;
            assert!([502, 503, 504].contains(&answer.status), "{what}: {} {}", answer.status, answer.text());
            assert!(!answer.text().contains("canary"), "{what}: {}", answer.text());
        }
        assert!(!program.log().contains("canary"), "{what}: {}", program.log());
    }
    assert!(!has_seen_a_password(&elsewhere));
}

/// A login that goes nowhere cannot be right, so `docker login` must not say that it has succeeded.
#[tokio::test(flavor = "multi_thread")]
async fn s01_with_passthrough_a_login_that_may_not_go_to_the_realm_is_not_said_to_be_right() {
    let elsewhere = FakeRegistry::start().await;
    for is_elsewhere in [false, true] {
        let fake = fake(bearer()).await;
        let host = if is_elsewhere { &elsewhere } else { &fake }.host_of(Endpoint::Token);
        let realm = is_elsewhere.then(|| format!("http://{host}/token"));
        fake.change(|behaviour| behaviour.realm.clone_from(&realm));
        let program = start_without_trust(&fake);
        for login in [alice(), Some(login("alice", "canary-wrong"))] {
            let answer = get(&program, "/v2/", login.as_deref()).await;
            assert_eq!(answer.status, 502, "{realm:?}: {}", answer.text());
            assert!(answer.text().contains(&host), "{realm:?}: {}", answer.text());
            let pulled = get(&program, &manifest("team/alice"), login.as_deref()).await;
            assert!(pulled.status >= 400, "{realm:?}: {}", pulled.text());
        }
        assert!(!has_seen_a_password(&elsewhere), "{realm:?}");
        let at_token_service = fake.log().credentials(Endpoint::Token);
        assert!(at_token_service.is_empty(), "{realm:?}: {at_token_service:?}");
    }
}
