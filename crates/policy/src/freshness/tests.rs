use std::time::{Duration, SystemTime};

use oci::{Algorithm, Digest};

use super::{
    StaleLimit, TagPattern, TagPlan, TagRecord, TagRule, TagTtl, Unreachable, Upstream404, plan_tag, ttl_of,
};

const HOUR: u64 = 3600;

const OR_SERVE: TagPlan = TagPlan::Revalidate { if_unreachable: Unreachable::Serve };
const OR_FAIL: TagPlan = TagPlan::Revalidate { if_unreachable: Unreachable::Fail };

/// A moment far enough from the epoch to go back from.
fn noon() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn record(checked_at: SystemTime) -> TagRecord {
    TagRecord {
        digest: Digest::of(Algorithm::Sha256, b"{}"),
        media_type: "application/vnd.oci.image.index.v1+json".parse().unwrap(),
        size: 2,
        checked_at,
    }
}

fn rule(ttl: u64, stale_if_error: StaleLimit) -> TagRule {
    let ttl = Duration::from_secs(ttl);
    TagRule { ttl, stale_if_error, on_upstream_404: Upstream404::NotFound, offline: false }
}

/// The plan for a record checked `age` seconds ago; a negative age lies in the future.
#[track_caller]
fn check(ttl: u64, stale_if_error: StaleLimit, age: i64, wanted: TagPlan) {
    let seconds = Duration::from_secs(age.unsigned_abs());
    let checked_at = if age < 0 { noon() + seconds } else { noon() - seconds };
    let found = plan_tag(Some(&record(checked_at)), &rule(ttl, stale_if_error), noon());
    assert_eq!(found, wanted, "ttl {ttl}, {stale_if_error:?}, age {age}");
}

#[test]
fn without_a_ttl_the_upstream_is_asked_on_every_pull() {
    for age in [0, 1, 10, 1_000_000] {
        check(0, StaleLimit::Forever, age, OR_SERVE);
        check(0, StaleLimit::Never, age, OR_FAIL);
    }
}

#[test]
fn within_the_ttl_the_record_is_served_whatever_the_limit() {
    for limit in [StaleLimit::Forever, StaleLimit::For(Duration::ZERO), StaleLimit::Never] {
        check(60, limit, 0, TagPlan::Serve);
        check(60, limit, 59, TagPlan::Serve);
    }
    check(60, StaleLimit::Forever, 60, OR_SERVE);
    check(60, StaleLimit::Never, 60, OR_FAIL);
}

#[test]
fn the_limit_counts_from_the_end_of_freshness() {
    let hour = StaleLimit::For(Duration::from_secs(HOUR));
    check(60, hour, 60, OR_SERVE);
    check(60, hour, 60 + 3600, OR_SERVE);
    check(60, hour, 60 + 3601, OR_FAIL);
    check(0, hour, 3600, OR_SERVE);
    check(0, hour, 3601, OR_FAIL);
    check(0, StaleLimit::For(Duration::ZERO), 0, OR_SERVE);
    check(0, StaleLimit::For(Duration::ZERO), 1, OR_FAIL);
    check(0, StaleLimit::Forever, 1_700_000_000, OR_SERVE);
}

#[test]
fn a_record_from_the_future_is_checked_and_can_still_bridge_an_outage() {
    for age in [-1, -3600, -1_000_000_000] {
        check(60, StaleLimit::Forever, age, OR_SERVE);
        check(60, StaleLimit::For(Duration::from_secs(1)), age, OR_SERVE);
        check(60, StaleLimit::Never, age, OR_FAIL);
        check(0, StaleLimit::Forever, age, OR_SERVE);
    }
}

#[test]
fn the_largest_durations_do_not_overflow() {
    check(u64::MAX, StaleLimit::Never, 1_800_000_000, TagPlan::Serve);
    check(0, StaleLimit::For(Duration::MAX), 1_800_000_000, OR_SERVE);
}

#[test]
fn an_unknown_tag_is_fetched() {
    for limit in [StaleLimit::Forever, StaleLimit::Never] {
        assert_eq!(plan_tag(None, &rule(60, limit), noon()), TagPlan::Fetch);
    }
}

