mod model;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{
    Class, DOUBTFUL_COUNT_MAX, FAILING_REPOSITORY_COUNT_MAX, Leave, Outcome, Path, Reach, Refusal, Scope,
};
use crate::breaker::{FAILURE_COUNT_MAX, PROBE_INTERVAL_MIN, State};

fn path(repository: &str, class: Class, reference: &str) -> Arc<Path> {
    let scope = Arc::new(Scope { repository: repository.to_owned(), class });
    Arc::new(Path { scope, is_head: false, reference: reference.to_owned() })
}

fn manifest(repository: &str, tag: &str) -> Arc<Path> {
    path(repository, Class::Manifests, tag)
}

fn reach() -> Reach {
    Reach::new(64, 64)
}

/// Sends one request, which ends so at once.
fn ask(reach: &mut Reach, path: &Arc<Path>, outcome: Outcome, now: Instant) -> Result<(), Refusal> {
    let leave = reach.admit(path, now)?;
    reach.settle(path, leave, outcome, now);
    Ok(())
}

fn sent(reach: &mut Reach, path: &Arc<Path>, outcome: Outcome, count: usize, now: Instant) -> usize {
    (0..count).filter(|_| ask(reach, path, outcome, now).is_ok()).count()
}

/// Repositories fail one after the other, until there is doubt about the host.
fn doubted(now: Instant) -> Reach {
    let mut reach = reach();
    for number in 0..5 {
        ask(&mut reach, &manifest(&format!("bad/{number}"), "latest"), Outcome::Failed, now).unwrap();
    }
    assert!(reach.is_in_doubt());
    reach
}

#[test]
fn k13_what_fails_is_left_alone_and_nothing_beside_it() {
    use Outcome::{Abandoned, Answered, Failed, Served, Spoilt, Unconnected};
    let asked = manifest("bad", "latest");
    let beside = [
        ("itself", asked.clone()),
        ("another tag", manifest("bad", "other")),
        ("another kind", path("bad", Class::Blobs, "latest")),
        ("another repository", manifest("good", "latest")),
    ];
    // How twenty requests end, and which of the four may be asked then.
    let table = [
        (Served, [true, true, true, true]),
        (Answered, [true, true, true, true]),
        (Abandoned, [true, true, true, true]),
        (Spoilt, [false, true, true, true]),
        (Failed, [false, true, true, true]),
        (Unconnected, [false, false, false, false]),
    ];
    for (outcome, may_ask) in table {
        let now = Instant::now();
        let mut reach = reach();
        let count = sent(&mut reach, &asked, outcome, 20, now);
        assert_eq!(count, if may_ask[0] { 20 } else { 5 }, "{outcome:?}");
        for ((what, path), may_ask) in beside.iter().zip(may_ask) {
            assert_eq!(reach.admit(path, now).is_ok(), may_ask, "{what} after {outcome:?}");
        }
    }
}

#[test]
fn k13_a_path_left_alone_is_found_again_by_one_request_for_it_at_a_time() {
    let now = Instant::now();
    let (mut reach, bad) = (reach(), manifest("bad", "latest"));
    sent(&mut reach, &bad, Outcome::Failed, 5, now);
    assert_eq!(reach.admit(&bad, now).unwrap_err(), Refusal::Path(PROBE_INTERVAL_MIN));
    let later = now + PROBE_INTERVAL_MIN;
    let probe = reach.admit(&bad, later).unwrap();
    assert_eq!(reach.admit(&bad, later).unwrap_err(), Refusal::Path(Duration::ZERO));
    reach.settle(&bad, probe, Outcome::Answered, later);
    assert_eq!(sent(&mut reach, &bad, Outcome::Answered, 20, later), 20);
}

#[test]
fn k13_who_leaves_in_the_middle_of_a_probe_keeps_nobody_out() {
    let now = Instant::now();
    let (mut reach, bad) = (reach(), manifest("bad", "latest"));
    sent(&mut reach, &bad, Outcome::Failed, 5, now);
    let later = now + PROBE_INTERVAL_MIN;
    ask(&mut reach, &bad, Outcome::Abandoned, later).unwrap();
    ask(&mut reach, &bad, Outcome::Answered, later).unwrap();
}

