use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use super::*;
use crate::environment::Variables;

/// A directory with a file of logins, and a helper that counts its runs.
struct Rig {
    directory: tempfile::TempDir,
}

impl Rig {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.directory.path().join(name), text).unwrap();
    }

    fn helper(&self, lines: &str) {
        let path = self.directory.path().join("docker-credential-test");
        std::fs::write(&path, format!("#!/bin/sh\necho run >> {}/runs\n{lines}\n", self.path())).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn path(&self) -> String {
        self.directory.path().display().to_string()
    }

    fn runs(&self) -> usize {
        let runs = std::fs::read_to_string(self.directory.path().join("runs"));
        runs.unwrap_or_default().lines().count()
    }

    fn source(&self, may_run: bool) -> DockerConfigFile {
        let process = ProcessSettings {
            program: PathBuf::new(),
            arguments: Vec::new(),
            variables: Variables::of(["PATH"], |_| Some(format!("{}:/bin:/usr/bin", self.path()))),
            timeout: Duration::from_secs(30),
        };
        let target = Target::new("ghcr.io", "");
        DockerConfigFile::new(self.directory.path().to_owned(), target, may_run.then_some(process))
    }
}

fn password(user: &str, password: &str) -> Option<Login> {
    Some(Login::password(user, password).unwrap())
}

async fn login(source: &DockerConfigFile) -> Result<Option<Login>, Failure> {
    source.ask(Question::Due).await.map(|grant| grant.login)
}

#[tokio::test]
async fn a_file_is_read_again_when_it_changes() {
    let rig = Rig::new();
    rig.write(".dockerconfigjson", r#"{"auths":{"ghcr.io":{"username":"u","password":"one"}}}"#);
    let source = rig.source(false);
    assert_eq!(login(&source).await, Ok(password("u", "one")));
    rig.write(".dockerconfigjson", r#"{"auths":{"ghcr.io":{"username":"u","password":"two"}}}"#);
    assert_eq!(login(&source).await, Ok(password("u", "two")));
    std::fs::remove_file(rig.directory.path().join(".dockerconfigjson")).unwrap();
    assert!(login(&source).await.unwrap_err().to_string().contains("has no .dockerconfigjson"));
}

#[tokio::test]
async fn a_helper_answers_for_a_while_and_again_after_a_refusal() {
    let rig = Rig::new();
    rig.write("config.json", r#"{"credHelpers":{"ghcr.io":"test"}}"#);
    rig.helper("read server; echo '{\"ServerURL\":\"'$server'\",\"Username\":\"u\",\"Secret\":\"s\"}'");
    let source = rig.source(true);
    assert_eq!(login(&source).await, Ok(password("u", "s")));
    assert_eq!(login(&source).await, Ok(password("u", "s")));
    assert_eq!(rig.runs(), 1);
    pass(REFUSAL_INTERVAL).await;
    source.ask(Question::Refused).await.unwrap();
    assert_eq!(rig.runs(), 2);
    rig.write("config.json", r#"{"credHelpers":{"ghcr.io":"test"},"other":1}"#);
    login(&source).await.unwrap();
    assert_eq!(rig.runs(), 3, "a changed file is a new question");
}

/// Lets time pass, which programs do not notice.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// Refusals may cause a look at the file every two seconds, and the file leads to a program.
#[tokio::test]
async fn refusals_start_a_helper_once_per_interval_whether_it_answers_or_fails() {
    let rig = Rig::new();
    rig.write("config.json", r#"{"credHelpers":{"ghcr.io":"test"}}"#);
    let answer = r#"echo '{"ServerURL":"","Username":"u","Secret":"s"}'"#;
    rig.helper(answer);
    let source = rig.source(true);
    login(&source).await.unwrap();
    for _ in 0..3 {
        pass(Duration::from_secs(2)).await;
        assert_eq!(source.ask(Question::Refused).await.unwrap().login, password("u", "s"));
    }
    assert_eq!(rig.runs(), 1);
    rig.helper("exit 1");
    pass(REFUSAL_INTERVAL).await;
    source.ask(Question::Refused).await.unwrap_err();
    for _ in 0..3 {
        pass(Duration::from_secs(2)).await;
        assert_eq!(source.ask(Question::Refused).await.unwrap().login, password("u", "s"));
    }
    assert_eq!(rig.runs(), 2);
}

#[tokio::test]
async fn an_identity_token_of_a_helper_is_one() {
    let rig = Rig::new();
    rig.write("config.json", r#"{"credsStore":"test"}"#);
    rig.helper(r#"echo '{"ServerURL":"","Username":"<token>","Secret":"refresh"}'"#);
    assert_eq!(login(&rig.source(true)).await, Ok(Some(Login::identity_token("refresh").unwrap())));
}

#[tokio::test]
async fn a_store_without_a_login_leaves_the_entries() {
    let rig = Rig::new();
    rig.write("config.json", r#"{"credsStore":"test","auths":{"ghcr.io":{"auth":"dTpw"}}}"#);
    rig.helper("echo credentials not found in native keychain; exit 1");
    assert_eq!(login(&rig.source(true)).await, Ok(password("u", "p")));
}

#[tokio::test]
async fn s28_a_helper_that_fails_is_a_failure_that_does_not_quote_it() {
    let rig = Rig::new();
    rig.write("config.json", r#"{"credsStore":"test"}"#);
    rig.helper("echo canary-word; echo canary-word >&2; exit 1");
    let failure = login(&rig.source(true)).await.unwrap_err().to_string();
    assert!(failure.contains("docker-credential-test ended with exit status: 1"), "{failure}");
    assert!(!failure.contains("canary"), "{failure}");
}

#[tokio::test]
async fn a_file_cannot_name_a_program_by_its_path() {
    let rig = Rig::new();
    rig.write("config.json", r#"{"credsStore":"../../bin/sh"}"#);
    let failure = login(&rig.source(true)).await.unwrap_err().to_string();
    assert!(failure.contains("no plain word"), "{failure}");
}

#[tokio::test]
async fn a_pull_secret_starts_no_program() {
    let rig = Rig::new();
    rig.write(".dockerconfigjson", r#"{"credsStore":"test","auths":{"ghcr.io":{"auth":"dTpw"}}}"#);
    rig.helper("exit 1");
    assert_eq!(login(&rig.source(false)).await, Ok(password("u", "p")));
    assert_eq!(rig.runs(), 0);
}
