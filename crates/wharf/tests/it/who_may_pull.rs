//! Rules of access in the whole program: changed files, the log, and where secrets must not appear.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use testkit::client::{self, Response};
use testkit::{FakeRegistry, Image};

use crate::program::{Program, configuration, registry};

/// Written by `htpasswd -nbB -C 4`; the passwords are "canary-password" and "canary-other".
const ALICE: &str = "alice:$2y$04$T32e482koz1Lz0LpR9VDCOHBiRVpBcORZjIK/w.Yh0R5Tj6uSS1lq\n";
const BOB: &str = "bob:$2y$04$oUeUbf8FSK5UqClS3mMEMetFLvHvPXudWnVRDHabuNuLFapHbcura\n";

const TOKEN: &str = "canary-token-0123456789abcdef";

/// `alice:canary-password`, `bob:canary-other`, `alice:canary-wrong`.
const AS_ALICE: &str = "Basic YWxpY2U6Y2FuYXJ5LXBhc3N3b3Jk";
const AS_BOB: &str = "Basic Ym9iOmNhbmFyeS1vdGhlcg==";
const WRONG: &str = "Basic YWxpY2U6Y2FuYXJ5LXdyb25n";

/// A removed user can pull no longer than this: `docs/reference/configuration.md` promises 4 s. A loaded
/// machine may take longer, but never for as long as a login is remembered.
const REVOKED_WITHIN: Duration = Duration::from_secs(45);

const MANIFEST: &str = "/v2/team/app/manifests/latest";

async fn get(program: &Program, target: &str, authorization: Option<&str>) -> Response {
    let header = authorization.map(|value| ("Authorization", value));
    let headers: Vec<_> = header.into_iter().collect();
    client::get(program.address, "fake.test.localhost", target, &headers).await.unwrap()
}

/// Pulls again and again until the status is this one, and returns the time that it took.
async fn wait_for_status(program: &Program, authorization: &str, status: u16) -> Duration {
    let began = Instant::now();
    while get(program, MANIFEST, Some(authorization)).await.status != status {
        assert!(began.elapsed() < REVOKED_WITHIN, "still not {status}");
        tokio::task::yield_now().await;
    }
    began.elapsed()
}

async fn fake() -> FakeRegistry {
    let fake = FakeRegistry::start().await;
    fake.put_image("team/app", "latest", &Image::small("app"));
    fake.put_image("team/secret", "latest", &Image::small("secret"));
    fake
}

#[tokio::test(flavor = "multi_thread")]
async fn s27_a_removed_user_can_pull_no_longer_although_the_login_is_remembered() {
    let fake = fake().await;
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let users = directory.path().join("users");
    fs::write(&users, format!("{ALICE}{BOB}")).unwrap();
    let text = format!("[access]\nusers_file = {users:?}\n{}", registry("fake.test", &fake));
    let program = Program::start_in(Arc::clone(&directory), &configuration(&text), &[]);
    for login in [AS_ALICE, AS_BOB] {
        assert_eq!(get(&program, MANIFEST, Some(login)).await.status, 200);
    }
    assert_eq!(get(&program, MANIFEST, Some(WRONG)).await.status, 401);
    fs::write(&users, BOB).unwrap();
    wait_for_status(&program, AS_ALICE, 401).await;
    assert_eq!(get(&program, MANIFEST, Some(AS_BOB)).await.status, 200);
    // A file with a mistake changes nothing: a slip of an editor locks nobody out.
    fs::write(&users, format!("{BOB}carol:plain\n")).unwrap();
    program.wait_for_line("`htpasswd -nB carol`");
    assert_eq!(get(&program, MANIFEST, Some(AS_BOB)).await.status, 200);
    fs::write(&users, ALICE).unwrap();
    wait_for_status(&program, AS_ALICE, 200).await;
    assert_eq!(get(&program, MANIFEST, Some(AS_BOB)).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn s28_no_login_of_a_client_appears_in_a_log_an_answer_a_metric_or_a_file() {
    let fake = fake().await;
    for format in ["text", "json", "short"] {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let (users, tokens) = (directory.path().join("users"), directory.path().join("tokens"));
        fs::write(&users, ALICE).unwrap();
        fs::write(&tokens, format!("deploy:{TOKEN}\n")).unwrap();
        let text = format!(
            "[log]\nlevel = \"trace\"\nformat = {format:?}\n[access]\nusers_file = {users:?}\ntokens_file = {tokens:?}\n\
             deny = [\"team/secret\"]\n{}",
            registry("fake.test", &fake)
        );
        let program = Program::start_in(Arc::clone(&directory), &configuration(&text), &[]);
        let bearer = format!("Bearer {TOKEN}");
        let wrong = format!("Bearer wrong-{TOKEN}");
        let mut answers = Vec::new();
        for (login, status) in [
            (Some(AS_ALICE), 200),
            (Some(&*bearer), 200),
            (Some(WRONG), 401),
            (Some(&*wrong), 401),
            (None, 401),
        ] {
            for target in ["/v2/", MANIFEST] {
                let answer = get(&program, target, login).await;
                assert_eq!(answer.status, status, "{login:?} {target}");
                answers.push(format!("{:?} {}", answer.headers, answer.text()));
            }
        }
        let denied = get(&program, "/v2/team/secret/manifests/latest", Some(AS_ALICE)).await;
        assert_eq!(denied.status, 403);
        assert!(denied.text().contains("deny = \\\"team/secret\\\" of [access]"), "{}", denied.text());
        let metrics = client::get(program.admin, "localhost", "/metrics", &[]).await.unwrap().text();
        assert!(metrics.contains("wharf_access_refused_total{reason=\"denied\"} 1"), "{metrics}");
        program.signal(rustix::process::Signal::TERM);
        program.wait_for_line("stopped");
        let log = program.log();
        if format != "short" {
            assert!(log.contains("user alice") && log.contains("token deploy"), "{log}");
        }
        // The operator's own files hold what the operator wrote.
        fs::remove_file(&users).unwrap();
        fs::remove_file(&tokens).unwrap();
        let mut all = format!("{log}\n{metrics}\n{}", answers.join("\n"));
        for file in files_below(directory.path()) {
            all.push_str(&String::from_utf8_lossy(&fs::read(file).unwrap()));
        }
        for secret in ["canary", TOKEN, "$2y$", &AS_ALICE[6..], &WRONG[6..]] {
            assert!(!all.contains(secret), "{secret} is in {all}");
        }
    }
    for request in fake.requests() {
        let sent = format!("{request:?}");
        assert!(!sent.contains("canary") && !sent.contains(&AS_ALICE[6..]), "{sent}");
    }
}

pub(crate) fn files_below(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else if path.is_file() {
            files.push(path);
        }
    }
    files
}
