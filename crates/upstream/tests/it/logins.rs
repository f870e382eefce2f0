//! Logins that come from sources: rotated, refused, lost, and several for one registry.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use credentials::{Login, ProcessSettings, Rule, SourceSettings, Variables};
use oci::Repository;
use testkit::{Auth, Behaviour, Credential, Endpoint, FakeRegistry, Kind, StandIn, within};
use upstream::{Error, ErrorKind, LoginState, ManifestBody, Upstream};
use url::Url;

use crate::rig::{MANIFEST_TYPE, Rig, build, parse, repository, settings};

fn private(password: &str) -> Behaviour {
    Behaviour { auth: Auth::bearer("robot", password), ..Behaviour::default() }
}

/// A program that prints the file `login` in `directory`, and notes each run.
fn command(directory: &Path) -> SourceSettings {
    let path = directory.join("program");
    let lines = format!("#!/bin/sh\necho run >> {0}/runs\nexec cat {0}/login\n", directory.display());
    std::fs::write(&path, lines).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    SourceSettings::Command(ProcessSettings {
        program: path,
        arguments: Vec::new(),
        variables: Variables::of(["PATH"], |name| std::env::var(name).ok()),
        timeout: Duration::from_secs(30),
    })
}

fn write_login(directory: &Path, password: &str) {
    let text = format!(r#"{{"username":"robot","password":"{password}","expires_in":43200}}"#);
    std::fs::write(directory.join("login"), text).unwrap();
}

fn runs(directory: &Path) -> usize {
    std::fs::read_to_string(directory.join("runs")).unwrap_or_default().lines().count()
}

async fn rig_with(behaviour: Behaviour, source: SourceSettings) -> Rig {
    Rig::start_with(behaviour, |settings| {
        settings.credentials.rules = vec![Rule { pattern: None, source }];
    })
    .await
}

async fn get(rig: &Rig, repository: &str) -> Result<ManifestBody, Error> {
    let repository: Repository = repository.parse().unwrap();
    within("a manifest", rig.upstream.get_manifest(&repository, &parse("latest"))).await
}

fn put(registry: &FakeRegistry, repository: &str) {
    let bytes = Bytes::from_static(br#"{"schemaVersion":2}"#);
    registry.put_manifest(repository, Some("latest"), MANIFEST_TYPE, bytes);
}

#[tokio::test]
async fn a_program_is_asked_once_for_many_requests() {
    let directory = tempfile::tempdir().unwrap();
    write_login(directory.path(), "word");
    let rig = rig_with(private("word"), command(directory.path())).await;
    assert_eq!(rig.upstream.logins()[0].state, LoginState::Unused);
    rig.put_manifest();
    for _ in 0..3 {
        rig.get("latest").await.unwrap();
    }
    assert_eq!(runs(directory.path()), 1);
    let status = &rig.upstream.logins()[0];
    assert_eq!((status.state, status.expires_at.is_some()), (LoginState::Held, true));
    assert_eq!(rig.sample("wharf_logins_asked_total{registry=\"fake\",result=\"given\"}"), Some(1));
}

/// The token service, and then the registry itself, refuse a login that ended before its time.
#[tokio::test]
async fn a_refused_login_is_replaced_within_the_same_pull() {
    let behaviours: [fn(&str) -> Behaviour; 2] =
        [private, |password| Behaviour { auth: Auth::basic("robot", password), ..Behaviour::default() }];
    for behaviour in behaviours {
        let directory = tempfile::tempdir().unwrap();
        write_login(directory.path(), "old");
        let rig = rig_with(behaviour("old"), command(directory.path())).await;
        rig.put_manifest();
        rig.get("latest").await.unwrap();
        write_login(directory.path(), "new");
        rig.registry.change(|it| it.auth = behaviour("new").auth);
        rig.registry.revoke_tokens();
        rig.get("latest").await.unwrap();
        assert_eq!(runs(directory.path()), 2);
    }
}

#[tokio::test]
async fn a_login_that_stays_wrong_starts_the_program_once_more_and_is_denied() {
    let directory = tempfile::tempdir().unwrap();
    write_login(directory.path(), "wrong");
    let rig = rig_with(private("word"), command(directory.path())).await;
    rig.put_manifest();
    for _ in 0..3 {
        assert_eq!(rig.get("latest").await.unwrap_err().kind(), ErrorKind::Denied);
    }
    assert_eq!(runs(directory.path()), 2, "one question after the refusals, not one for each");
}

/// Without its login, the registry would answer that private content does not exist. So it is not asked.
#[tokio::test]
async fn a_source_that_fails_never_becomes_a_definite_no() {
    let directory = tempfile::tempdir().unwrap();
    let rig = rig_with(private("word"), command(directory.path())).await;
    rig.put_manifest();
    let error = rig.get("latest").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(error.to_string().contains("its credential source command"), "{error}");
    assert!(rig.registry.requests().is_empty());
    assert_eq!(rig.upstream.logins()[0].state, LoginState::Failing);
    assert_eq!(rig.sample("wharf_login_sources_failing{registry=\"fake\"}"), Some(1));
}

#[tokio::test]
async fn s36_two_accounts_of_one_registry_share_no_token() {
    let registry = FakeRegistry::start_with(private("team-word")).await;
    for repository in ["team/app", "library/alpine"] {
        put(&registry, repository);
    }
    let account = |pattern: Option<&str>, password: &str| Rule {
        pattern: pattern.map(|pattern| pattern.parse().unwrap()),
        source: SourceSettings::Fixed(Login::password("robot", password).unwrap()),
    };
    let rig = Rig::before(registry, |settings| {
        settings.credentials.rules = vec![account(Some("team/*"), "team-word"), account(None, "other-word")];
    });
    get(&rig, "team/app").await.unwrap();
    let error = get(&rig, "library/alpine").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "the token of the other account is not used");
    let sent = rig.registry.log().credentials(Endpoint::Token);
    let passwords: Vec<_> = sent
        .iter()
        .map(|sent| match sent {
            Credential::Basic { password, .. } => password.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(passwords, ["team-word", "other-word"]);
}

/// Two registries with sources of the same kind never see each other's login.
#[tokio::test]
async fn s36_two_registries_with_one_kind_of_source_share_no_login() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_login(one.path(), "one-word");
    write_login(two.path(), "two-word");
    let first = rig_with(private("one-word"), command(one.path())).await;
    let second = rig_with(private("two-word"), command(two.path())).await;
    for (rig, own) in [(&first, "one-word"), (&second, "two-word")] {
        rig.put_manifest();
        rig.get("latest").await.unwrap();
        let sent = rig.registry.log().credentials(Endpoint::Token);
        assert_eq!(sent, [Credential::Basic { user: "robot".to_owned(), password: own.to_owned() }]);
    }
}

/// A registry may be called `docker.io` and get its images from a mirror, which is not Docker Hub.
#[tokio::test]
async fn s36_a_file_gives_the_login_of_the_upstreams_own_host_and_never_that_of_the_name() {
    let directory = tempfile::tempdir().unwrap();
    let login = |password: &str| format!(r#"{{"username":"robot","password":"{password}"}}"#);
    let hub =
        ["docker.io", "https://index.docker.io/v1/"].map(|key| format!("{key:?}:{}", login("hub-word")));
    let registry = FakeRegistry::start_with(private("own-word")).await;
    put(&registry, "library/alpine");
    let own = format!("{:?}:{}", registry.host_of(Endpoint::Registry), login("own-word"));
    let passwords = |rig: &Rig| -> Vec<String> {
        let sent = rig.registry.log().credentials(Endpoint::Token).into_iter();
        sent.filter_map(|sent| match sent {
            Credential::Basic { password, .. } => Some(password),
            _ => None,
        })
        .collect()
    };
    let path = directory.path().join("config.json");
    let write =
        |entries: &[String]| std::fs::write(&path, format!(r#"{{"auths":{{{}}}}}"#, entries.join(",")));
    write(&hub).unwrap();
    let source = SourceSettings::PullSecret { path: path.clone() };
    let rig = Rig::before(registry, |settings| {
        settings.name = "docker.io".to_owned();
        settings.credentials.rules = vec![Rule { pattern: None, source: source.clone() }];
    });
    get(&rig, "library/alpine").await.unwrap_err();
    assert_eq!(passwords(&rig), [""; 0], "the login of Docker Hub stays here");
    assert_eq!(rig.upstream.logins()[0].state, LoginState::None);
    write(&[&hub[..], &[own]].concat()).unwrap();
    let rig = Rig::before(rig.registry, |settings| {
        settings.name = "docker.io".to_owned();
        settings.credentials.rules = vec![Rule { pattern: None, source }];
    });
    get(&rig, "library/alpine").await.unwrap();
    assert_eq!(passwords(&rig), ["own-word"]);
}

#[tokio::test]
async fn s01_an_identity_token_goes_to_the_trusted_token_service_in_a_form_and_nowhere_else() {
    let service = StandIn::start(|request| {
        match request.method == "POST" && request.body.contains("refresh_token=canary-word") {
            true => (200, r#"{"access_token":"short","expires_in":300}"#.to_owned()),
            false => (401, String::new()),
        }
    })
    .await;
    let realm = format!("{}/oauth2/token", service.url());
    // The stand-in has no challenge of its own, so the fake registry gives it.
    let fake = FakeRegistry::start_with(Behaviour { realm: Some(realm), ..private("unused") }).await;
    let mut with_token = settings(&fake);
    let host = Url::parse(&service.url()).unwrap();
    with_token.trusted_hosts.push(format!("127.0.0.1:{}", host.port().unwrap()));
    with_token.credentials = credentials::Settings::of(Login::identity_token("canary-word").unwrap());
    let (upstream, _metrics) = build(with_token);
    let (repository, latest) = (repository(), parse("latest"));
    let asked = upstream.get_manifest(&repository, &latest);
    // The fake does not know the token that the service gave, so the pull itself is refused.
    let error = within("a manifest", asked).await.unwrap_err();
    let posts = service.asked();
    assert_eq!(posts.len(), 1, "{error}");
    let form = &posts[0].body;
    for pair in ["grant_type=refresh_token", "service=fake.registry", "refresh_token=canary-word"] {
        assert!(form.contains(pair), "{form}");
    }
    assert!(form.contains("scope=repository%3Alibrary%2Falpine%3Apull"), "{form}");
    assert_eq!(posts[0].field("authorization"), None);
    let elsewhere = fake.log().credentials(Endpoint::Registry);
    assert!(elsewhere.iter().all(|sent| *sent == Credential::Bearer("short".to_owned())), "{elsewhere:?}");
    assert!(!elsewhere.is_empty());
    assert!(!format!("{error} {error:?} {upstream:?}").contains("canary-word"));
}

#[tokio::test]
async fn s01_an_identity_token_is_not_sent_to_a_realm_of_another_owner() {
    let thief = StandIn::start(|_| (200, r#"{"token":"short"}"#.to_owned())).await;
    let realm = format!("{}/token", thief.url());
    let fake = FakeRegistry::start_with(Behaviour { realm: Some(realm), ..private("unused") }).await;
    let mut with_token = settings(&fake);
    with_token.credentials = credentials::Settings::of(Login::identity_token("canary-word").unwrap());
    let (upstream, _metrics) = build(with_token);
    let (repository, latest) = (repository(), parse("latest"));
    let asked = upstream.get_manifest(&repository, &latest);
    within("a manifest", asked).await.unwrap_err();
    assert!(thief.asked().iter().all(|request| !format!("{request:?}").contains("canary-word")));
}

#[tokio::test]
async fn a_registry_token_goes_to_the_registry_itself() {
    let registry = Rig::start_with(private("word"), |settings| {
        settings.credentials = credentials::Settings::of(Login::registry_token("direct").unwrap());
    })
    .await;
    registry.put_manifest();
    assert_eq!(registry.get("latest").await.unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(registry.registry.log().count(Kind::Token), 0);
    let sent = registry.registry.log().credentials(Endpoint::Registry);
    assert_eq!(sent, [Credential::Bearer("direct".to_owned())]);
}

#[tokio::test]
async fn s28_no_source_shows_its_login() {
    const CANARY: &str = "canary-word";
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    write_login(directory.path(), CANARY);
    std::fs::write(at("password"), CANARY).unwrap();
    let process = ProcessSettings {
        program: PathBuf::new(),
        arguments: Vec::new(),
        variables: Variables::of(["TOKEN"], |_| Some(CANARY.to_owned())),
        timeout: Duration::from_secs(30),
    };
    let sources = [
        SourceSettings::Fixed(Login::password("robot", CANARY).unwrap()),
        SourceSettings::PasswordFile { user: "robot".to_owned(), path: at("password") },
        SourceSettings::PullSecret { path: at("config.json") },
        SourceSettings::DockerConfig { path: at("config.json"), process },
        command(directory.path()),
    ];
    for source in sources {
        let name = source.to_string();
        let rig = rig_with(private(CANARY), source.clone()).await;
        let host = rig.registry.host_of(Endpoint::Registry);
        let config = format!(r#"{{"auths":{{"{host}":{{"username":"robot","password":"{CANARY}"}}}}}}"#);
        std::fs::write(at("config.json"), config).unwrap();
        rig.put_manifest();
        rig.get("latest").await.unwrap_or_else(|error| panic!("{name}: {error}"));
        rig.registry.change(|it| it.auth = private("another").auth);
        rig.registry.revoke_tokens();
        let error = rig.get("latest").await.unwrap_err();
        let printed = format!(
            "{name} {source:?} {error} {error:?} {:?} {:?} {}",
            rig.upstream,
            rig.upstream.logins(),
            rig.metrics.encode()
        );
        assert!(!printed.contains("canary"), "{printed}");
    }
}
