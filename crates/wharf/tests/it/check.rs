//! `wharf check`, and the choice of the configuration.

use std::fs;

use testkit::{Auth, Behaviour, Endpoint, FakeRegistry};

use crate::program::{command, configuration, registry, run};

const GOOD: &str = r#"
[server]
domain = "w.example"
[storage]
root = "/w"
[[registry]]
name = "docker.io"
[[registry]]
name = "c.example:8443"
upstream = "http://10.1.2.3:8443"
username = "me"
password = "canary-password"
serve_private = true
"#;

const GOOD_ROWS: &str = "\
wharf.toml: no mistakes
listen  0.0.0.0:5000
admin   127.0.0.1:5001
bare    http://w.example:5000 serves no default registry; set default_registry in [server] to choose one
any     http://w.example:5000/v2/?ns=REGISTRY, as containerd asks

REGISTRY        UPSTREAM                      ADDRESS                        CREDENTIALS  ROOT
docker.io       https://registry-1.docker.io  docker.io.w.example:5000       no           /w/docker.io
c.example:8443  http://10.1.2.3:8443          c.example-8443.w.example:5000  password     /w/c.example:8443

";

const GOOD_WARNINGS: [&str; 3] = [
    "warning: wharf.toml:10: registry[c.example:8443].upstream: credentials go to this upstream without TLS, \
     readable by anyone on the path",
    "warning: wharf.toml:10: registry[c.example:8443].upstream: requests to this upstream go without TLS, so \
     anyone on the path can change what a tag names; use https if the upstream offers it",
    "warning: wharf.toml:13: registry[c.example:8443].serve_private: anyone who can reach wharf can pull whatever \
     this account can; name in [access] who may pull, or use a read-only account that \
     sees only what they may see",
];

const BAD: &str = r#"
[server]
listn = "0.0.0.0:5000"
[[registry]]
name = "docker.io"
tag_ttl = "5x"
password = "canary-password"
"#;

const BAD_SAYS: &str = r#"wharf.toml:3: server.listn: there is no such key; did you mean "listen"?
wharf.toml:6: registry[docker.io].tag_ttl: "5x" is not a length of time; write one such as "0s", "60s", "1h" or "forever"
wharf.toml:7: registry[docker.io].password: has no username; add username, or leave this key out
3 mistakes in the configuration
"#;

#[test]
fn a_right_configuration_is_shown_as_it_would_be_served() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("wharf.toml"), GOOD).unwrap();
    let expected = format!("{GOOD_ROWS}{}\n", GOOD_WARNINGS.join("\n"));
    assert_eq!(run(directory.path(), &["check"]), (Some(0), expected, String::new()));
    let left: Vec<_> = fs::read_dir(directory.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "checking stores nothing");
}

#[test]
fn a_wrong_configuration_is_refused_with_every_mistake() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("wharf.toml"), BAD).unwrap();
    for (arguments, outcome) in
        [(&["check"][..], ""), (&["serve"], "; nothing was started"), (&[], "; nothing was started")]
    {
        let expected = format!("{}{outcome}\n", BAD_SAYS.trim_end());
        assert_eq!(run(directory.path(), arguments), (Some(1), String::new(), expected));
    }
}

#[test]
fn newcomer_warnings_are_shown_beside_mistakes() {
    let directory = tempfile::tempdir().unwrap();
    let text = "[[registry]]\nname = \"dockr.io\"\ntag_ttl = 5\n";
    fs::write(directory.path().join("wharf.toml"), text).unwrap();
    let (code, _, complained) = run(directory.path(), &["check"]);
    let expected = "\
wharf.toml:3: registry[dockr.io].tag_ttl: the number has no unit; write \"5s\" if seconds are meant
warning: wharf.toml:2: registry[dockr.io].name: looks like a typo for \"docker.io\"; correct it if that is what you meant
1 mistake in the configuration
";
    assert_eq!((code, complained.as_str()), (Some(1), expected));
}

#[test]
fn settings_that_the_upstream_client_rejects_are_refused_too() {
    let directory = tempfile::tempdir().unwrap();
    let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    fs::write(directory.path().join("ca.pem"), pem).unwrap();
    let text = "[[registry]]\nname = \"ghcr.io\"\nca_file = \"ca.pem\"\n";
    fs::write(directory.path().join("wharf.toml"), text).unwrap();
    let (code, said, complained) = run(directory.path(), &["check"]);
    assert_eq!((code, said.as_str()), (Some(1), ""));
    assert!(complained.starts_with("ghcr.io: ca_file: "), "{complained}");
}

