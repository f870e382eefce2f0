use oci::Repository;

use super::{Need, RENAMED_COUNT_MAX, Scope, Scopes};

fn repository(name: &str) -> Repository {
    name.parse().unwrap()
}

/// The scope for the repository that was challenged, and the one for another repository afterwards.
fn asked(need: Need, challenge: Option<&str>) -> (String, String) {
    let challenged = repository("library/alpine");
    let mut scopes = Scopes::default();
    scopes.learn(need, &challenged, &Scope::read(challenge, &challenged));
    (scopes.of(need, &challenged), scopes.of(need, &repository("a/b")))
}

fn check(challenge: Option<&str>, same: &str, other: &str) {
    assert_eq!(asked(Need::Content, challenge), (same.to_owned(), other.to_owned()), "{challenge:?}");
}

#[test]
fn s36_nothing_is_ever_asked_for_but_reading() {
    let own = "repository:library/alpine:pull";
    let other = "repository:a/b:pull";
    check(None, own, other);
    check(Some(""), own, other);
    check(Some("repository:library/alpine:pull"), own, other);
    check(Some("repository:library/alpine:pull,push"), own, other);
    check(Some("repository:library/alpine:push,pull"), own, other);
    check(Some("repository:library/alpine:*"), own, other);
    check(Some("repository:library/alpine:"), own, other);
    check(Some("repository:library/alpine"), own, other);
    check(Some("repository:library/alpine:pull repository:secret/x:push"), own, other);
    check(Some("repository:secret/x:push,delete repository:library/alpine:pull"), own, other);
    check(Some("aws"), "aws", "aws");
    check(Some(&format!("repository:{}:pull", "x".repeat(2000))), own, other);
    for writing in ["push", "metadata_write", "content/write", "DELETE", "pullpush", "admin", "*"] {
        check(Some(&format!("repository:library/alpine:{writing}")), own, other);
        check(Some(&format!("repository:library/alpine:{writing},pull")), own, other);
    }
}

#[test]
fn a_registry_may_call_a_repository_otherwise_but_only_that_one() {
    let other = "repository:a/b:pull";
    check(Some("repository:mirror/library/alpine:pull"), "repository:mirror/library/alpine:pull", other);
    check(Some("repository:host:5000/alpine:push"), "repository:host:5000/alpine:pull", other);
    check(Some("registry:catalog:*"), "registry:catalog:pull", other);
    let two = "repository:team/two:pull repository:team/base:pull";
    check(Some(two), two, other);
}

#[test]
fn k4_what_a_list_needs_is_asked_for_lists_alone() {
    let listed =
        ("repository:library/alpine:metadata_read".to_owned(), "repository:a/b:metadata_read".to_owned());
    assert_eq!(asked(Need::Tags, Some("repository:library/alpine:metadata_read")), listed);
    assert_eq!(asked(Need::Tags, Some("repository:library/alpine:metadata_read,metadata_write")), listed);
    let alpine = repository("library/alpine");
    let mut scopes = Scopes::default();
    scopes.learn(Need::Tags, &alpine, &Scope::read(Some("repository:library/alpine:metadata_read"), &alpine));
    scopes.learn(Need::Referrers, &alpine, &Scope::read(Some("repository:virtual/alpine:list"), &alpine));
    assert_eq!(scopes.of(Need::Content, &alpine), "repository:library/alpine:pull");
    assert_eq!(scopes.of(Need::Referrers, &alpine), "repository:virtual/alpine:list");
    scopes.learn(Need::Content, &alpine, &Scope::read(Some("repository:library/alpine:pull"), &alpine));
    assert_eq!(scopes.of(Need::Tags, &alpine), "repository:library/alpine:metadata_read");
    scopes.learn(Need::Referrers, &alpine, &Scope::read(Some("repository:library/alpine:pull"), &alpine));
    assert_eq!(
        scopes.of(Need::Referrers, &alpine),
        "repository:library/alpine:pull",
        "the newest word counts"
    );
}

#[test]
fn a_word_that_names_a_writing_action_is_dropped_beside_other_scopes() {
    let alpine = repository("library/alpine");
    let asked = |scope: &str| Scope::read(Some(scope), &alpine).of(&alpine);
    for word in ["*", "push", "Admin", "registry-write"] {
        let scope = format!("repository:library/alpine:pull {word}");
        assert_eq!(asked(&scope), "repository:library/alpine:pull", "{scope}");
    }
    assert_eq!(asked("repository:library/alpine:pull aws"), "repository:library/alpine:pull aws");
}

#[test]
fn a_word_for_all_is_one_for_lists_too() {
    let alpine = repository("library/alpine");
    let mut scopes = Scopes::default();
    scopes.learn(Need::Content, &alpine, &Scope::read(Some("aws"), &alpine));
    assert_eq!(scopes.of(Need::Tags, &repository("a/b")), "aws");
}

#[test]
fn the_names_that_a_registry_gives_are_bounded() {
    let mut scopes = Scopes::default();
    for number in 0..3 * RENAMED_COUNT_MAX {
        let name = repository(&format!("team/n{number}"));
        scopes.learn(Need::Content, &name, &Scope::read(Some("repository:virtual/team/two:pull"), &name));
    }
    assert!(scopes.renamed.len() <= RENAMED_COUNT_MAX);
}
