//! `auth = "passthrough"`: the client's own login decides at the upstream what the client may read.

use std::fs;
use std::sync::Arc;

use testkit::client::{self, Response};
use testkit::{Account, Auth, Behaviour, Credential, Door, Endpoint, FakeRegistry, Image, Kind};

use crate::program::{Program, configuration, registry};
use crate::who_may_pull::files_below;

pub(crate) const PASSTHROUGH: &str = "auth = \"passthrough\"\n";
/// The attempts that one address has before it is paced.
const BURST_COUNT: usize = 20;

/// Two accounts with a private repository each, one that both may pull, and a public one.
pub(crate) async fn fake(auth: Auth) -> FakeRegistry {
    let accounts = vec![
        Account::new("alice", "canary-alice", &["team/alice", "team/both"]),
        Account::new("bob", "canary-bob", &["team/bob", "team/both"]),
    ];
    let fake = FakeRegistry::start_with(Behaviour { auth, accounts, ..Behaviour::default() }).await;
    for name in ["team/alice", "team/bob", "team/both", "team/public"] {
        fake.put_image(name, "1", &Image::small(name));
    }
    fake
}

pub(crate) fn bearer() -> Auth {
    Auth::Bearer { credentials: None, anonymous: true }
}

pub(crate) fn start(fake: &FakeRegistry, more: &str) -> Program {
    let text = configuration(&format!("{}{PASSTHROUGH}{more}", registry("fake.test", fake)));
    Program::start(&text)
}

pub(crate) fn login(user: &str, password: &str) -> String {
    client::basic(user, password)
}

pub(crate) fn alice() -> Option<String> {
    Some(login("alice", "canary-alice"))
}

pub(crate) fn bob() -> Option<String> {
    Some(login("bob", "canary-bob"))
}

pub(crate) async fn get(program: &Program, target: &str, login: Option<&str>) -> Response {
    let headers: Vec<_> = login.map(|value| ("Authorization", value)).into_iter().collect();
    client::get(program.address, "fake.test.localhost", target, &headers).await.unwrap()
}

pub(crate) fn manifest(repository: &str) -> String {
    format!("/v2/{repository}/manifests/1")
}

#[tokio::test(flavor = "multi_thread")]
async fn s14_with_passthrough_each_login_reads_what_the_upstream_gives_to_it() {
    for auth in [bearer(), Auth::basic("nobody", "canary-nobody")] {
        let is_bearer = auth == bearer();
        let fake = fake(auth).await;
        let program = start(&fake, "");
        let table = [
            ("team/alice", alice(), 200),
            ("team/alice", bob(), 403),
            ("team/alice", None, 401),
            ("team/bob", bob(), 200),
            ("team/bob", alice(), 403),
            ("team/both", alice(), 200),
            ("team/both", bob(), 200),
            ("team/both", Some(login("alice", "canary-wrong")), 403),
            ("team/public", if is_bearer { None } else { alice() }, 200),
        ];
        for round in 0..2 {
            for (repository, login, status) in &table {
                let answer = get(&program, &manifest(repository), login.as_deref()).await;
                assert_eq!(answer.status, *status, "{round} {repository} {login:?}: {}", answer.text());
                let challenge = answer.header("www-authenticate");
                assert_eq!(challenge, (*status == 401).then_some("Basic realm=\"wharf\""));
                assert!(!answer.text().contains("canary"), "{}", answer.text());
            }
        }
        for repository in ["team/alice", "team/both"] {
            let gets = fake.log().count_where(|request| {
                request.kind == Kind::GetManifest
                    && request.repository.as_deref() == Some(repository)
                    && request.status == Some(200)
            });
            assert_eq!(gets, 1, "{repository} came once for all");
        }
    }
}

/// Blobs come once, whoever pulls them, and through no repository that the login may not read.
#[tokio::test(flavor = "multi_thread")]
async fn s15_with_passthrough_a_blob_comes_once_and_through_no_other_repository() {
    let fake = fake(bearer()).await;
    let program = start(&fake, "");
    let image = Image::small("team/both");
    let own = fake.put_blob_in("team/alice", b"only in the repository of alice".to_vec());
    for blob in image.blobs() {
        for login in [alice(), bob()] {
            let target = format!("/v2/team/both/blobs/{}", blob.digest);
            let answer = get(&program, &target, login.as_deref()).await;
            assert_eq!((answer.status, answer.body), (200, blob.bytes()));
        }
        assert_eq!(
            fake.log().count_for(Kind::GetBlob, &blob.digest),
            2,
            "once, and once at the content network"
        );
    }
    let through = async |repository: &str, login: Option<String>| {
        get(&program, &format!("/v2/{repository}/blobs/{own}"), login.as_deref()).await.status
    };
    assert_eq!(through("team/alice", alice()).await, 200);
    assert_eq!(through("team/alice", bob()).await, 403);
    assert_eq!(through("team/bob", bob()).await, 404, "it is stored, and not in a repository of bob");
    assert_eq!(through("team/public", None).await, 404);
    let lists = ["/v2/team/alice/tags/list", "/v2/_catalog"];
    let texts = async |login: Option<String>| {
        let mut texts = String::new();
        for target in lists {
            texts.push_str(&get(&program, target, login.as_deref()).await.text());
        }
        texts
    };
    assert!(texts(alice()).await.contains("team/alice"));
    let of_bob = texts(bob()).await;
    assert!(!of_bob.contains("\"team/alice\""), "{of_bob}");
}

