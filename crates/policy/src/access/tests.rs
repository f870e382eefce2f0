use proptest::prelude::*;

use super::*;

const DIGEST: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

fn asked(path: &str) -> Request {
    Request::parse(path, None).unwrap()
}

/// Every request about a repository.
fn requests(repository: &str) -> Vec<Request> {
    [
        format!("/v2/{repository}/manifests/1"),
        format!("/v2/{repository}/manifests/{DIGEST}"),
        format!("/v2/{repository}/blobs/{DIGEST}"),
        format!("/v2/{repository}/tags/list"),
        format!("/v2/{repository}/referrers/{DIGEST}"),
    ]
    .iter()
    .map(|path| asked(path))
    .collect()
}

fn names(texts: &[&str]) -> Vec<NamePattern> {
    texts.iter().map(|text| NamePattern::parse(text).unwrap()).collect()
}

fn images(texts: &[&str]) -> Vec<ImagePattern> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn rules(ways: Ways) -> Rules {
    Rules { registry: "quay.io".to_owned(), section: "[access]".to_owned(), ways, ..Rules::default() }
}

fn user(name: &str) -> Identity {
    Identity { login: Some(Login::User(name.into())), ..Identity::of_address("192.0.2.7".parse().unwrap()) }
}

fn token(name: &str) -> Identity {
    Identity { login: Some(Login::Token(name.into())), ..user("") }
}

fn stranger() -> Identity {
    Identity { login: None, ..user("") }
}

fn refused(reason: Reason, rule: &str) -> Decision {
    Decision::Refuse(Refused { reason, rule: rule.to_owned() })
}

#[test]
fn without_rules_every_client_may_read_everything() {
    let open = rules(Ways::default());
    for request in requests("team/app").into_iter().chain([asked("/v2/"), asked("/v2/_catalog")]) {
        assert_eq!(decide(&open, &stranger(), &request), Decision::Allow, "{request:?}");
    }
}

#[test]
fn the_ways_combine_as_any_or_all() {
    let inside = Some(vec!["10.0.0.0/8".parse().unwrap()]);
    let certificates = Some(names(&["*.ci.example"]));
    let at = |address: &str, login: bool, certificate: Option<&str>| Identity {
        login: login.then(|| Login::User("alice".into())),
        certificate: certificate.map(|name| [name.to_owned()].into()),
        ..Identity::of_address(address.parse().unwrap())
    };
    let (near, far) = ("10.1.2.3", "192.0.2.7");
    let (good, bad) = (Some("a.ci.example"), Some("a.example"));
    let no_address = || refused(Reason::Address, "addresses of [access]");
    let no_certificate = || refused(Reason::Certificate, "client_names of [access]");
    // logins, addresses, certificates, require; client; decision
    let table = [
        ((true, false, false, Require::Any), at(far, false, None), Decision::Challenge),
        ((true, false, false, Require::Any), at(far, true, None), Decision::Allow),
        ((false, true, false, Require::Any), at(far, true, None), no_address()),
        ((false, true, false, Require::Any), at(near, false, None), Decision::Allow),
        ((false, false, true, Require::Any), at(near, true, bad), no_certificate()),
        ((false, false, true, Require::Any), at(far, false, good), Decision::Allow),
        ((true, true, true, Require::Any), at(far, false, bad), Decision::Challenge),
        ((true, true, true, Require::Any), at(near, false, bad), Decision::Allow),
        ((true, true, false, Require::All), at(near, false, None), Decision::Challenge),
        ((true, true, false, Require::All), at(far, true, None), no_address()),
        ((true, true, false, Require::All), at(far, false, None), no_address()),
        ((true, true, false, Require::All), at(near, true, None), Decision::Allow),
        ((true, true, true, Require::All), at(near, true, bad), no_certificate()),
        ((true, true, true, Require::All), at(near, false, good), Decision::Challenge),
        ((true, true, true, Require::All), at(near, true, good), Decision::Allow),
    ];
    for ((logins, by_address, by_certificate, require), client, expected) in table {
        let ways = Ways {
            logins,
            addresses: inside.clone().filter(|_| by_address),
            certificates: certificates.clone().filter(|_| by_certificate),
            require,
        };
        let rules = rules(ways);
        for request in requests("team/app").into_iter().chain([asked("/v2/"), asked("/v2/_catalog")]) {
            assert_eq!(decide(&rules, &client, &request), expected, "{rules:?} {client:?}");
        }
    }
}

#[test]
fn patterns_decide_about_every_request_for_a_repository_and_deny_wins() {
    let own = Repositories { allow: Some(images(&["team/*", "tools"])), deny: images(&["team/secret*"]) };
    let rules = Rules { repositories: own, ..rules(Ways::default()) };
    let denied = || refused(Reason::Denied, "deny = \"team/secret*\" of [access]");
    let table = [
        ("team/app", Decision::Allow),
        ("tools", Decision::Allow),
        ("team/secret", denied()),
        ("team/secret/app", denied()),
        ("other/app", refused(Reason::NotAllowed, "allow of [access]")),
        ("tools/app", refused(Reason::NotAllowed, "allow of [access]")),
    ];
    for (repository, expected) in table {
        for request in requests(repository) {
            assert_eq!(decide(&rules, &stranger(), &request), expected, "{request:?}");
        }
        let is_listed = may_list(&rules, &stranger(), &repository.parse().unwrap());
        assert_eq!(is_listed, expected == Decision::Allow, "{repository}");
    }
}