#[test]
fn k13_a_repository_that_fails_gets_few_requests_at_a_time_until_it_answers() {
    let now = Instant::now();
    let mut reach = reach();
    for number in 0..FAILURE_COUNT_MAX {
        ask(&mut reach, &manifest("bad", &number.to_string()), Outcome::Failed, now).unwrap();
    }
    let under_way: Vec<(Arc<Path>, Leave)> = (0..20)
        .map(|number| manifest("bad", &format!("new-{number}")))
        .filter_map(|path| Some((path.clone(), reach.admit(&path, now).ok()?)))
        .collect();
    assert_eq!(under_way.len(), FAILING_REPOSITORY_COUNT_MAX as usize);
    assert!(matches!(reach.admit(&manifest("bad", "more"), now), Err(Refusal::Repository(_))));
    assert!(reach.admit(&path("bad", Class::Blobs, "b"), now).is_ok(), "its blobs are another matter");
    assert!(reach.admit(&manifest("good", "latest"), now).is_ok());
    for (path, leave) in under_way {
        reach.settle(&path, leave, Outcome::Answered, now);
    }
    let many =
        (0..20).filter(|number| reach.admit(&manifest("bad", &format!("again-{number}")), now).is_ok());
    assert_eq!(many.count(), 20);
}

#[test]
fn k13_one_failing_path_asked_without_end_raises_no_doubt() {
    let mut now = Instant::now();
    let (mut reach, bad) = (reach(), path("bad", Class::Tags, ""));
    let mut count = 0;
    for _ in 0..50 * 60 {
        count += sent(&mut reach, &bad, Outcome::Failed, 1, now);
        now += Duration::from_millis(20);
        assert!(!reach.take_probe(now) && !reach.is_in_doubt());
    }
    assert!(count <= 12, "{count} requests in a minute");
    assert_eq!(reach.state(), State::Closed);
}

#[test]
fn k13_doubt_asks_the_host_by_a_request_of_our_own_and_believes_it() {
    for (outcome, state) in [
        (Outcome::Answered, State::Closed),
        (Outcome::Failed, State::Open),
        (Outcome::Unconnected, State::Open),
    ] {
        let now = Instant::now();
        let mut reach = doubted(now);
        assert!(reach.take_probe(now));
        assert!(!reach.take_probe(now), "one at a time");
        assert_eq!(reach.state(), State::Closed, "in the meantime all goes on");
        reach.probed(outcome, now);
        assert_eq!(reach.state(), state, "{outcome:?}");
        assert!(!reach.take_probe(now), "and not again at once");
    }
}

#[test]
fn k13_a_probe_that_fails_after_somebody_was_answered_opens_nothing() {
    let now = Instant::now();
    let mut reach = doubted(now);
    assert!(reach.take_probe(now));
    ask(&mut reach, &manifest("good", "latest"), Outcome::Answered, now).unwrap();
    reach.probed(Outcome::Failed, now);
    assert_eq!(reach.state(), State::Closed);
}

#[test]
fn k13_in_doubt_who_answered_goes_on_and_the_others_share_few_requests() {
    let now = Instant::now();
    let mut reach = reach();
    let good = manifest("good", "latest");
    ask(&mut reach, &good, Outcome::Served, now).unwrap();
    for number in 0..5 {
        ask(&mut reach, &manifest(&format!("bad/{number}"), "latest"), Outcome::Failed, now).unwrap();
    }
    let hanging =
        (0..1000).filter(|number| reach.admit(&manifest(&format!("made-up/{number}"), "x"), now).is_ok());
    assert_eq!(hanging.count(), DOUBTFUL_COUNT_MAX as usize);
    for number in 0..1000 {
        assert!(reach.admit(&manifest("good", &number.to_string()), now).is_ok());
    }
}

#[test]
fn k13_in_doubt_one_failure_is_enough_for_a_path() {
    let now = Instant::now();
    let mut reach = doubted(now);
    assert_eq!(sent(&mut reach, &manifest("next", "latest"), Outcome::Failed, 3, now), 1);
}

#[test]
fn f01_a_host_that_is_gone_is_asked_more_and_more_seldom_and_by_us() {
    let mut now = Instant::now();
    let (mut reach, any) = (reach(), manifest("any", "latest"));
    assert_eq!(sent(&mut reach, &any, Outcome::Unconnected, 20, now), 5);
    let mut pauses = Vec::new();
    for _ in 0..8 {
        let Err(Refusal::Host(pause)) = reach.admit(&any, now) else { panic!("a request too early") };
        assert!(!reach.take_probe(now + pause - Duration::from_nanos(1)));
        now += pause;
        pauses.push(pause.as_secs());
        assert!(reach.take_probe(now));
        assert_eq!(reach.state(), State::HalfOpen);
        assert!(reach.admit(&any, now).is_err(), "no client's request is a probe");
        reach.probed(Outcome::Unconnected, now);
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 30]);
    now += Duration::from_secs(30);
    assert!(reach.take_probe(now));
    reach.probed(Outcome::Answered, now);
    assert_eq!((reach.state(), reach.admit(&any, now).is_ok()), (State::Closed, true));
}