/// Clients log in at `/v2/`: docker, podman and others send a login only where they saw a challenge.
#[tokio::test(flavor = "multi_thread")]
async fn s14_with_passthrough_a_login_is_checked_at_the_upstream() {
    for auth in [bearer(), Auth::basic("nobody", "canary-nobody")] {
        let fake = fake(auth).await;
        let program = start(&fake, "");
        let asked = get(&program, "/v2/", None).await;
        assert_eq!((asked.status, asked.header("www-authenticate")), (401, Some("Basic realm=\"wharf\"")));
        assert_eq!(get(&program, "/v2/", Some("Basic Og==")).await.status, 401);
        for _ in 0..2 {
            assert_eq!(get(&program, "/v2/", alice().as_deref()).await.status, 200);
            assert_eq!(get(&program, "/v2/", Some(&login("alice", "canary-wrong"))).await.status, 401);
            assert_eq!(get(&program, "/v2/", Some("Digest x")).await.status, 401);
        }
        fake.set_door(Endpoint::Token, Door::Refuse).await;
        fake.set_door(Endpoint::Registry, Door::Refuse).await;
        let down = get(&program, "/v2/", Some(&login("bob", "canary-other"))).await;
        assert_eq!(down.status, 502, "an outage is no wrong login: {}", down.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s14_with_passthrough_the_host_of_a_default_registry_asks_for_its_login() {
    let fake = fake(bearer()).await;
    let text = configuration(&format!("{}{PASSTHROUGH}", registry("fake.test", &fake)));
    let text = text.replacen("[server]\n", "[server]\ndefault_registry = \"fake.test\"\n", 1);
    let program = Program::start(&text);
    let get = async |target: &str, login: Option<String>| {
        let headers: Vec<_> = login.as_deref().map(|value| ("Authorization", value)).into_iter().collect();
        client::get(program.address, "127.0.0.1", target, &headers).await.unwrap()
    };
    let asked = get("/v2/", None).await;
    assert_eq!((asked.status, asked.header("www-authenticate")), (401, Some("Basic realm=\"wharf\"")));
    assert_eq!(get("/v2/", Some(login("alice", "canary-wrong"))).await.status, 401);
    assert_eq!(get("/v2/", alice()).await.status, 200);
    assert_eq!(get(&manifest("team/alice"), alice()).await.status, 200);
    assert_eq!(get(&manifest("team/alice"), bob()).await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn s16_with_passthrough_a_revoked_login_is_refused_after_auth_ttl_and_takes_nothing_from_others() {
    let fake = fake(bearer()).await;
    let program = start(&fake, "auth_ttl = \"0s\"\n");
    for login in [alice(), bob()] {
        assert_eq!(get(&program, &manifest("team/both"), login.as_deref()).await.status, 200);
    }
    fake.change(|behaviour| behaviour.accounts[0].repositories.clear());
    fake.revoke_tokens();
    let refused = get(&program, &manifest("team/both"), alice().as_deref()).await;
    assert_eq!(refused.status, 403, "{}", refused.text());
    let gets = fake.count(Kind::GetManifest);
    assert_eq!(get(&program, &manifest("team/both"), bob().as_deref()).await.status, 200);
    assert_eq!(fake.count(Kind::GetManifest), gets, "the manifest is still stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn s16_with_passthrough_what_a_login_was_granted_stays_readable_in_an_outage_for_auth_ttl() {
    for (ttl, status) in [("1h", 200), ("0s", 502)] {
        let fake = fake(bearer()).await;
        let program = start(&fake, &format!("auth_ttl = \"{ttl}\"\n"));
        assert_eq!(get(&program, &manifest("team/both"), alice().as_deref()).await.status, 200);
        for endpoint in [Endpoint::Registry, Endpoint::Token] {
            fake.set_door(endpoint, Door::Refuse).await;
        }
        let answer = get(&program, &manifest("team/both"), alice().as_deref()).await;
        assert_eq!(answer.status, status, "{ttl}: {}", answer.text());
        for login in [bob(), None] {
            let other = get(&program, &manifest("team/both"), login.as_deref()).await;
            assert_eq!(other.status, 502, "{ttl} {login:?}: {}", other.text());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s27_with_passthrough_wrong_logins_are_paced_asked_once_and_displace_no_right_one() {
    let fake = fake(bearer()).await;
    let program = start(&fake, "");
    assert_eq!(get(&program, &manifest("team/both"), alice().as_deref()).await.status, 200);
    fake.log().clear();
    // The same wrong login again and again.
    for _ in 0..BURST_COUNT {
        let answer = get(&program, &manifest("team/both"), Some(&login("alice", "canary-wrong"))).await;
        assert_eq!(answer.status, 403, "{}", answer.text());
    }
    assert!(fake.count(Kind::Token) <= 2, "{} token requests", fake.count(Kind::Token));
    let mut paced = 0;
    for number in 0..2 * BURST_COUNT {
        let guess = login("alice", &format!("canary-{number}"));
        paced += usize::from(get(&program, &manifest("team/both"), Some(&guess)).await.status == 429);
    }
    assert!(paced >= BURST_COUNT / 2, "{paced}");
    let asked = fake.count(Kind::Token);
    assert_eq!(get(&program, &manifest("team/both"), alice().as_deref()).await.status, 200);
    assert_eq!(fake.count(Kind::Token), asked, "the right login and its token are still known");
}

/// Each secret goes to the token service and nowhere else.
#[tokio::test(flavor = "multi_thread")]
async fn s28_with_passthrough_no_login_of_a_client_appears_in_a_log_an_answer_a_metric_or_a_file() {
    for auth in [bearer(), Auth::basic("nobody", "canary-nobody")] {
        let is_bearer = auth == bearer();
        let (fake, other) = (fake(auth).await, FakeRegistry::start().await);
        other.put_image("team/public", "1", &Image::small("other"));
        for format in ["text", "json"] {
            let directory = Arc::new(tempfile::tempdir().unwrap());
            let text = configuration(&format!(
                "[log]\nlevel = \"trace\"\nformat = {format:?}\n{}{PASSTHROUGH}{}",
                registry("fake.test", &fake),
                registry("other.test", &other)
            ));
            let program = Program::start_in(Arc::clone(&directory), &text, &[]);
            let wrong = login("alice", "canary-wrong");
            let token = "Bearer canary-token";
            let mut answers = String::new();
            for login in [alice(), bob(), Some(wrong.clone()), Some(token.to_owned()), None] {
                for target in ["/v2/", &manifest("team/both"), &manifest("team/alice"), "/v2/_catalog"] {
                    let answer = get(&program, target, login.as_deref()).await;
                    answers.push_str(&format!("{:?} {}\n", answer.headers, answer.text()));
                }
                let headers: Vec<_> = login.iter().map(|value| ("Authorization", &**value)).collect();
                let target = manifest("team/public");
                let host = "other.test.localhost";
                let answer = client::get(program.address, host, &target, &headers).await.unwrap();
                assert_eq!(answer.status, 200);
            }
            let metrics = client::get(program.admin, "localhost", "/metrics", &[]).await.unwrap().text();
            let api = client::get(program.admin, "localhost", "/api/registries", &[]).await.unwrap().text();
            program.signal(rustix::process::Signal::TERM);
            program.wait_for_line("stopped");
            let mut all = format!("{}\n{metrics}\n{api}\n{answers}", program.log());
            for file in files_below(directory.path()) {
                all.push_str(&String::from_utf8_lossy(&fs::read(file).unwrap()));
            }
            for secret in ["canary", &alice().unwrap()[6..], &bob().unwrap()[6..], &wrong[6..]] {
                assert!(!all.contains(secret), "{secret} is in {all}");
            }
        }
        let is_secret = |credential: &Credential| format!("{credential:?}").contains("canary");
        let seen_at = |fake: &FakeRegistry, endpoint| fake.log().credentials(endpoint).iter().any(is_secret);
        assert!(!seen_at(&fake, Endpoint::Cdn), "a redirect gets no login");
        for endpoint in [Endpoint::Registry, Endpoint::Token, Endpoint::Cdn] {
            assert!(!seen_at(&other, endpoint), "another registry gets no login");
        }
        assert_eq!(seen_at(&fake, Endpoint::Token), is_bearer);
    }
}
