//! The log never contains secrets, and no request waits for it.

use std::process::Stdio;
use std::sync::Arc;

use testkit::client::Connection;
use testkit::{Auth, Behaviour, Endpoint, FakeRegistry, Fault, Image, Kind, Rule, client};

use crate::program::{Program, configuration, registry};

const CANARY: &str = "canary-7f3a";

/// A registry that accepts only this account, by a token or by the password.
async fn private_registry(is_bearer: bool) -> FakeRegistry {
    let (user, password) = ("robot".to_owned(), format!("{CANARY}-password"));
    let auth = if is_bearer {
        Auth::Bearer { credentials: Some((user, password)), anonymous: false }
    } else {
        Auth::Basic { user, password }
    };
    let fake = FakeRegistry::start_with(Behaviour { auth, ..Behaviour::default() }).await;
    fake.put_image("team/app", "latest", &Image::small("private"));
    fake
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_logged_at_any_level() {
    let (token, basic) = (private_registry(true).await, private_registry(false).await);
    let login = "username = \"robot\"\npassword = \"${SECRET}-password\"\nserve_private = true\n";
    let wrong = "username = \"robot\"\npassword = \"${SECRET}-wrong\"\nserve_private = true\n";
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let token_path = directory.path().join("token");
    std::fs::write(&token_path, format!("{CANARY}-admin\n")).unwrap();
    for format in ["text", "json"] {
        let text = configuration(&format!(
            "token_file = {token_path:?}\n[log]\nlevel = \"trace\"\nformat = {format:?}\n{}{login}{}{login}{}{wrong}",
            registry("token.test", &token),
            registry("basic.test", &basic),
            registry("wrong.test", &token),
        ));
        let variables = [("SECRET", CANARY.into())];
        let program = Program::start_in(Arc::clone(&directory), &text, &variables);
        let authorization = format!("Bearer {CANARY}-client");
        for (host, status) in
            [("token.test.localhost", 200), ("basic.test.localhost", 200), ("wrong.test.localhost", 403)]
        {
            let headers = [("Authorization", authorization.as_str()), ("User-Agent", "evil\u{9b}31m")];
            let target = format!("/v2/team/app/manifests/latest?secret={CANARY}-query");
            let answer = client::get(program.address, host, &target, &headers).await.unwrap();
            assert_eq!(answer.status, status, "{host}: {}", answer.text());
            assert!(!answer.text().contains(CANARY), "{}", answer.text());
        }
        let admin = format!("Bearer {CANARY}-admin");
        let metrics =
            client::get(program.admin, "localhost", "/metrics", &[("Authorization", &admin)]).await.unwrap();
        assert_eq!(metrics.status, 200);
        assert!(!metrics.text().contains(CANARY));
        program.signal(rustix::process::Signal::TERM);
        program.wait_for_line("stopped");
        let log = program.log();
        assert!(log.contains("team/app"), "the requests are in the log:\n{log}");
        assert!(!log.contains(CANARY) && !log.contains('\u{9b}'), "{log}");
        for secret in [format!("robot:{CANARY}-password"), format!("{CANARY}-wrong")] {
            assert!(!log.contains(&base64(&secret)), "{log}");
        }
    }
}

/// The target of a redirect or a challenge may have a signature in its path.
#[tokio::test(flavor = "multi_thread")]
async fn t28_of_paths_only_the_registrys_own_are_logged() {
    let fake = FakeRegistry::start().await;
    let image = Image::small("public");
    fake.put_image("team/app", "latest", &image);
    let realm = format!("{}/token?{CANARY}-realm", fake.url_of(Endpoint::Token));
    fake.change(|behaviour| behaviour.realm = Some(realm));
    let moved = format!("{}/{CANARY}-signature/blob", fake.url_of(Endpoint::Cdn));
    fake.script(Rule::new(Kind::GetBlob, Fault::RedirectTo(moved)).at(Endpoint::Registry));
    let token = format!("{}/{CANARY}-token", fake.url_of(Endpoint::Token));
    fake.script(Rule::new(Kind::Token, Fault::RedirectTo(token)).from_nth(2));
    for format in ["text", "json"] {
        let text = configuration(&format!(
            "[log]\nlevel = \"trace\"\nformat = {format:?}\n{}",
            registry("fake.test", &fake)
        ));
        let program = Program::start(&text);
        let digest = image.layers[0].digest.clone();
        for path in ["manifests/latest".to_owned(), format!("blobs/{digest}"), "tags/list".to_owned()] {
            let target = format!("/v2/team/app/{path}");
            client::get(program.address, "fake.test.localhost", &target, &[]).await.unwrap();
        }
        program.signal(rustix::process::Signal::TERM);
        program.wait_for_line("stopped");
        let log = program.log();
        assert!(log.contains("/v2/team/app/manifests/latest") && log.contains(&digest), "{log}");
        assert!(!log.contains(CANARY), "{log}");
    }
}

fn base64(text: &str) -> String {
    // Only the first whole groups of the text, which do not depend on the text around it.
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    text.as_bytes()
        .chunks_exact(3)
        .flat_map(|three| {
            let bits = u32::from(three[0]) << 16 | u32::from(three[1]) << 8 | u32::from(three[2]);
            [18, 12, 6, 0].map(|shift| LETTERS[(bits >> shift & 63) as usize] as char)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_access_log_requests_are_not_logged() {
    let hub = FakeRegistry::start().await;
    let text = configuration(&registry("docker.io", &hub)) + "[log]\naccess = false\n";
    let mut program = Program::start(&text);
    assert_eq!(program.get("docker.io.localhost", "/v2/").await.unwrap().status, 200);
    program.signal(rustix::process::Signal::TERM);
    assert!(program.wait().success());
    program.wait_for_line("stopped");
    assert!(!program.log().contains("access"), "{}", program.log());
}

/// A pipe holds 64 KiB and the program some thousand lines more; after that, lines are lost and counted.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_without_a_reader_delays_no_request() {
    let hub = FakeRegistry::start().await;
    let directory = tempfile::tempdir().unwrap();
    let public = free_address();
    let admin = free_address();
    let text = format!(
        "[server]\nlisten = \"{public}\"\n[admin]\nlisten = \"{admin}\"\n{}",
        registry("docker.io", &hub)
    );
    std::fs::write(directory.path().join("wharf.toml"), text).unwrap();
    let mut command = crate::program::command(directory.path(), &["serve"]);
    let mut child = Ended(command.stderr(Stdio::piped()).spawn().unwrap());
    let unread = child.0.stderr.take();
    let mut connection = loop {
        match Connection::open(public).await {
            Ok(connection) => break connection,
            Err(_) => assert!(child.0.try_wait().unwrap().is_none(), "it ended"),
        }
    };
    for _ in 0..100 {
        for _ in 0..100 {
            connection.request("GET", "docker.io.localhost", "/v2/", &[]).await.unwrap();
        }
        for _ in 0..100 {
            assert_eq!(connection.read_response("GET").await.unwrap().status, 200);
        }
    }
    let metrics = client::get(admin, "localhost", "/metrics", &[]).await.unwrap().text();
    let dropped =
        metrics.lines().find_map(|line| line.strip_prefix("wharf_log_lines_dropped_total ")).unwrap();
    assert!(dropped.parse::<u64>().unwrap() > 0, "{dropped}");
    drop(unread);
}

/// A process that is killed and reaped at the end of the test.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // Both fail if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// This test does not read the log, which names the port elsewhere.
fn free_address() -> std::net::SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