#[test]
fn the_schema_is_printed_whatever_the_configuration_is() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("wharf.toml"), BAD).unwrap();
    let (code, said, complained) = run(directory.path(), &["check", "--schema"]);
    assert_eq!((code, complained.as_str()), (Some(0), ""));
    let reference = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/wharf.schema.json");
    assert!(said == fs::read_to_string(reference).unwrap(), "an editor that has the file sees the same");
    let (code, _, complained) = run(directory.path(), &["check", "--schema", "--online"]);
    assert_eq!(code, Some(2), "{complained}");
}

/// Asserts which configuration was read.
#[track_caller]
fn check_read(command: &mut std::process::Command, expected: &str) {
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with(&format!("{expected}: no mistakes\n")), "{said}");
}

#[test]
fn the_nearest_configuration_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    check_read(&mut command(directory, &["check"]), "built-in configuration");
    for name in ["named.toml", "variable.toml", "wharf.toml"] {
        fs::write(directory.join(name), "").unwrap();
    }
    check_read(&mut command(directory, &["check"]), "wharf.toml");
    check_read(command(directory, &["check"]).env("WHARF_CONFIG", "variable.toml"), "variable.toml");
    check_read(command(directory, &["check"]).env("WHARF_CONFIG", ""), "wharf.toml");
    let named = &["check", "--config", "named.toml"];
    check_read(command(directory, named).env("WHARF_CONFIG", "variable.toml"), "named.toml");
}

#[test]
fn a_configuration_that_was_named_must_be_there() {
    let directory = tempfile::tempdir().unwrap();
    let (code, said, complained) = run(directory.path(), &["check", "--config", "missing.toml"]);
    assert_eq!((code, said.as_str()), (Some(1), ""));
    assert_eq!(
        complained,
        "cannot read the configuration missing.toml: No such file or directory (os error 2)\n"
    );
}

/// User 000 of a first day: `REGISTRY_PROXY_USERNAME` was ignored silently.
#[test]
fn variables_of_another_registry_are_not_ignored_in_silence() {
    let directory = tempfile::tempdir().unwrap();
    let variables = [("REGISTRY_PROXY_USERNAME", "canary"), ("REGISTRY_PROXY_PASSWORD", "canary")];
    let output = command(directory.path(), &["check"]).envs(variables).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    let expected = "\nwarning: wharf does not read these environment variables: REGISTRY_PROXY_PASSWORD (set \
                    password or password_file of a [[registry]] instead); REGISTRY_PROXY_USERNAME (set \
                    username of a [[registry]] instead). ";
    assert!(said.contains(expected) && !said.contains("canary"), "{said}");

    let text = "[[registry]]\nname = \"docker.io\"\nusername = \"${REGISTRY_PROXY_USERNAME}\"\n\
                password = \"${REGISTRY_PROXY_PASSWORD}\"\n";
    fs::write(directory.path().join("wharf.toml"), text).unwrap();
    let output = command(directory.path(), &["check"]).envs(variables).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && !said.contains("does not read"), "{said}");
}

#[test]
fn a_configuration_in_the_wrong_place_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("config.toml"), "").unwrap();
    fs::write(directory.path().join("Wharf.toml"), "").unwrap();
    let (code, said, _) = run(directory.path(), &["check"]);
    let expected = "\nwarning: not read: ./Wharf.toml, ./config.toml. Without --config and WHARF_CONFIG, wharf reads \
                    ./wharf.toml or /etc/wharf/wharf.toml, and neither exists\n";
    assert!(code == Some(0) && said.contains(expected), "{said}");
    fs::write(directory.path().join("wharf.toml"), "").unwrap();
    let (code, said, _) = run(directory.path(), &["check"]);
    assert!(code == Some(0) && !said.contains("not read"), "{said}");
}

#[test]
fn a_configuration_of_another_registry_is_one_mistake() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("config.yml"), "version: 0.1\nhttp:\n  addr: :5000\n").unwrap();
    let (code, _, complained) = run(directory.path(), &["serve", "--config", "config.yml"]);
    assert_eq!(code, Some(1));
    assert_eq!(
        complained,
        "config.yml:1: this looks like YAML, perhaps of another registry; wharf reads TOML, such as the two lines \
         `[[registry]]` and `name = \"docker.io\"`, and serves public registries without any file\n1 mistake in the configuration; \
         nothing was started\n"
    );
}