#[test]
fn a_pattern_with_a_registry_is_for_that_registry_alone() {
    let own = Repositories { allow: Some(images(&["ghcr.io/team/*"])), deny: Vec::new() };
    let at = |registry: &str| Rules {
        registry: registry.to_owned(),
        repositories: own.clone(),
        ..rules(Ways::default())
    };
    let request = &requests("team/app")[0];
    assert_eq!(decide(&at("ghcr.io"), &stranger(), request), Decision::Allow);
    let decision = decide(&at("quay.io"), &stranger(), request);
    assert_eq!(decision, refused(Reason::NotAllowed, "allow of [access]"));
}

#[test]
fn a_rule_for_certain_clients_takes_the_place_of_the_sections_allow_and_adds_to_its_deny() {
    let ci = ClientRule {
        users: names(&["ci-*"]),
        repositories: Repositories { allow: Some(images(&["build/*"])), deny: images(&["*/keys"]) },
        ..ClientRule::default()
    };
    let deploy = ClientRule {
        tokens: names(&["deploy"]),
        repositories: Repositories { allow: None, deny: images(&["team/draft"]) },
        ..ClientRule::default()
    };
    let own = Repositories { allow: Some(images(&["team/*"])), deny: images(&["team/secret"]) };
    let rules = Rules { repositories: own, clients: vec![ci, deploy], ..rules(Ways::default()) };
    let table = [
        (user("alice"), "team/app", Decision::Allow),
        (user("alice"), "build/app", refused(Reason::NotAllowed, "allow of [access]")),
        (user("ci-1"), "build/app", Decision::Allow),
        (user("ci-1"), "team/app", refused(Reason::NotAllowed, "allow of rule 1 of [access]")),
        (user("ci-1"), "build/keys", refused(Reason::Denied, "deny = \"*/keys\" of rule 1 of [access]")),
        (user("ci-1"), "team/secret", refused(Reason::Denied, "deny = \"team/secret\" of [access]")),
        (token("ci-1"), "build/app", refused(Reason::NotAllowed, "allow of [access]")),
        (token("deploy"), "team/app", Decision::Allow),
        (
            token("deploy"),
            "team/draft",
            refused(Reason::Denied, "deny = \"team/draft\" of rule 2 of [access]"),
        ),
        (user("deploy"), "team/draft", Decision::Allow),
    ];
    for (client, repository, expected) in table {
        for request in requests(repository) {
            assert_eq!(decide(&rules, &client, &request), expected, "{client:?} {repository}");
        }
    }
}

/// A client that came in by its address has no reason to log in unless it is asked to.
#[test]
fn a_client_without_a_login_is_challenged_where_a_rule_for_logins_opens_the_repository() {
    let ci = ClientRule {
        users: names(&["ci-*"]),
        addresses: vec!["10.0.0.0/8".parse().unwrap()],
        repositories: Repositories { allow: Some(images(&["build/*"])), deny: images(&["build/keys"]) },
        ..ClientRule::default()
    };
    let own = Repositories { allow: Some(images(&["team/*"])), deny: images(&["build/old"]) };
    let with = |ways| Rules { repositories: own.clone(), clients: vec![ci.clone()], ..rules(ways) };
    let every_address = || Some(vec!["0.0.0.0/0".parse().unwrap()]);
    let by_address_or_login = with(Ways { logins: true, addresses: every_address(), ..Ways::default() });
    let near = Identity::of_address("10.1.2.3".parse().unwrap());
    let not_allowed = || refused(Reason::NotAllowed, "allow of [access]");
    let old = || refused(Reason::Denied, "deny = \"build/old\" of [access]");
    for (client, repository, expected) in [
        (stranger(), "team/app", Decision::Allow),
        (stranger(), "build/app", Decision::Challenge),
        (near.clone(), "build/app", Decision::Allow),
        (user("ci-1"), "build/app", Decision::Allow),
        // The client has said who it is.
        (user("alice"), "build/app", not_allowed()),
        (token("ci-1"), "build/app", not_allowed()),
        // No login opens these.
        (stranger(), "other/app", not_allowed()),
        (stranger(), "build/keys", not_allowed()),
        (stranger(), "build/old", old()),
        (near, "build/keys", refused(Reason::Denied, "deny = \"build/keys\" of rule 1 of [access]")),
    ] {
        for request in requests(repository) {
            let decision = decide(&by_address_or_login, &client, &request);
            assert_eq!(decision, expected, "{client:?} {repository}");
        }
    }
    // Where no login can be proved, nobody is asked for one.
    let by_address = with(Ways { addresses: every_address(), ..Ways::default() });
    assert_eq!(decide(&by_address, &stranger(), &requests("build/app")[0]), not_allowed());
}

