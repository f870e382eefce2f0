use super::*;

fn target(host: &str, path: &str) -> Target {
    Target::new(host, path)
}

fn login(text: &str, host: &str) -> Result<Option<Login>, Failure> {
    DockerConfig::read(text.as_bytes())?.entry(&target(host, ""))
}

fn password(user: &str, password: &str) -> Option<Login> {
    Some(Login::password(user, password).unwrap())
}

#[test]
fn every_form_of_an_entry_gives_its_login() {
    let table = [
        (r#"{"auths":{"ghcr.io":{"auth":"dTpwOnc="}}}"#, password("u", "p:w")),
        (r#"{"auths":{"ghcr.io":{"auth":"dTpwOnc"}}}"#, password("u", "p:w")),
        (r#"{"auths":{"https://ghcr.io":{"username":"u","password":"p"}}}"#, password("u", "p")),
        (r#"{"auths":{"ghcr.io":{"auth":"dTpw","username":"x","password":"y"}}}"#, password("u", "p")),
        (
            r#"{"auths":{"ghcr.io":{"auth":"dTpw","identitytoken":"refresh"}}}"#,
            Some(Login::identity_token("refresh").unwrap()),
        ),
        (
            r#"{"auths":{"ghcr.io":{"registrytoken":"direct"}}}"#,
            Some(Login::registry_token("direct").unwrap()),
        ),
        (r#"{"auths":{"ghcr.io":{}}}"#, None),
        (r#"{"auths":{"quay.io":{"auth":"dTpw"}}}"#, None),
        (r#"{"auths":{},"HttpHeaders":{"X":"y"},"psFormat":"table"}"#, None),
        // A `.dockercfg`.
        (r#"{"https://ghcr.io":{"auth":"dTpw","email":"a@b"}}"#, password("u", "p")),
        ("{}", None),
    ];
    for (text, expected) in table {
        assert_eq!(login(text, "ghcr.io"), Ok(expected), "{text}");
    }
    let hub = r#"{"auths":{"https://index.docker.io/v1/":{"auth":"dTpw"}}}"#;
    assert_eq!(login(hub, "registry-1.docker.io"), Ok(password("u", "p")));
}

#[test]
fn the_longest_path_wins() {
    let text = r#"{"auths":{"quay.io":{"auth":"YTpi"},"quay.io/team":{"auth":"Yzpk"}}}"#;
    let config = DockerConfig::read(text.as_bytes()).unwrap();
    assert_eq!(config.entry(&target("quay.io", "team/app")), Ok(password("c", "d")));
    assert_eq!(config.entry(&target("quay.io", "")), Ok(password("a", "b")));
}

#[test]
fn s28_a_document_that_cannot_be_read_is_not_quoted() {
    for text in [
        "canary-word",
        "[\"canary-word\"]",
        r#"{"auths":{"ghcr.io":{"auth":7,"canary-word":1}}}"#,
        r#"{"auths":{"ghcr.io":{"auth":"canary-word"}}}"#,
        r#"{"auths":{"ghcr.io":{"username":"u:v","password":"canary-word"}}}"#,
        r#"{"auths":{"ghcr.io":{"identitytoken":"canary word"}}}"#,
        r#"{"auths":{"ghcr.io":{"auth":{"canary-word":1}}}}"#,
    ] {
        let failure = login(text, "ghcr.io").unwrap_err();
        assert!(!format!("{failure} {failure:?}").contains("canary"), "{failure}");
    }
}

#[test]
fn helpers_are_named_for_one_registry_or_for_all() {
    let text = r#"{"auths":{"https://quay.io":{}},"credsStore":"pass","credHelpers":{"ghcr.io":"gh"}}"#;
    let config = DockerConfig::read(text.as_bytes()).unwrap();
    let helper = |host: &str| config.helper(&target(host, "")).unwrap();
    assert_eq!(helper("ghcr.io"), ("gh", vec!["ghcr.io".to_owned()]));
    assert_eq!(helper("quay.io"), ("pass", vec!["https://quay.io".to_owned(), "quay.io".to_owned()]));
    assert_eq!(helper("docker.io"), ("pass", vec!["https://index.docker.io/v1/".to_owned()]));
    assert!(DockerConfig::read(b"{}").unwrap().helper(&target("ghcr.io", "")).is_none());
}
