use proptest::prelude::*;

use super::FailureKind::{Answered, Cut, Invalid, Ours, Refused, Resting, TimedOut, Troubled};
use super::Mode::{Ranges, Rest, Whole};
use super::*;

const STALL_MAX: Duration = Duration::from_secs(45);
const MIB: u64 = 1 << 20;

/// One blob whose transfers end one after the other, on a clock of its own.
struct Blob {
    resume: Resume,
    begun: Instant,
    /// A transfer that breaks off in the middle of a blob of which much has come, and brings nothing.
    ended: Ended,
}

fn blob() -> Blob {
    let begun = Instant::now();
    let ended = Ended {
        mode: Ranges,
        start: MIB,
        ending: Ending::Clean,
        has_size: true,
        has_grown: false,
        has_answered: true,
        received_bytes: 0,
        now: begun,
        jitter: 1.0,
    };
    Blob { resume: Resume::new(STALL_MAX, 0, begun), begun, ended }
}

impl Blob {
    fn is(mut self, change: impl FnOnce(&mut Ended)) -> Self {
        change(&mut self.ended);
        self
    }

    fn fails(&mut self, failure: Failure) -> Verdict {
        self.ends(Ending::Failed(failure))
    }

    fn ends(&mut self, ending: Ending) -> Verdict {
        self.resume.next(&Ended { ending, ..self.ended })
    }