#[test]
fn arguments_of_other_programs_get_a_tip() {
    let directory = tempfile::tempdir().unwrap();
    for (arguments, tip) in [
        (&["serve", "config.yml"][..], "name the configuration with `--config config.yml`"),
        (
            &["/etc/docker/registry/config.yml"],
            "name the configuration with `--config /etc/docker/registry/config.yml`",
        ),
        (&["serve", "-c", "wharf.toml"], "name the configuration with `--config FILE`"),
        (&["-c", "wharf.toml"], "name the configuration with `--config FILE`"),
        (&["serve", "-config=wharf.toml"], "name the configuration with `--config FILE`"),
        (
            &["serve", "--port=5000"],
            "write it into the configuration file, `listen` of [server], or set WHARF_SERVER_LISTEN or --set \
             server.listen=...",
        ),
        (&["-v"], "`--version` prints the version"),
    ] {
        let (code, said, complained) = run(directory.path(), arguments);
        assert_eq!((code, said.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(complained.contains(&format!("tip: {tip}\n")), "{arguments:?}: {complained}");
    }
}

#[test]
fn a_configuration_that_cannot_be_read_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    // Docker creates such a directory if the file of a bind mount is missing.
    fs::create_dir(directory.path().join("wharf.toml")).unwrap();
    fs::write(directory.path().join("utf16.toml"), b"\xff\xfe[\0s\0").unwrap();
    for (arguments, expected) in [
        (
            &["check"][..],
            "cannot read the configuration wharf.toml: Is a directory (os error 21); Docker creates a directory if the file of a volume does not exist on the host\n",
        ),
        (
            &["check", "--config", "~/wharf.toml"],
            "cannot read the configuration ~/wharf.toml: No such file or directory (os error 2); only a shell expands \"~\", so write the whole path\n",
        ),
        (
            &["check", "--config", "utf16.toml"],
            "cannot read the configuration utf16.toml: stream did not contain valid UTF-8; save it as UTF-8 text\n",
        ),
    ] {
        assert_eq!(run(directory.path(), arguments), (Some(1), String::new(), expected.to_owned()));
    }
}

/// Mistakes 4 and 10 to 14 of a first day came to light with the first pull only.
#[tokio::test(flavor = "multi_thread")]
async fn check_online_reports_faults_before_a_client_pulls() {
    let right =
        FakeRegistry::start_with(Behaviour { auth: Auth::bearer("robot", "canary"), ..Behaviour::default() });
    let (right, open) = (right.await, FakeRegistry::start_anonymous().await);
    let directory = tempfile::tempdir().unwrap();
    let check = |rest: String| {
        fs::write(directory.path().join("wharf.toml"), configuration(&rest)).unwrap();
        run(directory.path(), &["check", "--online"])
    };
    let login = |password: &str| format!("username = \"robot\"\npassword = {password:?}\n");
    let good = format!(
        "{}{}{}[[registry]]\nname = \"gone.test\"\noffline = true\n",
        registry("right.test", &right),
        login("canary"),
        registry("open.test", &open)
    );
    let (code, said, complained) = check(good.clone());
    assert_eq!((code, complained.as_str()), (Some(0), ""), "{said}");
    let table = "\nREGISTRY    ONLINE\n\
                 right.test  ok      answers, and accepts the login\n\
                 open.test   ok      answers\n\
                 gone.test   -       offline = true: not checked\n";
    assert!(said.ends_with(table), "{said}");

    let wrong = format!(
        "{good}{}{}[[registry]]\nname = \"nowhere.invalid\"\n",
        registry("wrong.test", &right),
        login("canary-wrong")
    );
    let (code, said, complained) = check(wrong);
    assert_eq!((code, complained.as_str()), (Some(1), "2 of 5 registries cannot be used\n"));
    let token = right.host_of(Endpoint::Token);
    for expected in [
        format!(
            "wrong.test       FAILED  {token} refuses the configured login; check username and password\n"
        ),
        "nowhere.invalid  FAILED  nowhere.invalid does not resolve".to_owned(),
    ] {
        assert!(said.contains(&expected), "{said}");
    }
    assert!(!said.contains("canary"), "{said}");
}