#[test]
fn offline_the_upstream_is_never_asked() {
    for limit in [StaleLimit::Forever, StaleLimit::For(Duration::ZERO), StaleLimit::Never] {
        let rule = TagRule { offline: true, ..rule(0, limit) };
        assert_eq!(plan_tag(None, &rule, noon()), TagPlan::Absent);
        for checked_at in [SystemTime::UNIX_EPOCH, noon(), noon() + Duration::from_secs(HOUR)] {
            assert_eq!(plan_tag(Some(&record(checked_at)), &rule, noon()), TagPlan::Serve);
        }
    }
}

/// The rule for an upstream's 404 applies to the answer, and not before the request.
#[test]
fn the_rule_for_a_404_does_not_change_the_plan() {
    let serve = TagRule { on_upstream_404: Upstream404::Serve, ..rule(60, StaleLimit::Never) };
    for age in [0, 60, 61] {
        let record = record(noon() - Duration::from_secs(age));
        let not_found = rule(60, StaleLimit::Never);
        assert_eq!(plan_tag(Some(&record), &serve, noon()), plan_tag(Some(&record), &not_found, noon()));
    }
}

fn ttls(rules: &[(&str, u64)]) -> Vec<TagTtl> {
    let rule = |(pattern, ttl): &(&str, u64)| TagTtl {
        pattern: pattern.parse().unwrap(),
        ttl: Duration::from_secs(*ttl),
    };
    rules.iter().map(rule).collect()
}

#[test]
fn the_first_pattern_that_names_a_tag_decides_how_long_a_check_stays_valid() {
    let rules = ttls(&[("library/*:v1.*", 1), ("v*", 2), ("*-dev", 3), ("tools/?:*", 4), ("v2*", 5)]);
    let table = [
        ("library/alpine", "v1.2", Some(1)),
        ("other/alpine", "v1.2", Some(2)),
        ("library/alpine", "v2", Some(2)),
        ("a/b", "1-dev", Some(3)),
        ("a/b", "1-dev2", None),
        ("tools/a", "x", Some(4)),
        ("tools/ab", "x", None),
        ("library/alpine", "latest", None),
        ("library/v", "1", None),
    ];
    for (repository, tag, expected) in table {
        let ttl = ttl_of(&rules, repository, tag);
        assert_eq!(ttl, expected.map(Duration::from_secs), "{repository}:{tag}");
    }
    assert_eq!(ttl_of(&[], "a", "v1"), None);
}

#[test]
fn a_repository_of_one_part_is_an_official_one_on_docker_hub_as_in_patterns_for_images() {
    let digest = "sha256:".to_owned() + &"a".repeat(64);
    let digest = digest.parse().unwrap();
    for (text, official, other) in [
        ("alpine:*", true, false),
        ("alp*:3.?", true, false),
        ("?lpine:*", true, false),
        ("library/alpine:*", true, false),
        ("docker.io/alpine:*", true, false),
        ("docker.io/*:*", true, true),
        ("*:*", true, true),
        ("*alpine:*", true, true),
        ("org/*:*", false, true),
        ("debian:*", false, false),
    ] {
        let pattern = text.parse::<TagPattern>().unwrap().within("docker.io");
        let image: crate::image::ImagePattern = text.parse().unwrap();
        for (repository, expected) in [("library/alpine", official), ("org/alpine", other)] {
            assert_eq!(pattern.names(repository, "3.1"), expected, "{text} {repository}");
            let image_named = crate::image::NamedImage { registry: "docker.io", repository, digest: &digest };
            assert_eq!(image.names(image_named, ["3.1"]), expected, "{text} {repository}");
        }
    }
    assert!("v*".parse::<TagPattern>().unwrap().within("docker.io").names("org/alpine", "v1"));
}

#[test]
fn a_text_that_names_no_tag_is_no_pattern_for_tags() {
    for text in ["", "library/*", "a:", ":v1", "v 1", "a:b:c", "Alpine:*"] {
        assert!(text.parse::<TagPattern>().is_err(), "{text:?}");
    }
    let error = "library/*".parse::<TagPattern>().unwrap_err();
    assert!(error.to_string().contains("after a colon"), "{error}");
    for text in ["v*", "library/*:v1.*", "*:*", "*"] {
        assert_eq!(text.parse::<TagPattern>().unwrap().to_string(), text);
    }
}
