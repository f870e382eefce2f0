use super::*;

use Answer::{Given, Missing, Refused};

#[test]
fn s14_answers_without_a_login_say_what_the_repository_is() {
    let table = [
        (Given, Answer::None, Visibility::Public),
        (Refused, Answer::None, Visibility::Private),
        (Missing, Given, Visibility::Public),
        (Missing, Refused, Visibility::Private),
        (Missing, Missing, Visibility::Hidden),
        (Missing, Answer::None, Visibility::Absent),
        (Answer::None, Answer::None, Visibility::Undecided),
        // The list is not asked for then, and would prove nothing for the content.
        (Answer::None, Given, Visibility::Undecided),
    ];
    for (content, list, expected) in table {
        assert_eq!(judge(content, list), expected, "{content:?} {list:?}");
    }
    assert_eq!([Given, Refused, Missing, Answer::None].map(needs_list), [false, false, true, false]);
}

#[test]
fn s14_an_outage_takes_nothing_away_and_opens_nothing() {
    for on_404 in [Upstream404::NotFound, Upstream404::Serve] {
        for was_public in [false, true] {
            let conclusion = conclude(Visibility::Undecided, was_public, on_404);
            assert_eq!(conclusion, Conclusion { is_served: was_public, memory: Memory::Kept });
        }
    }
}

#[test]
fn s14_only_the_registrys_own_word_opens_and_closes() {
    use Upstream404::{NotFound, Serve};
    let table = [
        (Visibility::Public, false, NotFound, true, Memory::Renewed),
        (Visibility::Public, true, NotFound, true, Memory::Renewed),
        (Visibility::Private, false, NotFound, false, Memory::Dropped),
        (Visibility::Private, true, NotFound, false, Memory::Dropped),
        (Visibility::Private, true, Serve, false, Memory::Dropped),
        (Visibility::Hidden, false, NotFound, false, Memory::Dropped),
        (Visibility::Hidden, true, NotFound, false, Memory::Dropped),
        (Visibility::Hidden, true, Serve, true, Memory::Kept),
        (Visibility::Hidden, false, Serve, false, Memory::Dropped),
        (Visibility::Absent, false, NotFound, false, Memory::Kept),
        (Visibility::Absent, true, NotFound, false, Memory::Kept),
        (Visibility::Absent, true, Serve, true, Memory::Kept),
    ];
    for (visibility, was_public, on_404, is_served, memory) in table {
        let conclusion = conclude(visibility, was_public, on_404);
        assert_eq!(conclusion, Conclusion { is_served, memory }, "{visibility:?} {was_public} {on_404:?}");
    }
}

#[test]
fn s16_a_note_of_an_earlier_process_lives_no_longer_than_its_time() {
    let ttl = Duration::from_secs(900);
    let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let table = [
        (1000, 1000, Some(900)),
        (1000, 1899, Some(1)),
        (1000, 1900, None),
        (1000, 9999, None),
        (1001, 1000, None),
    ];
    for (asked_at, now, rest) in table {
        assert_eq!(remaining(at(asked_at), ttl, at(now)), rest.map(Duration::from_secs), "{asked_at} {now}");
    }
}
