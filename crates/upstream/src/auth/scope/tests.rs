use oci::Repository;

use super::ScopeRule;

fn repository(name: &str) -> Repository {
    name.parse().unwrap()
}

/// The scope asked for the repository that was challenged, and for another one afterwards.
fn check(challenge: Option<&str>, same: &str, other: &str) {
    let challenged = repository("library/alpine");
    let rule = ScopeRule::learn(challenge, &challenged);
    assert_eq!(rule.of(&challenged), same, "{challenge:?}");
    assert_eq!(rule.of(&repository("a/b")), other, "{challenge:?}");
}

#[test]
fn s36_only_pull_is_ever_asked_for() {
    let own = "repository:library/alpine:pull";
    let other = "repository:a/b:pull";
    check(None, own, other);
    check(Some(""), own, other);
    check(Some("repository:library/alpine:pull"), own, other);
    check(Some("repository:library/alpine:pull,push"), own, other);
    check(Some("repository:library/alpine:*"), own, other);
    check(Some("repository:library/alpine:pull repository:secret/x:push"), own, other);
    check(Some("aws"), "aws", "aws");
}

#[test]
fn a_registry_may_call_a_repository_otherwise_but_only_that_one() {
    let other = "repository:a/b:pull";
    check(Some("repository:mirror/library/alpine:pull"), "repository:mirror/library/alpine:pull", other);
    check(Some("repository:host:5000/alpine:push"), "repository:host:5000/alpine:pull", other);
    check(Some("registry:catalog:*"), "registry:catalog:pull", other);
}
