//! Secrets of every slot of the configuration: none appears where an operator or a client can read it.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use rustix::process::Signal;
use serde_json::Value;
use testkit::client;
use testkit::{Account, Auth, Authority, Behaviour, Certificate, FakeRegistry, Image};

use crate::program::{Program, command, configuration, registry};
use crate::who_may_pull::files_below;

/// The slots, by the key that holds or names the secret. What `[[registry]]` has, `[defaults]` has too.
const SLOTS: [&str; 18] = [
    "access.tokens_file",
    "access.users_file",
    "admin.token_file",
    "client_key",
    "credentials.client_secret_file",
    "credentials.password",
    "credentials.password_file",
    "credentials.token_file",
    "password",
    "password_file",
    "proxy",
    "server.acme.dns_key",
    "server.acme.dns_key_file",
    "server.acme.eab_key",
    "server.acme.eab_key_file",
    "server.tls.certificate.key_file",
    "server.tls.key_file",
    // Its forms: docker-config, pull-secret, command, and a broken key of Google's.
    "credentials",
];

/// Keys whose names end like those of secrets.
const NO_SECRETS: [&str; 1] = ["server.acme.dns_key_name"];

/// The slots whose secrets go to a cloud's own service alone; a test of `credentials` searches for them.
const OF_CLOUDS: [&str; 2] = ["credentials.client_secret_file", "credentials.token_file"];

/// Secrets of the sources that `credentials` names, and of a login that the registry refuses.
const OF_LOGINS: [&str; 5] = ["docker", "pull", "command", "google", "wrong"];

/// The secret of a slot: letters of base64, so that it is a key of ACME's, too.
fn canary(slot: &str) -> String {
    format!("canary{}5b1e0", slot.replace(['.', '_'], ""))
}

/// The forms in which a secret could appear: as it is, in hexadecimal, and in base64 at any offset.
fn forms(secret: &str) -> Vec<String> {
    let hex = secret.bytes().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    });
    let encoded = (0..3).map(|skipped| {
        let whole = (secret.len() - skipped) / 3 * 3;
        let login = client::basic("", &format!("::{}", &secret[skipped..skipped + whole]));
        // `:::` is one group, so the rest of the text is that of the secret.
        login.trim_start_matches("Basic ").trim_end_matches('=')[4..].to_owned()
    });
    [secret.to_owned(), hex].into_iter().chain(encoded).collect()
}

#[test]
fn a_secret_is_recognised_in_every_form() {
    let secret = canary("password");
    for user in ["a", "ab", "abc"] {
        let login = client::basic(user, &secret);
        assert!(forms(&secret).iter().any(|form| login.contains(form)), "{login}");
    }
}

/// The keys of the schema that end like a secret, without the section's place.
fn secret_keys(schema: &Value) -> Vec<String> {
    fn walk(of: &Value, path: &str, found: &mut Vec<String>) {
        for (name, key) in of["properties"].as_object().into_iter().flatten() {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let ends = ["password", "password_file", "token_file", "tokens_file", "users_file", "proxy"];
            let is_one = ends.contains(&&**name)
                || ["secret_file", "client_key", "credentials", "key_file"]
                    .iter()
                    .any(|end| name.ends_with(end))
                || name.starts_with("eab_key") && name != "eab_key_id"
                || name.starts_with("dns_key") && name != "dns_key_algorithm";
            if is_one {
                found.push(path.clone());
            }
            walk(key, &path, found);
        }
        if of["items"].is_object() {
            walk(&of["items"], path, found);
        }
        for choice in ["oneOf", "anyOf", "allOf"] {
            of[choice].as_array().into_iter().flatten().for_each(|one| walk(one, path, found));
        }
    }
    let mut found = Vec::new();
    walk(schema, "", &mut found);
    let bare = |path: String| {
        let path = path.trim_start_matches("registry.").trim_start_matches("defaults.");
        path.to_owned()
    };
    let mut found: Vec<_> = found.into_iter().map(bare).collect();
    found.sort();
    found.dedup();
    found
}

