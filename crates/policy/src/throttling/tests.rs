use std::time::{Duration, Instant};

use super::{LimitedKind, THROTTLE_PAUSE_MIN, Throttling};

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn a_limit_stops_what_it_is_on_for_the_repository_that_told_it() {
    use LimitedKind::{Everything, Lists, Manifests};
    let now = Instant::now();
    for (told, stopped) in
        [(Manifests, vec![Manifests]), (Lists, vec![Lists]), (Everything, vec![Manifests, Lists, Everything])]
    {
        let mut rests = Throttling::default();
        assert!(rests.begin("one", told, seconds(60), now));
        for limit in [Manifests, Lists, Everything] {
            let left = rests.left("one", limit, now);
            assert_eq!(left.is_some(), stopped.contains(&limit), "{limit:?} after {told:?}");
            assert_eq!(rests.left("two", limit, now), None);
            assert_eq!(rests.left("one", limit, now + seconds(60)), None, "it ends");
        }
    }
}

#[test]
fn a_limit_that_a_second_repository_tells_is_everybodys() {
    let now = Instant::now();
    let mut rests = Throttling::default();
    rests.begin("one", LimitedKind::Manifests, seconds(60), now);
    rests.begin("one", LimitedKind::Manifests, seconds(60), now);
    assert_eq!(rests.left("three", LimitedKind::Manifests, now), None);
    rests.begin("two", LimitedKind::Manifests, seconds(30), now);
    assert_eq!(rests.left("three", LimitedKind::Manifests, now), Some(seconds(30)));
    assert_eq!(rests.left("one", LimitedKind::Manifests, now), Some(seconds(60)));
    assert_eq!(rests.left("three", LimitedKind::Everything, now), None);
}

#[test]
fn a_limit_told_long_after_another_is_its_own_repositorys() {
    let now = Instant::now();
    let mut rests = Throttling::default();
    rests.begin("one", LimitedKind::Manifests, seconds(10), now);
    rests.begin("two", LimitedKind::Manifests, seconds(10), now + seconds(10));
    assert_eq!(rests.left("three", LimitedKind::Manifests, now + seconds(10)), None);
}

#[test]
fn a_shorter_rest_does_not_cut_a_longer_one_short_and_none_is_shorter_than_a_second() {
    let now = Instant::now();
    let mut rests = Throttling::default();
    assert!(rests.begin("one", LimitedKind::Everything, Duration::ZERO, now));
    assert_eq!(rests.left("one", LimitedKind::Everything, now), Some(THROTTLE_PAUSE_MIN));
    assert!(rests.begin("one", LimitedKind::Everything, seconds(30), now));
    assert!(!rests.begin("one", LimitedKind::Everything, seconds(2), now));
    assert_eq!(rests.left("one", LimitedKind::Everything, now), Some(seconds(30)));
}