    /// Some time goes by, in which so many bytes come.
    fn wait(&mut self, time: Duration, bytes: u64) {
        self.ended.now += time;
        self.ended.received_bytes += bytes;
        self.ended.has_grown = bytes > 0;
    }
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn told(kind: FailureKind, seconds: u64) -> Failure {
    let retry_after = Some(Duration::from_secs(seconds));
    Failure { is_answered: true, retry_after, ..Failure::of(kind) }
}

const KINDS: [FailureKind; 8] = [Refused, TimedOut, Answered, Resting, Invalid, Troubled, Cut, Ours];

#[test]
fn what_is_no_failure_goes_on_at_once() {
    for (ending, mode, has_size, next) in [
        (Ending::Clean, Ranges, true, Next::GoOn(Ranges)),
        (Ending::Clean, Whole, true, Next::GoOn(Whole)),
        (Ending::Clean, Rest, true, Next::GoOn(Rest)),
        (Ending::TakenOver, Ranges, true, Next::GoOn(Ranges)),
        (Ending::TakenOver, Whole, false, Next::GoOn(Whole)),
        (Ending::TakenOver, Rest, false, Next::GoOn(Rest)),
        // A clean end of unknown length whose digest is not right was too soon: the rest is asked for once.
        (Ending::Clean, Ranges, false, Next::GoOn(Rest)),
        (Ending::Clean, Whole, false, Next::GoOn(Rest)),
        (Ending::Clean, Rest, false, Next::EndHere),
    ] {
        let mut blob = blob().is(|ended| (ended.mode, ended.has_size) = (mode, has_size));
        assert_eq!(blob.ends(ending), next.into(), "{ending:?}, {mode:?}, {has_size}");
    }
}

#[test]
fn the_rest_of_a_blob_of_unknown_size_may_not_exist() {
    for kind in KINDS {
        for (has_grown, is_range_refused) in [(false, false), (false, true), (true, false)] {
            let mut blob = blob().is(|ended| {
                (ended.mode, ended.has_size, ended.has_grown) = (Rest, false, has_grown);
            });
            let next = blob.fails(Failure { is_range_refused, ..Failure::of(kind) }).next;
            let is_no_outage = is_range_refused || matches!(kind, Invalid | Cut | Ours);
            let expected = match kind {
                _ if is_no_outage && !has_grown => Next::EndHere,
                Refused | Ours => Next::GiveUp,
                _ => Next::Again(Rest, ms(100)),
            };
            assert_eq!(next, expected, "{kind:?}, {has_grown}, {is_range_refused}");
        }
    }
}

#[test]
fn a_range_that_failed_once_is_asked_for_again_and_twice_by_its_kind() {
    for (kind, first, second) in [
        (Refused, Next::GiveUp, Next::GiveUp),
        (TimedOut, Next::Again(Ranges, ms(100)), Next::Probe(Some(ms(200)))),
        (Answered, Next::Again(Ranges, ms(100)), Next::Again(Whole, ms(0))),
        (Resting, Next::Again(Ranges, ms(100)), Next::Again(Ranges, ms(200))),
        (Invalid, Next::GoOn(Whole), Next::GoOn(Whole)),
        (Troubled, Next::Again(Ranges, ms(100)), Next::Again(Ranges, ms(200))),
        (Cut, Next::Again(Ranges, ms(100)), Next::Again(Ranges, ms(200))),
        (Ours, Next::GiveUp, Next::GiveUp),
    ] {
        let mut blob = blob();
        blob.ended.now += ms(10);
        assert_eq!(blob.fails(Failure::of(kind)), first.into(), "{kind:?}");
        blob.ended.now += ms(10);
        assert_eq!(blob.fails(Failure::of(kind)), second.into(), "{kind:?}, the second time");
    }
}

#[test]
fn before_any_answer_a_range_was_tried_again_already() {
    for (kind, start, next) in [
        (Refused, MIB, Next::GiveUp),
        (TimedOut, MIB, Next::Probe(None)),
        (Answered, MIB, Next::Again(Whole, ms(0))),
        (Resting, MIB, Next::Again(Whole, ms(0))),
        (Invalid, MIB, Next::GoOn(Whole)),
        (Troubled, MIB, Next::Again(Whole, ms(0))),
        (Cut, MIB, Next::Again(Whole, ms(0))),
        (Ours, MIB, Next::GiveUp),
        // The whole was asked for.
        (TimedOut, 0, Next::GiveUp),
        (Answered, 0, Next::GiveUp),
        (Resting, 0, Next::GiveUp),
        (Invalid, 0, Next::GiveUp),
        (Troubled, 0, Next::GiveUp),
    ] {
        let mut blob = blob().is(|ended| (ended.has_answered, ended.start) = (false, start));
        assert_eq!(blob.fails(Failure::of(kind)), next.into(), "{kind:?} at {start}");
    }
}

#[test]
fn where_no_range_comes_the_whole_is_asked_for_at_last_and_once() {
    for kind in [Troubled, Resting, Cut] {
        let mut blob = blob();
        for _ in 0..FRUITLESS_COUNT_MAX {
            let next = blob.fails(Failure::of(kind)).next;
            assert!(matches!(next, Next::Again(Ranges, pause) if pause > ms(0)), "{kind:?}: {next:?}");
        }
        assert_eq!(blob.fails(Failure::of(kind)), Next::Again(Whole, ms(0)).into(), "{kind:?}");
        blob.ended.mode = Whole;
        if kind != Resting {
            assert_eq!(blob.fails(Failure::of(kind)), Next::GiveUp.into(), "{kind:?}");
        }
    }
}

/// The whole was asked for while ranges still had a chance: they get it, if the whole is no better.
#[test]
fn a_whole_that_is_no_better_is_followed_by_ranges_again() {
    let mut blob = blob();
    blob.fails(Failure::of(Answered));
    assert_eq!(blob.fails(Failure::of(Answered)), Next::Again(Whole, ms(0)).into());
    blob.ended.mode = Whole;
    assert!(matches!(blob.fails(Failure::of(Answered)).next, Next::Again(Ranges, _)));
    blob.ended.mode = Ranges;
    while let Next::Again(mode, _) = blob.fails(Failure::of(Answered)).next {
        assert_eq!(mode, Ranges, "the whole was asked for");
    }
}

/// Ranges had no chance left when the whole was asked for: they get none afterwards.
#[test]
fn a_whole_that_was_the_last_resort_is_followed_by_nothing() {
    let mut blob = blob().is(|ended| ended.has_answered = false);
    assert_eq!(blob.fails(Failure::of(Troubled)), Next::Again(Whole, ms(0)).into());
    (blob.ended.mode, blob.ended.has_answered) = (Whole, true);
    assert_eq!(blob.fails(Failure::of(Troubled)), Next::GiveUp.into());
}

/// A transfer that brings bytes is resumed in the same mode.
#[test]
fn a_whole_that_brought_something_is_resumed_as_a_whole() {
    let mut blob = blob().is(|ended| ended.mode = Whole);
    assert!(blob.resume.ask_whole() && !blob.resume.ask_whole());
    for _ in 0..100 {
        blob.wait(ms(100), 100_000);
        assert_eq!(blob.fails(Failure::of(Cut)), Next::Again(Whole, ms(100)).into());
    }
}

#[test]
fn a_whole_that_was_not_sent_on_is_asked_for_again_three_times_and_by_the_next_fill() {
    for (wait, pause) in [(None, REST_PAUSE), (Some(7), ms(7_000)), (Some(11), REST_PAUSE)] {
        let mut blob = blob().is(|ended| ended.has_answered = false);
        assert_eq!(blob.fails(Failure::of(Troubled)), Next::Again(Whole, ms(0)).into());
        blob.ended.mode = Whole;
        let resting = Failure { retry_after: wait.map(Duration::from_secs), ..Failure::of(Resting) };
        for _ in 0..REST_COUNT_MAX {
            assert_eq!(blob.fails(resting), Next::Again(Whole, pause).into());
        }
        let given_up = Verdict { next: Next::GiveUp, asks_plainly_next_time: true };
        assert_eq!(blob.fails(resting), given_up);
    }
}

#[test]
fn a_range_that_is_told_to_wait_is_waited_for_once_if_that_is_bearable() {
    for (seconds, first) in [(3, Next::Again(Ranges, ms(3_000))), (10, Next::Again(Ranges, ms(10_000)))] {
        let mut blob = blob();
        assert_eq!(blob.fails(told(Troubled, seconds)), first.into());
        assert_eq!(blob.fails(told(Troubled, seconds)), Next::Again(Whole, ms(0)).into());
    }
    let mut blob = blob();
    assert_eq!(blob.fails(told(Resting, 11)), Next::Again(Whole, ms(0)).into(), "too long");
    // Once something has come, it is waited for again.
    let mut blob = self::blob();
    blob.fails(told(Troubled, 3));
    blob.wait(ms(100), 100_000);
    assert_eq!(blob.fails(told(Troubled, 3)), Next::Again(Ranges, ms(3_000)).into());
}

#[test]
fn after_silence_the_whole_is_asked_for_only_if_the_registry_is_there() {
    for (is_there, pause, next) in [
        (true, Some(ms(200)), Next::Again(Whole, ms(0))),
        (true, None, Next::Again(Whole, ms(0))),
        (false, Some(ms(200)), Next::Again(Ranges, ms(200))),
        (false, None, Next::GiveUp),
    ] {
        let mut blob = blob();
        assert_eq!(blob.resume.probed(is_there, Ranges, pause), next, "{is_there}, {pause:?}");
        assert_eq!(blob.resume.ask_whole(), !is_there, "it counts as asked for");
    }
}

#[test]
fn a_blob_that_comes_too_slowly_for_long_is_given_up_and_asked_for_plainly_next_time() {
    // One byte less than the floor asks for in the time, and one that is enough.
    let floor = FLOOR_RATE * STALL_MAX.as_secs();
    for (bytes, next, asks_plainly_next_time) in
        [(floor - 1, Next::GiveUp, true), (floor, Next::Again(Ranges, ms(100)), false)]
    {
        let mut blob = blob();
        blob.wait(STALL_MAX - ms(1), 0);
        assert!(matches!(blob.fails(Failure::of(Cut)).next, Next::Again(Ranges, _)), "not long yet");
        blob.wait(ms(1), bytes);
        assert_eq!(blob.fails(Failure::of(Cut)), Verdict { next, asks_plainly_next_time }, "{bytes}");
    }
    // A while counts from its beginning, not from the blob's.
    let mut blob = blob();
    blob.wait(STALL_MAX, 100 * floor);
    assert!(matches!(blob.fails(Failure::of(Cut)).next, Next::Again(Ranges, _)));
    blob.wait(STALL_MAX, floor - 1);
    assert_eq!(blob.fails(Failure::of(Cut)).next, Next::GiveUp);
}

#[test]
fn pauses_double_while_little_comes_and_are_spread_over_their_upper_half() {
    for (jitter, pauses) in [
        (1.0, [100, 200, 400, 800, 1_600]),
        (0.0, [50, 100, 200, 400, 800]),
        (0.5, [75, 150, 300, 600, 1_200]),
    ] {
        let mut blob = blob().is(|ended| ended.jitter = jitter);
        for pause in pauses {
            blob.ended.now += ms(10);
            assert_eq!(blob.fails(Failure::of(Troubled)).next, Next::Again(Ranges, ms(pause)));
        }
    }
    // Fast ones are resumed soon, and slow ones ever later, at most so late.
    let mut blob = blob();
    for pause in [100, 200, 400, 800, 1_600, 1_600] {
        blob.wait(ms(1_000), FLOOR_RATE - 1);
        assert_eq!(blob.fails(Failure::of(Cut)).next, Next::Again(Ranges, ms(pause)));
    }
    blob.wait(ms(1_000), FLOOR_RATE);
    assert_eq!(blob.fails(Failure::of(Cut)).next, Next::Again(Ranges, ms(100)));
}

fn any_failure() -> impl Strategy<Value = Failure> {
    let kind = proptest::sample::select(KINDS.to_vec());
    let seconds = proptest::option::of(0_u64..20);
    (kind, any::<bool>(), any::<bool>(), seconds).prop_map(|(kind, is_answered, is_range_refused, wait)| {
        Failure { kind, is_answered, is_range_refused, retry_after: wait.map(Duration::from_secs) }
    })
}

proptest! {
    /// However a blob fails to come, that has an end, and not a late one.
    #[test]
    fn what_brings_nothing_is_given_up(
        failures in proptest::collection::vec(any_failure(), 32),
        has_answered: bool,
        start in 0_u64..2,
        has_size: bool,
        is_there: bool,
    ) {
        let mut blob = blob().is(|ended| {
            (ended.has_answered, ended.start, ended.has_size) = (has_answered, start, has_size);
        });
        let mut is_given_up = false;
        let mut whole_count = 0;
        for failure in failures {
            blob.ended.now += ms(1);
            let next = match blob.fails(failure).next {
                Next::Probe(pause) => blob.resume.probed(is_there, blob.ended.mode, pause),
                next => next,
            };
            match next {
                Next::GoOn(mode) | Next::Again(mode, _) => {
                    whole_count += u32::from(mode == Whole && blob.ended.mode != Whole);
                    blob.ended.mode = mode;
                }
                Next::EndHere => blob.ended.has_size = true,
                Next::GiveUp => is_given_up = true,
                Next::Probe(_) => prop_assert!(false, "a probe is answered"),
            }
            if let Next::Again(_, pause) = next {
                prop_assert!(pause <= RETRY_AFTER_MAX);
                blob.ended.now += pause;
            }
            if is_given_up {
                break;
            }
        }
        prop_assert!(is_given_up, "it goes on and on");
        prop_assert!(blob.begun <= blob.ended.now);
        // Once for a range that did not come, and for each answer that is no part of the blob.
        prop_assert!(whole_count <= 8, "{} times", whole_count);
    }
}
