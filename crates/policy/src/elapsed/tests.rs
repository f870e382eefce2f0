use std::time::UNIX_EPOCH;

use super::*;

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const DAY: u64 = 86_400;
const YEAR: u64 = 365 * DAY;

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn a_pause_counts_up_to_a_day_and_a_clock_that_was_set_back_counts_nothing() {
    let start = 57 * YEAR;
    // The wall clock before and now, the time that passed for certain; the course, and how much of it counts.
    let cases = [
        (start, start, 0, Course::Steady, 0),
        (start, start + HOUR, HOUR, Course::Steady, 0),
        // Adjusted by a minute at the most.
        (start, start + HOUR + MINUTE, HOUR, Course::Steady, 0),
        (start, start + HOUR - MINUTE, HOUR, Course::Steady, 0),
        // A restart, a laptop that slept.
        (start, start + MINUTE + 1, 0, Course::Pause(seconds(MINUTE + 1)), MINUTE + 1),
        (start, start + 9 * HOUR, HOUR, Course::Pause(seconds(8 * HOUR)), 8 * HOUR),
        (start, start + DAY, 0, Course::Pause(seconds(DAY)), DAY),
        // A holiday, a clock that was set ahead by ten years: none can tell them apart.
        (start, start + 14 * DAY, 0, Course::Ahead(seconds(14 * DAY)), DAY),
        (start, start + 10 * YEAR + HOUR, HOUR, Course::Ahead(seconds(10 * YEAR)), DAY),
        // A machine without a battery for its clock starts in 1970, and sets the clock a moment later.
        (start, 5, 0, Course::Back(seconds(start - 5)), 0),
        (5, start, 10, Course::Ahead(seconds(start - 15)), DAY),
        (start + HOUR, start, HOUR, Course::Back(seconds(2 * HOUR)), 0),
        (start, start + MINUTE, HOUR, Course::Back(seconds(HOUR - MINUTE)), 0),
    ];
    for (before, now, passed, course, counted) in cases {
        let found = Course::of(at(before), at(now), seconds(passed));
        assert_eq!(found, course, "{before} {now} {passed}");
        assert_eq!((found.counted(), found.rest()), (seconds(counted), seconds(counted)));
    }
}

#[test]
fn only_time_beyond_the_furthest_one_that_the_clock_has_shown_is_new() {
    let [year, day, hour] = [YEAR, DAY, HOUR].map(seconds);
    // The course, how far the clock was behind; the new part, and how far it is behind now.
    let cases = [
        (Course::Steady, year, Course::Steady, year),
        (Course::Back(year), hour, Course::Back(year), year + hour),
        (Course::Pause(hour), Duration::ZERO, Course::Pause(hour), Duration::ZERO),
        (Course::Ahead(year), Duration::ZERO, Course::Ahead(year), Duration::ZERO),
        // A clock that was set back comes back, at the most up to where it was.
        (Course::Ahead(year), year, Course::Steady, Duration::ZERO),
        (Course::Ahead(year), year + hour, Course::Steady, hour),
        (Course::Pause(hour), year, Course::Steady, year - hour),
        // It goes further.
        (Course::Ahead(year + hour), year, Course::Pause(hour), Duration::ZERO),
        (Course::Ahead(year), day, Course::Ahead(year - day), Duration::ZERO),
        (Course::Ahead(year), year - seconds(MINUTE), Course::Steady, Duration::ZERO),
        (Course::Back(Duration::MAX), hour, Course::Back(Duration::MAX), Duration::MAX),
    ];
    for (course, behind, new, now_behind) in cases {
        assert_eq!(course.beyond(behind), (new, now_behind), "{course:?} {behind:?}");
    }
}

#[test]
fn the_age_of_a_file_goes_by_the_last_noted_moment() {
    let now = 57 * YEAR;
    // The file's time, the last noted moment and what counts since, the age.
    let cases = [
        (now - HOUR, None, HOUR),
        (now, None, 0),
        // It lies ahead.
        (now + YEAR, None, 0),
        (now - 3 * HOUR, Some((now - HOUR, HOUR)), 3 * HOUR),
        (now - HOUR / 2, Some((now - HOUR, HOUR)), HOUR / 2),
        // The clock was set ahead by ten years, of which a day counts.
        (now - 10 * YEAR - HOUR, Some((now - 10 * YEAR, DAY)), DAY + HOUR),
        (now - 10 * YEAR + HOUR, Some((now - 10 * YEAR, DAY)), DAY),
        // It was set back by a year: files keep their order.
        (now + YEAR - HOUR, Some((now + YEAR, 0)), HOUR),
        (now + YEAR - DAY, Some((now + YEAR, 0)), DAY),
        (now + YEAR + HOUR, Some((now + YEAR, 0)), 0),
    ];
    for (modified, noted, age) in cases {
        let noted = noted.map(|(noted, counted)| Noted { at: at(noted), counted: seconds(counted) });
        assert_eq!(age_of_file(at(modified), at(now), noted), seconds(age), "{modified} {noted:?}");
    }
}
