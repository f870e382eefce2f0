mod model;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{
    DOUBTFUL_COUNT_MAX, FAILING_REPOSITORY_COUNT_MAX, HostHealth, InFlight, Refusal, RequestOutcome, Target,
    TargetGroup, TargetKind,
};
use crate::breaker::{FAILURE_COUNT_MAX, PROBE_INTERVAL_MIN, State};

fn target(repository: &str, kind: TargetKind, reference: &str) -> Arc<Target> {
    let group = Arc::new(TargetGroup { repository: repository.to_owned(), kind });
    Arc::new(Target { group, is_head: false, reference: reference.to_owned() })
}

fn manifest(repository: &str, tag: &str) -> Arc<Target> {
    target(repository, TargetKind::Manifests, tag)
}

fn health() -> HostHealth {
    HostHealth::new(64, 64)
}

/// Sends one request, which ends so at once.
fn ask(
    health: &mut HostHealth,
    target: &Arc<Target>,
    outcome: RequestOutcome,
    now: Instant,
) -> Result<(), Refusal> {
    let in_flight = health.admit(target, now)?;
    health.settle(target, in_flight, outcome, now);
    Ok(())
}

fn sent(
    health: &mut HostHealth,
    target: &Arc<Target>,
    outcome: RequestOutcome,
    count: usize,
    now: Instant,
) -> usize {
    (0..count).filter(|_| ask(health, target, outcome, now).is_ok()).count()
}

/// Repositories fail one after the other, until there is doubt about the host.
fn doubted(now: Instant) -> HostHealth {
    let mut health = health();
    for number in 0..5 {
        ask(&mut health, &manifest(&format!("bad/{number}"), "latest"), RequestOutcome::Failed, now).unwrap();
    }
    assert!(health.is_in_doubt());
    health
}

#[test]
fn k13_what_fails_is_left_alone_and_nothing_beside_it() {
    use RequestOutcome::{Abandoned, Answered, Failed, NotConnected, Served, TargetFailed};
    let asked = manifest("bad", "latest");
    let beside = [
        ("itself", asked.clone()),
        ("another tag", manifest("bad", "other")),
        ("another kind", target("bad", TargetKind::Blobs, "latest")),
        ("another repository", manifest("good", "latest")),
    ];
    // How twenty requests end, and which of the four may be asked then.
    let table = [
        (Served, [true, true, true, true]),
        (Answered, [true, true, true, true]),
        (Abandoned, [true, true, true, true]),
        (TargetFailed, [false, true, true, true]),
        (Failed, [false, true, true, true]),
        (NotConnected, [false, false, false, false]),
    ];
    for (outcome, may_ask) in table {
        let now = Instant::now();
        let mut health = health();
        let count = sent(&mut health, &asked, outcome, 20, now);
        assert_eq!(count, if may_ask[0] { 20 } else { 5 }, "{outcome:?}");
        for ((what, target), may_ask) in beside.iter().zip(may_ask) {
            assert_eq!(health.admit(target, now).is_ok(), may_ask, "{what} after {outcome:?}");
        }
    }
}

#[test]
fn k13_a_path_left_alone_is_found_again_by_one_request_for_it_at_a_time() {
    let now = Instant::now();
    let (mut health, bad) = (health(), manifest("bad", "latest"));
    sent(&mut health, &bad, RequestOutcome::Failed, 5, now);
    assert_eq!(health.admit(&bad, now).unwrap_err(), Refusal::Target(PROBE_INTERVAL_MIN));
    let later = now + PROBE_INTERVAL_MIN;
    let probe = health.admit(&bad, later).unwrap();
    assert_eq!(health.admit(&bad, later).unwrap_err(), Refusal::Target(Duration::ZERO));
    health.settle(&bad, probe, RequestOutcome::Answered, later);
    assert_eq!(sent(&mut health, &bad, RequestOutcome::Answered, 20, later), 20);
}

#[test]
fn k13_who_leaves_in_the_middle_of_a_probe_keeps_nobody_out() {
    let now = Instant::now();
    let (mut health, bad) = (health(), manifest("bad", "latest"));
    sent(&mut health, &bad, RequestOutcome::Failed, 5, now);
    let later = now + PROBE_INTERVAL_MIN;
    ask(&mut health, &bad, RequestOutcome::Abandoned, later).unwrap();
    ask(&mut health, &bad, RequestOutcome::Answered, later).unwrap();
}