#[test]
fn k13_a_host_whose_own_page_never_works_is_found_again_by_a_request_that_does() {
    let now = Instant::now();
    let (mut reach, any) = (reach(), manifest("any", "latest"));
    sent(&mut reach, &any, Outcome::Unconnected, 5, now);
    let later = now + PROBE_INTERVAL_MIN;
    assert!(reach.take_probe(later));
    reach.probed(Outcome::Failed, later);
    let leave = reach.admit(&any, later).unwrap();
    assert!(matches!(reach.admit(&any, later), Err(Refusal::Host(_))), "one for each probe");
    reach.settle(&any, leave, Outcome::Answered, later);
    assert_eq!(reach.state(), State::Closed);
}

#[test]
fn k13_what_begins_and_never_ends_is_a_failure_of_its_path() {
    let mut now = Instant::now();
    let (mut reach, bad) = (reach(), manifest("bad", "latest"));
    let mut attempts = 0;
    for _ in 0..100 {
        if ask(&mut reach, &bad, Outcome::Begun, now).is_ok() {
            attempts += 1;
            reach.spoil(&bad, now);
        }
        now += Duration::from_millis(100);
    }
    assert_eq!(attempts, 5 + 3, "after 1, 2 and 4 s");
    now += Duration::from_secs(60);
    ask(&mut reach, &bad, Outcome::Begun, now).unwrap();
    reach.complete(&bad);
    assert_eq!(sent(&mut reach, &bad, Outcome::Served, 20, now), 20);
}

#[test]
fn k13_connections_that_fail_now_and_then_leave_it_closed() {
    let now = Instant::now();
    let (mut reach, any) = (reach(), manifest("any", "latest"));
    for _ in 0..20 {
        sent(&mut reach, &any, Outcome::Unconnected, 4, now);
        ask(&mut reach, &any, Outcome::Spoilt, now).unwrap();
        reach = Reach { paths: crate::table::Table::new(8), ..reach };
    }
    assert_eq!(reach.state(), State::Closed);
}

#[test]
fn k14_a_request_that_leaves_no_trace_takes_no_probe_and_changes_nothing() {
    let now = Instant::now();
    let (mut reach, bad) = (reach(), manifest("bad", "latest"));
    reach.admit_unseen(&bad, now).unwrap();
    sent(&mut reach, &bad, Outcome::Failed, 5, now);
    let later = now + PROBE_INTERVAL_MIN;
    assert!(reach.admit_unseen(&bad, later).is_err());
    ask(&mut reach, &bad, Outcome::Answered, later).unwrap();
    reach.admit_unseen(&bad, later).unwrap();
}

#[test]
fn k13_only_what_has_not_failed_lately_is_worth_asking_again() {
    let now = Instant::now();
    let (mut reach, bad) = (reach(), manifest("bad", "latest"));
    assert!(reach.may_retry(&bad));
    ask(&mut reach, &bad, Outcome::Spoilt, now).unwrap();
    assert!(!reach.may_retry(&bad));
    ask(&mut reach, &bad, Outcome::Answered, now).unwrap();
    assert!(reach.may_retry(&bad));
    assert!(!doubted(now).may_retry(&bad));
}

#[test]
fn f09_a_path_that_said_for_how_long_rests_so_long() {
    let now = Instant::now();
    let (mut reach, busy) = (reach(), manifest("busy", "latest"));
    let leave = reach.admit(&busy, now).unwrap();
    reach.settle(&busy, leave, Outcome::Failed, now);
    reach.rest(&busy, Duration::from_secs(20), now);
    reach.rest(&busy, Duration::from_secs(2), now);
    assert_eq!(reach.admit(&busy, now).unwrap_err(), Refusal::Path(Duration::from_secs(20)));
    assert!(reach.admit(&manifest("busy", "other"), now).is_ok());
    assert!(reach.admit(&busy, now + Duration::from_secs(20)).is_ok());
}

#[test]
fn k13_what_is_remembered_is_bounded_whoever_makes_up_names() {
    let now = Instant::now();
    let mut reach = reach();
    for number in 0..10_000 {
        let outcome = if number % 7 == 0 { Outcome::Served } else { Outcome::Failed };
        let _ = ask(&mut reach, &manifest(&format!("made-up/{number}"), "x"), outcome, now);
    }
    assert!(reach.paths.len() <= 64 && reach.failing.len() <= 64 && reach.serving.len() <= 64);
}
