//! `auth = "passthrough"` while the token service is down, slow or hostile, while a password changes, and
//! offline.

use testkit::client::{self, Response};
use testkit::{Auth, Credential, Door, Endpoint, FakeRegistry, Fault, Gate, Image, Kind, Rule, within};

use crate::passthrough::{PASSTHROUGH, alice, bearer, bob, fake, get, login, manifest, start};
use crate::program::{Program, configuration, run};

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

/// A token lives on when its login has ended, and wharf keeps it as long as it lives.
#[tokio::test(flavor = "multi_thread")]
async fn s16_with_passthrough_a_changed_password_ends_the_old_login_within_auth_ttl() {
    for auth in [bearer(), Auth::basic("nobody", "canary-nobody")] {
        let fake = fake(auth).await;
        let blob = fake.put_blob_in("team/alice", b"of alice".to_vec());
        let program = start(&fake, "auth_ttl = \"0s\"\n");
        let targets = [
            manifest("team/alice"),
            format!("/v2/team/alice/manifests/{}", Image::small("team/alice").digest()),
            format!("/v2/team/alice/blobs/{blob}"),
            "/v2/team/alice/tags/list".to_owned(),
        ];
        for target in &targets {
            assert_eq!(get(&program, target, alice().as_deref()).await.status, 200, "{target}");
        }
        fake.change(|behaviour| behaviour.accounts[0].password = "canary-new".to_owned());
        let new = login("alice", "canary-new");
        for target in &targets {
            let refused = get(&program, target, alice().as_deref()).await;
            assert_eq!(refused.status, 403, "{target}: {}", refused.text());
            assert_eq!(get(&program, target, Some(&new)).await.status, 200, "{target}");
        }
        assert_eq!(get(&program, "/v2/", alice().as_deref()).await.status, 401);
        assert_eq!(get(&program, "/v2/", Some(&new)).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f11_with_passthrough_a_token_service_that_is_down_is_an_outage_and_no_refusal() {
    let fake = fake(bearer()).await;
    let program = start(&fake, "");
    assert_eq!(get(&program, &manifest("team/both"), alice().as_deref()).await.status, 200);
    fake.set_door(Endpoint::Token, Door::Refuse).await;
    let known = get(&program, &manifest("team/both"), alice().as_deref()).await;
    assert_eq!(known.status, 200, "its rights and its token are known: {}", known.text());
    for login in [bob(), Some(login("alice", "canary-wrong")), None] {
        let answer = get(&program, &manifest("team/both"), login.as_deref()).await;
        assert_eq!(answer.status, 502, "{login:?}: {}", answer.text());
    }
    fake.set_door(Endpoint::Token, Door::Open).await;
    for (login, status) in [(bob(), 200), (Some(login("alice", "canary-wrong")), 403)] {
        let answered = async {
            loop {
                // Until wharf's own probe has found the token service, it gets no request.
                let answer = get(&program, &manifest("team/both"), login.as_deref()).await;
                if answer.status != 502 {
                    return answer;
                }
            }
        };
        let answer = within("an answer", answered).await;
        assert_eq!(answer.status, status, "{}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f11_with_passthrough_a_slow_token_service_delays_new_logins_alone() {
    let fake = fake(bearer()).await;
    let program = start(&fake, "header_timeout = \"2s\"\n");
    assert_eq!(get(&program, &manifest("team/both"), alice().as_deref()).await.status, 200);
    let gate = Gate::new();
    fake.script(Rule::new(Kind::Token, Fault::Stall(gate.clone())).before_auth());
    let (target, bob) = (manifest("team/both"), bob());
    let waiting = get(&program, &target, bob.as_deref());
    let others = async {
        let mut answers = Vec::new();
        for _ in 0..5 {
            answers.push(get(&program, &manifest("team/both"), alice().as_deref()).await.status);
        }
        answers
    };
    tokio::pin!(waiting);
    tokio::select! {
        biased;
        slow = &mut waiting => panic!("the token service does not answer: {}", slow.status),
        answers = others => assert_eq!(answers, [200; 5]),
    }
    let slow = within("the end of the wait", waiting).await;
    assert!([502, 504].contains(&slow.status), "{}: {}", slow.status, slow.text());
    gate.release();
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

#[tokio::test(flavor = "multi_thread")]
async fn f11_with_passthrough_a_registry_that_is_down_costs_the_token_service_no_request_each_time() {
    let fake = fake(bearer()).await;
    let program = start(&fake, "auth_ttl = \"0s\"\n");
    assert_eq!(get(&program, &manifest("team/both"), alice().as_deref()).await.status, 200);
    fake.set_door(Endpoint::Registry, Door::Refuse).await;
    fake.log().clear();
    for _ in 0..10 {
        let answer = get(&program, &manifest("team/both"), alice().as_deref()).await;
        assert_eq!(answer.status, 502, "{}", answer.text());
    }
    let tokens = fake.count(Kind::Token);
    assert!(tokens <= 3, "{tokens} tokens");
}

fn switch(program: &Program, state: &str) {
    let url = format!("http://{}", program.admin);
    assert_eq!(run(program.directory.path(), &["offline", state, "--url", &url]).0, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn s16_with_passthrough_offline_serves_what_the_login_was_granted_within_auth_ttl() {
    for (ttl, status) in [("1h", 200), ("0s", 403)] {
        let fake = fake(bearer()).await;
        let program = start(&fake, &format!("auth_ttl = \"{ttl}\"\n"));
        let target = manifest("team/both");
        assert_eq!(get(&program, &target, alice().as_deref()).await.status, 200);
        switch(&program, "on");
        let requests = fake.requests().len();
        let own = get(&program, &target, alice().as_deref()).await;
        assert_eq!(own.status, status, "{ttl}: {}", own.text());
        if status == 403 {
            let text = own.text();
            assert!(text.contains("wharf is offline and has not lately asked for it"), "{text}");
        }
        for login in [bob(), Some(login("alice", "canary-wrong")), None] {
            let other = get(&program, &target, login.as_deref()).await;
            assert!([401, 403].contains(&other.status), "{ttl} {login:?}: {}", other.text());
        }
        let at_login: Response = get(&program, "/v2/", alice().as_deref()).await;
        assert_eq!(at_login.status, 502, "nobody says whether it is right: {}", at_login.text());
        assert_eq!(fake.requests().len(), requests, "no request leaves");
        switch(&program, "default");
        assert_eq!(get(&program, &target, bob().as_deref()).await.status, 200);
    }
}

/// Clients that go through two proxies may carry two logins.
#[tokio::test(flavor = "multi_thread")]
async fn s14_with_passthrough_a_request_with_two_logins_is_refused() {
    let fake = fake(bearer()).await;
    let program = start(&fake, "");
    let (alice, bob) = (alice().unwrap(), bob().unwrap());
    for pair in [[&alice, &bob], [&alice, &alice]] {
        let headers = pair.map(|login| ("Authorization", login.as_str()));
        let target = manifest("team/both");
        let asked = client::get(program.address, "fake.test.localhost", &target, &headers);
        assert_eq!(within("a refusal", asked).await.unwrap().status, 401);
    }
    assert!(fake.requests().is_empty(), "wharf does not guess which of the two counts");
}