#[test]
fn an_identity_shows_the_name_that_was_proved() {
    let certificate = Identity { certificate: Some(["node.example".to_owned()].into()), ..stranger() };
    for (identity, shown) in [
        (user("alice"), "user alice"),
        (token("ci"), "token ci"),
        (certificate, "certificate node.example"),
        (stranger(), ""),
    ] {
        assert_eq!(identity.to_string(), shown);
    }
}

fn any_identity() -> impl Strategy<Value = Identity> {
    let login = prop_oneof![
        Just(None),
        "[ab]".prop_map(|name| Some(Login::User(name.as_str().into()))),
        "[ab]".prop_map(|name| Some(Login::Token(name.as_str().into()))),
    ];
    let certificate = proptest::option::of("[ab]").prop_map(|name| name.map(|name| [name].into()));
    (login, certificate, any::<bool>()).prop_map(|(login, certificate, is_near)| Identity {
        address: if is_near { "10.0.0.1" } else { "192.0.2.7" }.parse().unwrap(),
        login,
        certificate,
    })
}

fn any_repositories() -> impl Strategy<Value = Repositories> {
    let pattern = || prop_oneof!["[xy]/[xy]", Just("*".to_owned()), Just("x/*".to_owned())];
    let list = move || {
        proptest::collection::vec(pattern(), 0..3).prop_map(|texts| {
            texts.iter().map(|text| text.parse::<ImagePattern>().unwrap()).collect::<Vec<_>>()
        })
    };
    (proptest::option::of(list()), list()).prop_map(|(allow, deny)| Repositories { allow, deny })
}

fn any_rules() -> impl Strategy<Value = Rules> {
    let pattern = || proptest::collection::vec("[ab*]", 0..2);
    let pattern =
        move || pattern().prop_map(|texts| names(&texts.iter().map(String::as_str).collect::<Vec<_>>()));
    let network = || proptest::collection::vec(Just("10.0.0.0/8".parse::<Network>().unwrap()), 0..2);
    let client = (pattern(), pattern(), pattern(), network(), any_repositories()).prop_map(
        |(users, tokens, certificates, addresses, repositories)| ClientRule {
            users,
            tokens,
            certificates,
            addresses,
            repositories,
        },
    );
    let ways =
        (any::<bool>(), proptest::option::of(network()), proptest::option::of(pattern()), any::<bool>());
    (ways, any_repositories(), proptest::collection::vec(client, 0..3)).prop_map(|(ways, own, clients)| {
        let (logins, addresses, certificates, is_all) = ways;
        let require = if is_all { Require::All } else { Require::Any };
        let ways = Ways { logins, addresses, certificates, require };
        Rules { repositories: own, clients, ..rules(ways) }
    })
}

proptest! {
    #[test]
    fn a_denied_repository_is_never_served(rules in any_rules(), client in any_identity(), name in "[xy]/[xy]") {
        let denies = |it: &Repositories| it.deny.iter().any(|pattern| pattern.names_repository_of("quay.io", &name));
        let named = rules.clients.iter().filter(|rule| rule.names(&client));
        let is_denied = denies(&rules.repositories) || named.clone().any(|rule| denies(&rule.repositories));
        for request in requests(&name) {
            let decision = decide(&rules, &client, &request);
            prop_assert!(!is_denied || decision != Decision::Allow, "{decision:?}");
            // Every kind of request gets the same decision.
            prop_assert_eq!(&decision, &decide(&rules, &client, &requests(&name)[0]));
        }
    }

    #[test]
    fn a_client_that_proves_less_gets_in_nowhere_else(rules in any_rules(), client in any_identity()) {
        let less = Identity { login: None, certificate: None, address: "192.0.2.7".parse().unwrap() };
        if rules.admit(&less) == Decision::Allow {
            prop_assert_eq!(rules.admit(&client), Decision::Allow);
        }
    }

    #[test]
    fn a_list_names_only_what_may_be_read(rules in any_rules(), client in any_identity(), name in "[xy]/[xy]") {
        if decide(&rules, &client, &asked("/v2/_catalog")) == Decision::Allow {
            let may_read = decide(&rules, &client, &requests(&name)[0]) == Decision::Allow;
            prop_assert_eq!(may_list(&rules, &client, &name.parse().unwrap()), may_read);
        }
    }

    #[test]
    fn a_challenge_is_only_for_rules_with_logins(rules in any_rules(), client in any_identity()) {
        if rules.admit(&client) == Decision::Challenge {
            prop_assert!(rules.ways.logins && client.login.is_none());
        }
    }

    #[test]
    fn a_client_for_whom_a_login_opens_something_is_challenged(
        rules in any_rules(), client in any_identity(), login in any_identity(), name in "[xy]/[xy]"
    ) {
        let before = Identity { login: None, ..client };
        let after = Identity { login: login.login, ..before.clone() };
        for request in requests(&name) {
            let decision = decide(&rules, &before, &request);
            let with_login = decide(&rules, &after, &request);
            if rules.ways.logins && decision != Decision::Allow && with_login == Decision::Allow {
                prop_assert_eq!(decision, Decision::Challenge);
            } else if decision == Decision::Challenge {
                prop_assert!(rules.ways.logins);
            }
        }
    }
}