#[test]
fn k13_a_repository_that_fails_gets_few_requests_at_a_time_until_it_answers() {
    let now = Instant::now();
    let mut health = health();
    for number in 0..FAILURE_COUNT_MAX {
        ask(&mut health, &manifest("bad", &number.to_string()), RequestOutcome::Failed, now).unwrap();
    }
    let under_way: Vec<(Arc<Target>, InFlight)> = (0..20)
        .map(|number| manifest("bad", &format!("new-{number}")))
        .filter_map(|target| Some((target.clone(), health.admit(&target, now).ok()?)))
        .collect();
    assert_eq!(under_way.len(), FAILING_REPOSITORY_COUNT_MAX as usize);
    assert!(matches!(health.admit(&manifest("bad", "more"), now), Err(Refusal::Repository(_))));
    assert!(
        health.admit(&target("bad", TargetKind::Blobs, "b"), now).is_ok(),
        "its blobs are another matter"
    );
    assert!(health.admit(&manifest("good", "latest"), now).is_ok());
    for (target, in_flight) in under_way {
        health.settle(&target, in_flight, RequestOutcome::Answered, now);
    }
    let many =
        (0..20).filter(|number| health.admit(&manifest("bad", &format!("again-{number}")), now).is_ok());
    assert_eq!(many.count(), 20);
}

#[test]
fn k13_one_failing_path_asked_without_end_raises_no_doubt() {
    let mut now = Instant::now();
    let (mut health, bad) = (health(), target("bad", TargetKind::Tags, ""));
    let mut count = 0;
    for _ in 0..50 * 60 {
        count += sent(&mut health, &bad, RequestOutcome::Failed, 1, now);
        now += Duration::from_millis(20);
        assert!(!health.take_probe(now) && !health.is_in_doubt());
    }
    assert!(count <= 12, "{count} requests in a minute");
    assert_eq!(health.state(), State::Closed);
}

#[test]
fn k13_doubt_asks_the_host_by_a_request_of_our_own_and_believes_it() {
    for (outcome, state) in [
        (RequestOutcome::Answered, State::Closed),
        (RequestOutcome::Failed, State::Open),
        (RequestOutcome::NotConnected, State::Open),
    ] {
        let now = Instant::now();
        let mut health = doubted(now);
        assert!(health.take_probe(now));
        assert!(!health.take_probe(now), "one at a time");
        assert_eq!(health.state(), State::Closed, "in the meantime all goes on");
        health.probed(outcome, now);
        assert_eq!(health.state(), state, "{outcome:?}");
        assert!(!health.take_probe(now), "and not again at once");
    }
}

#[test]
fn k13_a_probe_that_fails_after_somebody_was_answered_opens_nothing() {
    let now = Instant::now();
    let mut health = doubted(now);
    assert!(health.take_probe(now));
    ask(&mut health, &manifest("good", "latest"), RequestOutcome::Answered, now).unwrap();
    health.probed(RequestOutcome::Failed, now);
    assert_eq!(health.state(), State::Closed);
}

#[test]
fn k13_in_doubt_who_answered_goes_on_and_the_others_share_few_requests() {
    let now = Instant::now();
    let mut health = health();
    let good = manifest("good", "latest");
    ask(&mut health, &good, RequestOutcome::Served, now).unwrap();
    for number in 0..5 {
        ask(&mut health, &manifest(&format!("bad/{number}"), "latest"), RequestOutcome::Failed, now).unwrap();
    }
    let hanging =
        (0..1000).filter(|number| health.admit(&manifest(&format!("made-up/{number}"), "x"), now).is_ok());
    assert_eq!(hanging.count(), DOUBTFUL_COUNT_MAX as usize);
    for number in 0..1000 {
        assert!(health.admit(&manifest("good", &number.to_string()), now).is_ok());
    }
}

#[test]
fn k13_in_doubt_one_failure_is_enough_for_a_path() {
    let now = Instant::now();
    let mut health = doubted(now);
    assert_eq!(sent(&mut health, &manifest("next", "latest"), RequestOutcome::Failed, 3, now), 1);
}

#[test]
fn f01_a_host_that_is_gone_is_asked_more_and_more_seldom_and_by_us() {
    let mut now = Instant::now();
    let (mut health, any) = (health(), manifest("any", "latest"));
    assert_eq!(sent(&mut health, &any, RequestOutcome::NotConnected, 20, now), 5);
    let mut pauses = Vec::new();
    for _ in 0..8 {
        let Err(Refusal::Host(pause)) = health.admit(&any, now) else { panic!("a request too early") };
        assert!(!health.take_probe(now + pause - Duration::from_nanos(1)));
        now += pause;
        pauses.push(pause.as_secs());
        assert!(health.take_probe(now));
        assert_eq!(health.state(), State::HalfOpen);
        assert!(health.admit(&any, now).is_err(), "no client's request is a probe");
        health.probed(RequestOutcome::NotConnected, now);
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 30]);
    now += Duration::from_secs(30);
    assert!(health.take_probe(now));
    health.probed(RequestOutcome::Answered, now);
    assert_eq!((health.state(), health.admit(&any, now).is_ok()), (State::Closed, true));
}

