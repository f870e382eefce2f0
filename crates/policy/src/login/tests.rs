use std::time::{Duration, Instant};

use super::{ACCEPTED_TTL, Advice, LoginState, PAUSE_MAX, REFUSAL_COUNT_MAX};

const MOMENT: Duration = Duration::from_millis(1);

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn t23_a_login_that_nobody_knows_is_shown_by_one_at_a_time() {
    let now = Instant::now();
    let mut standing = LoginState::default();
    assert_eq!(standing.advise(now), Advice::SendAlone);
    standing.accept(now);
    assert_eq!(standing.advise(now + ACCEPTED_TTL - MOMENT), Advice::Send);
    assert_eq!(standing.advise(now + ACCEPTED_TTL), Advice::SendAlone);
}

#[test]
fn t23_a_refused_login_is_checked_and_left_alone_from_one_second_to_one_minute() {
    let mut now = Instant::now();
    let mut standing = LoginState::default();
    standing.refuse(now);
    assert_eq!(standing.advise(now), Advice::Check, "the refusal may have been about what was asked for");
    for pause in [1, 2, 4, 8, 16, 32, 60, 60, 60].map(seconds) {
        standing.fail_check(now);
        assert_eq!(standing.advise(now), Advice::Wait(pause));
        assert_eq!(standing.advise(now + pause - MOMENT), Advice::Wait(MOMENT));
        now += pause;
        assert_eq!(standing.advise(now), Advice::Check, "no longer than that");
    }
    assert_eq!(PAUSE_MAX, seconds(60));
    standing.pass_check(now);
    assert_eq!(standing.advise(now), Advice::Send);
    now += seconds(3600);
    standing.refuse(now);
    standing.fail_check(now);
    assert_eq!(standing.advise(now), Advice::Wait(seconds(1)), "it begins again from one second");
}

#[test]
fn t23_a_scope_that_is_refused_again_and_again_does_not_lock_out_the_others() {
    let now = Instant::now();
    let mut standing = LoginState::default();
    standing.refuse(now);
    standing.pass_check(now);
    for _ in 0..REFUSAL_COUNT_MAX {
        standing.refuse(now);
        assert_eq!(standing.advise(now), Advice::Send);
    }
    standing.accept(now);
    standing.refuse(now);
    assert_eq!(standing.advise(now), Advice::Send, "a success between them begins the count again");
    for _ in 0..REFUSAL_COUNT_MAX {
        standing.refuse(now);
    }
    assert_eq!(standing.advise(now), Advice::Check, "so many in a row are a reason to look again");
}

#[test]
fn t23_a_late_refusal_neither_ends_nor_lengthens_a_pause() {
    let now = Instant::now();
    let mut standing = LoginState::default();
    standing.refuse(now);
    standing.fail_check(now);
    standing.refuse(now + MOMENT);
    assert_eq!(standing.advise(now + MOMENT), Advice::Wait(seconds(1) - MOMENT));
    standing.accept(now + MOMENT);
    assert_eq!(standing.advise(now + MOMENT), Advice::Send, "what was accepted is right");
}
