//! Private stays private, in the whole program: an account without rules that say who may pull.

use std::sync::Arc;

use testkit::client::{self, Response};
use testkit::{Account, Auth, Behaviour, Endpoint, FakeRegistry, Image, Kind};

use crate::program::{Program, configuration, registry};
use crate::reload::reload;

const LOGIN: &str = "username = \"robot\"\npassword = \"canary-password\"\n";
const PUBLIC: &str = "/v2/team/public/manifests/1";
const SECRET: &str = "/v2/team/secret/manifests/1";

/// A registry like Docker Hub: anonymous tokens for public repositories, and an account that also has a
/// private one.
async fn fake() -> FakeRegistry {
    let accounts = vec![Account::new("robot", "canary-password", &["team/secret"])];
    let auth = Auth::Bearer { credentials: None, anonymous: true };
    let fake = FakeRegistry::start_with(Behaviour { auth, accounts, ..Behaviour::default() }).await;
    fake.put_image("team/public", "1", &Image::small("public"));
    fake.put_image("team/secret", "1", &Image::small("secret"));
    fake
}

fn start(fake: &FakeRegistry, more: &str) -> Program {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let text = configuration(&format!("{}{LOGIN}{more}", registry("fake.test", fake)));
    Program::start_in(directory, &text, &[])
}

async fn get(program: &Program, target: &str) -> Response {
    client::get(program.address, "fake.test.localhost", target, &[]).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn s14_an_account_for_its_rate_limit_serves_public_images_and_a_private_one_is_a_403_with_the_switch() {
    let fake = fake().await;
    let program = start(&fake, "");
    program.wait_for_line("only public repositories, although wharf has a login: fake.test");
    let public = get(&program, PUBLIC).await;
    assert_eq!(public.status, 200, "{}", public.text());
    assert_eq!(fake.log().credentials(Endpoint::Token).len(), 1, "the pull itself is the account's");
    // The question is one token and one HEAD, which is answered by a challenge first; so is the pull's.
    let counts = [Kind::Token, Kind::HeadManifest, Kind::GetManifest].map(|kind| fake.count(kind));
    assert_eq!(counts, [2, 4, 1], "no GET but the pull's counts as a pull");
    for _ in 0..3 {
        let refused = get(&program, SECRET).await;
        assert_eq!(refused.status, 403);
        let text = refused.text();
        for part in ["DENIED", "fake.test/team/secret:1", "serve_private = true", "[access]"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("canary"), "{text}");
        assert!(refused.header("www-authenticate").is_none(), "no login would help");
    }
    let list = get(&program, "/v2/team/secret/tags/list").await;
    assert_eq!(list.status, 403, "{}", list.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn s14_the_switch_or_a_rule_of_access_serves_private_images() {
    let fake = fake().await;
    for more in ["serve_private = true\n", "[registry.access]\naddresses = \"127.0.0.1\"\n"] {
        let program = start(&fake, more);
        let served = get(&program, SECRET).await;
        assert_eq!(served.status, 200, "{more}: {}", served.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s14_a_reload_closes_and_opens_what_the_switch_says_without_a_restart() {
    let fake = fake().await;
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let text = |more: &str| configuration(&format!("{}{LOGIN}{more}", registry("fake.test", &fake)));
    let program = Program::start_in(Arc::clone(&directory), &text("serve_private = true\n"), &[]);
    assert_eq!(get(&program, SECRET).await.status, 200);
    for (more, status) in [("", 403), ("serve_private = true\n", 200)] {
        assert_eq!(reload(&program, &text(more)).await.0, 200);
        assert_eq!(get(&program, SECRET).await.status, status, "{more:?}");
    }
}
