use std::sync::Arc;

use super::*;

const START: SystemTime = SystemTime::UNIX_EPOCH;
const DAY: Duration = Duration::from_secs(86_400);

fn clock(shown: &Arc<Mutex<SystemTime>>) -> Clock {
    let shown = Arc::clone(shown);
    Clock::starting(Box::new(move || *shown.lock()))
}

fn noted_at(at: SystemTime) -> Handover {
    Handover { at, behind: Duration::ZERO, rest: Duration::ZERO }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_does_not_agree_is_followed_once() {
    let shown = Arc::new(Mutex::new(START + 100 * DAY));
    let clock = clock(&shown);
    assert_eq!(clock.now(), ORIGIN);
    tokio::time::advance(Duration::from_secs(50)).await;
    assert_eq!((clock.now(), clock.follow()), (ORIGIN + 50, Course::Steady));
    *shown.lock() += 400 * DAY;
    assert!(matches!(clock.follow(), Course::Ahead(_)));
    assert_eq!((clock.follow(), clock.is_at_rest()), (Course::Steady, true));
    assert_eq!((clock.now(), clock.to_wall(clock.now())), (ORIGIN + 50 + 86_400, START + 500 * DAY));
    *shown.lock() -= 450 * DAY;
    assert!(matches!(clock.follow(), Course::Back(_)));
    assert_eq!((clock.now(), clock.to_wall(clock.now())), (ORIGIN + 50 + 86_400, START + 50 * DAY));
    tokio::time::advance(DAY).await;
    assert!(!clock.is_at_rest());
}

#[tokio::test(start_paused = true)]
async fn ages_fit_the_scale_whatever_the_wall_clock_shows() {
    for start in [START, START + 30 * 365 * DAY] {
        let shown = Arc::new(Mutex::new(start));
        let clock = clock(&shown);
        assert_eq!(clock.continue_from(noted_at(start + 20 * DAY)), Course::Back(20 * DAY));
        let uses: Vec<_> = (0..1000).map(|days| clock.before_note(days * DAY)).collect();
        assert!(uses.windows(2).all(|pair| pair[0] == pair[1] + 86_400));
        assert_eq!(clock.of_file(start + 19 * DAY), clock.before_note(DAY));
        assert_eq!((clock.before_note(Duration::MAX), clock.to_wall(0)), (1, START));
        assert_eq!(clock.to_wall(clock.now()), start);
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_ahead_and_back_again_and_again_counts_once() {
    let shown = Arc::new(Mutex::new(START + 100 * DAY));
    let clock = clock(&shown);
    for _ in 0..50 {
        *shown.lock() += 800 * DAY;
        clock.follow();
        *shown.lock() -= 800 * DAY;
        clock.follow();
    }
    assert_eq!(clock.now(), ORIGIN + 86_400);
    // What goes beyond is a pause as any other.
    *shown.lock() += 800 * DAY + DAY / 2;
    assert_eq!((clock.follow(), clock.now()), (Course::Pause(DAY / 2), ORIGIN + 86_400 + 43_200));
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_never_stops_jumping_ahead_does_not_turn_around() {
    let shown = Arc::new(Mutex::new(START));
    let clock = clock(&shown);
    for _ in 0..30_000 {
        *shown.lock() += 2 * DAY;
        clock.follow();
    }
    assert_eq!(clock.now(), Seconds::MAX);
}
