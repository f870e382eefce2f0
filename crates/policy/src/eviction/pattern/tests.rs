use super::*;

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
        let pattern: ImagePattern = pattern.parse().unwrap();
        assert_eq!(
            pattern.names(repository, tags.iter().copied()),
            *expected,
            "{pattern} {repository} {tags:?}"
        );
    }
}

#[test]
fn a_pattern_that_can_name_nothing_is_refused() {
    let long = "a".repeat(PATTERN_BYTES_MAX + 1);
    let table = [
        ("", PatternError::Form),
        (":latest", PatternError::Form),
        ("app:", PatternError::Form),
        ("app:a:b", PatternError::Character),
        ("app@sha256", PatternError::Character),
        ("app name", PatternError::Character),
        ("äpp", PatternError::Character),
        (long.as_str(), PatternError::Length),
    ];
    for (text, expected) in table {
        assert_eq!(text.parse::<ImagePattern>(), Err(expected), "{text}");
    }
}

#[test]
fn many_stars_take_no_exponential_time() {
    let pattern: ImagePattern = format!("{}b", "*a".repeat(200)).parse().unwrap();
    assert!(!pattern.names(&"a".repeat(255), []));
}

#[test]
fn a_pattern_is_shown_as_it_was_written() {
    for text in ["library/*:v1.*", "library/*"] {
        assert_eq!(text.parse::<ImagePattern>().unwrap().to_string(), text);
    }
}