#[test]
fn s28_every_key_that_holds_a_secret_has_a_slot() {
    let directory = tempfile::tempdir().unwrap();
    let output = command(directory.path(), &["check", "--schema"]).output().unwrap();
    let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = secret_keys(&schema);
    let mut slots: Vec<_> = SLOTS.into_iter().chain(NO_SECRETS).collect();
    slots.sort_unstable();
    assert_eq!(found, slots, "a new key needs its slot and its secret in the test below");
}

/// A `[[registry]]` before the fake one, and its name.
fn section(name: &str, fake: &FakeRegistry, rest: &str) -> String {
    format!("{}{rest}", registry(&format!("{name}.test"), fake))
}

fn write(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    fs::write(&path, text).unwrap();
    format!("{:?}", path.display().to_string())
}

/// The configuration with a secret in each slot, and the program's variables.
fn full_configuration(secrets: &Path, fake: &FakeRegistry, authority: &Authority) -> String {
    let host = fake.url().trim_start_matches("http://").to_owned();
    let login = |slot: &str| client::basic(slot, &canary(slot)).trim_start_matches("Basic ").to_owned();
    let auths = |slot: &str| format!(r#"{{"auths":{{"{host}":{{"auth":"{}"}}}}}}"#, login(slot));
    let identity = authority.server_identity(Certificate::Valid);
    let client_identity = authority.client_identity();
    let cert = write(secrets, "cert.pem", &identity.certificate_pem);
    let key = write(secrets, "key.pem", &identity.key_pem);
    let client_cert = write(secrets, "client-cert.pem", &client_identity.certificate_pem);
    let client_key = write(secrets, "client-key.pem", &client_identity.key_pem);
    let users =
        write(secrets, "users", "alice:$2y$04$T32e482koz1Lz0LpR9VDCOHBiRVpBcORZjIK/w.Yh0R5Tj6uSS1lq\n");
    let tokens = write(secrets, "tokens", &format!("ci:{}\n", canary("access.tokens_file")));
    let admin = write(secrets, "admin", &format!("{}\n", canary("admin.token_file")));
    let password_file = write(secrets, "password", &format!("{}\n", canary("password_file")));
    let ruled = write(secrets, "ruled", &format!("{}\n", canary("credentials.password_file")));
    let docker = write(secrets, "config.json", &auths("docker")).replace('"', "");
    let pull_secret = write(secrets, ".dockerconfigjson", &auths("pull")).replace('"', "");
    let google = format!(
        r#"{{"type":"service_account","client_email":"a@b.example","private_key":"{}"}}"#,
        canary("google")
    );
    let google = write(secrets, "google.json", &google).replace('"', "");
    let script =
        format!("#!/bin/sh\necho '{{\"username\":\"command\",\"password\":\"{}\"}}'\n", canary("command"));
    let program = write(secrets, "login", &script).replace('"', "");
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let eab = canary("server.acme.eab_key");
    let dns = format!("{}=", canary("server.acme.dns_key"));
    [
        format!("token_file = {admin}\n[log]\nlevel = \"trace\"\n[access]\nusers_file = {users}\ntokens_file = {tokens}\n"),
        format!("[server.tls]\nlisten = \"127.0.0.1:0\"\ncert_file = {cert}\nkey_file = {key}\n"),
        // Nothing listens at these two addresses.
        format!(
            "[server.acme]\nterms_agreed = true\ndirectory = \"https://127.0.0.1:1/\"\nchallenge = \"dns-01\"\n\
             names = [\"registry.example.com\"]\neab_key_id = \"id\"\neab_key = {eab:?}\n\
             dns_server = \"127.0.0.1:1\"\ndns_key_name = \"name\"\ndns_key = {dns:?}\n"
        ),
        section("inline", fake, "username = \"password\"\npassword = \"${SECRET}\"\n"),
        section("file", fake, &format!("username = \"password_file\"\npassword_file = {password_file}\n")),
        section("docker", fake, &format!("credentials = \"docker-config:{docker}\"\n")),
        section("pull", fake, &format!("credentials = \"pull-secret:{pull_secret}\"\n")),
        section("command", fake, &format!("credentials = \"command:{program}\"\n")),
        section("google", fake, &format!("credentials = \"google:{google}\"\n")),
        section(
            "rule",
            fake,
            &format!(
                "[[registry.credentials]]\nmatch = \"team/other\"\nusername = \"rule-file\"\npassword_file = {ruled}\n\
                 [[registry.credentials]]\nmatch = \"team/*\"\nusername = \"rule\"\npassword = {:?}\n",
                canary("credentials.password")
            ),
        ),
        section("wrong", fake, &format!("username = \"wrong\"\npassword = {:?}\n", canary("wrong"))),
        section(
            "proxy",
            fake,
            &format!("proxy = \"http://user:{}@127.0.0.1:1\"\nclient_cert = {client_cert}\nclient_key = {client_key}\n", canary("proxy")),
        ),
    ]
    .concat()
}

/// Everything that the program can tell: its answers, its commands, its files, its log.
async fn everything_told(program: &Program, config: &str) -> String {
    let mut told = String::new();
    let admin = format!("Bearer {}", canary("admin.token_file"));
    for target in
        ["/", "/metrics", "/api/registries", "/api/stats", "/api/images", "/api/openapi.json", "/readyz"]
    {
        for login in [Some(("Authorization", &*admin)), None] {
            let headers: Vec<_> = login.into_iter().collect();
            let answer = client::get(program.admin, "localhost", target, &headers).await.unwrap();
            writeln!(told, "{target} {:?}\n{}", answer.headers, answer.text()).unwrap();
        }
    }
    let url = format!("http://{}", program.admin);
    for arguments in [
        &["check"][..],
        &["check", "--explain"],
        &["check", "--online"],
        &["list", "--json", "--url", &url],
        &["stats", "--json", "--url", &url],
        &["pull", "inline.test/team/app:latest", "rule.test/team/other:latest", "--url", &url],
        &["verify", "inline.test/team/app:latest", "--json", "--url", &url],
        &["reload", "--url", &url],
    ] {
        let mut run = command(program.directory.path(), arguments);
        let output = run.args(["--config", config]).env("SECRET", canary("password")).output().unwrap();
        for bytes in [&output.stdout, &output.stderr] {
            writeln!(told, "{arguments:?}\n{}", String::from_utf8_lossy(bytes)).unwrap();
        }
    }
    told
}

/// A registry with an account for each slot of a login.
async fn fake() -> FakeRegistry {
    let accounts: Vec<_> = [
        ("password", "password"),
        ("password_file", "password_file"),
        ("docker", "docker"),
        ("pull", "pull"),
        ("command", "command"),
        ("rule", "credentials.password"),
        ("rule-file", "credentials.password_file"),
    ]
    .map(|(user, slot)| Account::new(user, &canary(slot), &["team/app", "team/other"]))
    .into();
    let auth = Auth::Bearer { credentials: None, anonymous: false };
    let fake = FakeRegistry::start_with(Behaviour { auth, accounts, ..Behaviour::default() }).await;
    for name in ["team/app", "team/other"] {
        fake.put_image(name, "latest", &Image::small(name));
    }
    fake
}

/// Pulls from each registry with the right login, a wrong one, and none, and returns the answers.
async fn pull_from_all(program: &Program) -> String {
    let client_token = format!("Bearer {}", canary("access.tokens_file"));
    let mut told = String::new();
    for (registry, status) in [
        ("inline", 200),
        ("file", 200),
        ("docker", 200),
        ("pull", 200),
        ("command", 200),
        ("rule", 200),
        ("google", 502),
        ("wrong", 403),
        ("proxy", 502),
    ] {
        for login in [&*client_token, "Bearer wrong", ""] {
            let headers: Vec<_> =
                Some(("Authorization", login)).into_iter().filter(|it| !it.1.is_empty()).collect();
            let host = format!("{registry}.test.localhost");
            let target = "/v2/team/app/manifests/latest";
            let answer = client::get(program.address, &host, target, &headers).await.unwrap();
            let expected = if login == client_token { status } else { 401 };
            assert_eq!(answer.status, expected, "{registry}: {}\n{}", answer.text(), program.log());
            writeln!(told, "{registry} {:?}\n{}", answer.headers, answer.text()).unwrap();
        }
    }
    told
}

/// Searches for the secret of every slot in every form.
fn assert_no_secret(told: &str, secrets: &Path) {
    for slot in OF_LOGINS.into_iter().chain(SLOTS).filter(|slot| !OF_CLOUDS.contains(slot)) {
        for form in forms(&canary(slot)) {
            assert!(!told.contains(&form), "{slot}, as {form:?}, is in:\n{}", around(told, &form));
        }
    }
    for key in ["key.pem", "client-key.pem"] {
        let pem = fs::read_to_string(secrets.join(key)).unwrap();
        let line = pem.lines().nth(1).unwrap();
        assert!(!told.contains(&line[line.len() / 2..]), "a line of {key} was told");
    }
    assert!(!told.contains("T32e482koz1Lz0LpR9VDCOHBiRVpBcORZjIK"), "a hash of users_file was told");
}

/// The secret of `password` comes by a variable, as from an operator.
#[tokio::test(flavor = "multi_thread")]
async fn s28_no_secret_of_any_slot_is_told_logged_or_stored() {
    let fake = fake().await;
    let (directory, secrets) = (Arc::new(tempfile::tempdir().unwrap()), tempfile::tempdir().unwrap());
    let authority = Authority::new();
    let text = configuration(&full_configuration(secrets.path(), &fake, &authority));
    let config = secrets.path().join("wharf.toml");
    fs::write(&config, &text).unwrap();
    let config = config.display().to_string();
    let mut serve = command(directory.path(), &["serve", "--config", &config]);
    serve.env("SECRET", canary("password"));
    let mut program = Program::run(Arc::clone(&directory), serve);

    let mut told = pull_from_all(&program).await;
    told.push_str(&everything_told(&program, &config).await);
    // The other form of each key that has two, and a configuration that is refused.
    let eab = write(secrets.path(), "eab", &canary("server.acme.eab_key_file"));
    let dns = write(secrets.path(), "dns", &format!("{}=", canary("server.acme.dns_key_file")));
    let files = text
        .replace(&format!("eab_key = {:?}", canary("server.acme.eab_key")), &format!("eab_key_file = {eab}"))
        .replace(
            &format!("dns_key = \"{}=\"", canary("server.acme.dns_key")),
            &format!("dns_key_file = {dns}"),
        );
    for text in [files.clone(), files.replace("[server.tls]\n", "[server.tls]\nkey = 1\n")] {
        fs::write(&config, text).unwrap();
        told.push_str(&everything_told(&program, &config).await);
    }
    program.signal(Signal::TERM);
    assert!(program.wait().success());
    program.wait_for_line("stopped");
    told.push_str(&program.log());
    for file in files_below(directory.path()) {
        told.push_str(&String::from_utf8_lossy(&fs::read(file).unwrap()));
    }
    assert!(told.contains("inline.test") && told.contains("/v2/team/app/manifests/latest"));
    assert_no_secret(&told, secrets.path());
}

/// The text before a finding, for the message of a failed test.
fn around<'t>(text: &'t str, found: &str) -> &'t str {
    let at = text.find(found).unwrap();
    let from = text[..at].char_indices().rev().nth(400).map_or(0, |(at, _)| at);
    &text[from..at]
}
