use oci::Algorithm;

use super::*;

fn digest() -> Digest {
    Digest::of(Algorithm::Sha256, b"an image")
}

fn names(pattern: &str, registry: &str, repository: &str, tags: &[&str]) -> bool {
    let pattern: ImagePattern = pattern.parse().unwrap();
    let image = NamedImage { registry, repository, digest: &digest() };
    pattern.names(image, tags.iter().copied())
}

#[test]
fn a_pattern_names_the_repository_and_the_tag() {
    let table: &[(&str, &str, &[&str], bool)] = &[
        ("library/*", "library/alpine", &["3.19"], true),
        ("library/*", "library/alpine", &[], true),
        ("library/*", "library/a/b", &[], true),
        ("library/*", "other/alpine", &["3.19"], false),
        ("library/*:v1.*", "library/app", &["v1.2"], true),
        ("library/*:v1.*", "library/app", &["v2.0", "v1.0"], true),
        ("library/*:v1.*", "library/app", &["v2.0"], false),
        // An image without tags matches no pattern for a tag.
        ("library/*:*", "library/app", &[], false),
        ("*", "any/thing", &[], true),
        ("*:latest", "any/thing", &["latest"], true),
        ("*:latest", "any/thing", &["latest-alpine"], false),
        ("app:v?", "app", &["v1"], true),
        ("app:v?", "app", &["v10"], false),
        ("app:v?", "app", &["v"], false),
        ("a*b*c", "a-b-b-c", &[], true),
        ("a*b*c", "a-b-b-d", &[], false),
        ("**", "x", &[], true),
        ("app", "app", &[], true),
        ("app", "apps", &[], false),
        ("app", "ap", &[], false),
    ];
    for (pattern, repository, tags, expected) in table {
        assert_eq!(names(pattern, "ghcr.io", repository, tags), *expected, "{pattern} {repository} {tags:?}");
    }
}

#[test]
fn a_pattern_means_what_docker_means_by_the_name() {
    let table = [
        ("alpine", "docker.io", "library/alpine", true),
        ("alp*", "docker.io", "library/alpine", true),
        ("alp*", "docker.io", "alpine/git", false),
        ("alpine", "docker.io", "org/alpine", false),
        ("*", "docker.io", "org/alpine", true),
        ("*alpine", "docker.io", "org/alpine", true),
        ("library/alpine", "docker.io", "library/alpine", true),
        ("docker.io/alpine", "docker.io", "library/alpine", true),
        ("docker.io/alpine", "ghcr.io", "alpine", false),
        ("docker.io/library/alpine:3.*", "docker.io", "library/alpine", true),
        ("docker.io/library/alpine:4.*", "docker.io", "library/alpine", false),
        ("docker.io/*", "docker.io", "org/app", true),
        ("ghcr.io/*", "ghcr.io", "org/app", true),
        ("ghcr.io/*", "docker.io", "org/app", false),
        ("GHCR.io/*", "ghcr.io", "org/app", true),
        ("[fd00::1]:5000/*", "[fd00::1]:5000", "org/app", true),
        ("*.io/org/app", "ghcr.io", "org/app", true),
        ("localhost:5000/app:3.20", "localhost:5000", "app", true),
        ("localhost/app", "localhost", "app", true),
        ("alpine", "ghcr.io", "alpine", true),
        ("org/app", "ghcr.io", "org/app", true),
    ];
    for (pattern, registry, repository, expected) in table {
        assert_eq!(
            names(pattern, registry, repository, &["3.20"]),
            expected,
            "{pattern} {registry} {repository}"
        );
    }
}

#[test]
fn a_digest_names_one_image() {
    let (right, wrong) = (digest(), Digest::of(Algorithm::Sha256, b"another"));
    for (pattern, expected) in [
        (format!("@{right}"), true),
        (format!("@{wrong}"), false),
        (format!("app@{right}"), true),
        (format!("ghcr.io/app@{right}"), true),
        (format!("other@{right}"), false),
    ] {
        assert_eq!(names(&pattern, "ghcr.io", "app", &[]), expected, "{pattern}");
    }
}

#[test]
fn an_alias_stands_for_the_registry() {
    let name_of = |name: &str| ["hub", "index.docker.io", "docker.io"].contains(&name).then_some("docker.io");
    for (text, expected) in [
        ("index.docker.io/alpine", Ok("docker.io/alpine")),
        ("hub/alpine:3.*", Ok("docker.io/alpine:3.*")),
        ("library/alpine", Ok("library/alpine")),
        ("*.io/alpine", Ok("*.io/alpine")),
        ("quay.io/alpine", Err("quay.io")),
    ] {
        let resolved = text.parse::<ImagePattern>().unwrap().resolved(name_of);
        let shown = resolved.map(|pattern| pattern.to_string());
        assert_eq!(shown, expected.map(str::to_owned).map_err(str::to_owned), "{text}");
    }
}

#[test]
fn a_pattern_that_can_name_nothing_is_refused() {
    let long = "a".repeat(PATTERN_BYTES_MAX + 1);
    let table = [
        ("", PatternError::Form),
        (":latest", PatternError::Form),
        ("app:", PatternError::Form),
        ("app:a:b", PatternError::Form),
        ("ghcr.io/app:a/b", PatternError::Form),
        ("/app", PatternError::Form),
        ("app/", PatternError::Form),
        ("a//b", PatternError::Form),
        ("ghcr.io/", PatternError::Form),
        ("app@sha256", PatternError::Digest(DigestError::Form)),
        ("app name", PatternError::Character),
        ("äpp", PatternError::Character),
        ("Library/app", PatternError::UpperCase),
        ("GHCR.io/App", PatternError::UpperCase),
        ("app[1]", PatternError::Character),
        ("ghcr.io/app[1]", PatternError::Character),
        ("https://ghcr.io/app", PatternError::Scheme),
        (long.as_str(), PatternError::Length),
    ];
    for (text, expected) in table {
        assert_eq!(text.parse::<ImagePattern>(), Err(expected), "{text}");
    }
}

#[test]
fn many_stars_take_no_exponential_time() {
    let pattern = format!("{}b", "*a".repeat(200));
    assert!(!names(&pattern, "ghcr.io", &"a".repeat(255), &[]));
}

#[test]
fn a_pattern_is_shown_as_it_was_written() {
    let digest = format!("app@{}", digest());
    for text in ["library/*:v1.*", "library/*", "ghcr.io/org/app:v1", &digest] {
        assert_eq!(text.parse::<ImagePattern>().unwrap().to_string(), text);
    }
}