#[test]
fn k13_a_host_whose_own_page_never_works_is_found_again_by_a_request_that_does() {
    let now = Instant::now();
    let (mut health, any) = (health(), manifest("any", "latest"));
    sent(&mut health, &any, RequestOutcome::NotConnected, 5, now);
    let later = now + PROBE_INTERVAL_MIN;
    assert!(health.take_probe(later));
    health.probed(RequestOutcome::Failed, later);
    let in_flight = health.admit(&any, later).unwrap();
    assert!(matches!(health.admit(&any, later), Err(Refusal::Host(_))), "one for each probe");
    health.settle(&any, in_flight, RequestOutcome::Answered, later);
    assert_eq!(health.state(), State::Closed);
}

#[test]
fn k13_what_begins_and_never_ends_is_a_failure_of_its_path() {
    let mut now = Instant::now();
    let (mut health, bad) = (health(), manifest("bad", "latest"));
    let mut attempts = 0;
    for _ in 0..100 {
        if ask(&mut health, &bad, RequestOutcome::HeadReceived, now).is_ok() {
            attempts += 1;
            health.fail_body(&bad, now);
        }
        now += Duration::from_millis(100);
    }
    assert_eq!(attempts, 5 + 3, "after 1, 2 and 4 s");
    now += Duration::from_secs(60);
    ask(&mut health, &bad, RequestOutcome::HeadReceived, now).unwrap();
    health.complete_body(&bad);
    assert_eq!(sent(&mut health, &bad, RequestOutcome::Served, 20, now), 20);
}

#[test]
fn k13_connections_that_fail_now_and_then_leave_it_closed() {
    let now = Instant::now();
    let (mut health, any) = (health(), manifest("any", "latest"));
    for _ in 0..20 {
        sent(&mut health, &any, RequestOutcome::NotConnected, 4, now);
        ask(&mut health, &any, RequestOutcome::TargetFailed, now).unwrap();
        health = HostHealth { targets: crate::lru::LruMap::new(8), ..health };
    }
    assert_eq!(health.state(), State::Closed);
}

#[test]
fn k14_a_request_that_leaves_no_trace_takes_no_probe_and_changes_nothing() {
    let now = Instant::now();
    let (mut health, bad) = (health(), manifest("bad", "latest"));
    health.admit_unseen(&bad, now).unwrap();
    sent(&mut health, &bad, RequestOutcome::Failed, 5, now);
    let later = now + PROBE_INTERVAL_MIN;
    assert!(health.admit_unseen(&bad, later).is_err());
    ask(&mut health, &bad, RequestOutcome::Answered, later).unwrap();
    health.admit_unseen(&bad, later).unwrap();
}

#[test]
fn k13_only_what_has_not_failed_lately_is_worth_asking_again() {
    let now = Instant::now();
    let (mut health, bad) = (health(), manifest("bad", "latest"));
    assert!(health.may_retry(&bad));
    ask(&mut health, &bad, RequestOutcome::TargetFailed, now).unwrap();
    assert!(!health.may_retry(&bad));
    ask(&mut health, &bad, RequestOutcome::Answered, now).unwrap();
    assert!(health.may_retry(&bad));
    assert!(!doubted(now).may_retry(&bad));
}

#[test]
fn f09_a_path_that_said_for_how_long_rests_so_long() {
    let now = Instant::now();
    let (mut health, busy) = (health(), manifest("busy", "latest"));
    let in_flight = health.admit(&busy, now).unwrap();
    health.settle(&busy, in_flight, RequestOutcome::Failed, now);
    health.pause_target(&busy, Duration::from_secs(20), now);
    health.pause_target(&busy, Duration::from_secs(2), now);
    assert_eq!(health.admit(&busy, now).unwrap_err(), Refusal::Target(Duration::from_secs(20)));
    assert!(health.admit(&manifest("busy", "other"), now).is_ok());
    assert!(health.admit(&busy, now + Duration::from_secs(20)).is_ok());
}

#[test]
fn k13_what_is_remembered_is_bounded_whoever_makes_up_names() {
    let now = Instant::now();
    let mut health = health();
    for number in 0..10_000 {
        let outcome = if number % 7 == 0 { RequestOutcome::Served } else { RequestOutcome::Failed };
        let _ = ask(&mut health, &manifest(&format!("made-up/{number}"), "x"), outcome, now);
    }
    assert!(health.targets.len() <= 64 && health.failing.len() <= 64 && health.serving.len() <= 64);
}
