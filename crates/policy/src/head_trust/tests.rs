use std::time::{Duration, Instant};

use super::{AGREED_FOR, BELIED_FOR, HeadTrust, No, Proof, Stakes};

const SECOND: Duration = Duration::from_secs(1);

/// What happened to a HEAD that said no.
#[derive(Clone, Copy, Debug)]
enum Seen {
    /// The GET said it too, as the registry's own word or not.
    Agreed(No, bool),
    Belied,
}

/// What was seen and when, then which no is weighed and when, and what it proves.
type Case<'a> = (&'a [(Duration, Seen)], No, Duration, Proof);

const OWN: Proof = Proof::AsGet { is_own_word: true };
const OTHER: Proof = Proof::AsGet { is_own_word: false };

#[test]
fn k7_a_head_is_believed_only_after_head_and_get_were_seen_to_agree() {
    use No::{Absent, Refused};
    let agreed = |no, is_own_word, at| (at, Seen::Agreed(no, is_own_word));
    let belied = |at| (at, Seen::Belied);
    let [zero, later] = [Duration::ZERO, Duration::from_secs(60)];
    let cases: [Case<'_>; 13] = [
        (&[], Absent, zero, Proof::None),
        (&[agreed(Absent, true, zero)], Absent, later, OWN),
        (&[agreed(Absent, true, zero)], Refused, later, Proof::None),
        (&[agreed(Refused, true, zero)], Refused, later, OWN),
        (&[agreed(Absent, false, zero)], Absent, later, OTHER),
        (&[agreed(Absent, true, zero), agreed(Absent, false, later)], Absent, later, OTHER),
        (&[agreed(Absent, true, zero)], Absent, AGREED_FOR - SECOND, OWN),
        (&[agreed(Absent, true, zero)], Absent, AGREED_FOR, Proof::None),
        (&[agreed(Absent, true, zero), agreed(Absent, true, later)], Absent, AGREED_FOR, OWN),
        (&[belied(zero)], Absent, later, Proof::None),
        (&[agreed(Absent, true, zero), belied(later)], Absent, later, Proof::None),
        (&[belied(zero), agreed(Absent, true, later)], Absent, BELIED_FOR - SECOND, Proof::None),
        (&[belied(zero), agreed(Absent, true, later)], Absent, BELIED_FOR, OWN),
    ];
    let start = Instant::now();
    for (seen, no, at, proof) in cases {
        let mut trust = HeadTrust::default();
        for (at, seen) in seen {
            match *seen {
                Seen::Agreed(no, is_own_word) => trust.agreed(no, is_own_word, start + *at),
                Seen::Belied => trust.belied(start + *at),
            }
        }
        assert_eq!(trust.weigh(no, Stakes::Nothing, start + at), proof, "{seen:?} {no:?} {at:?}");
        assert_eq!(trust.weigh(no, Stakes::Held, start + at), Proof::None, "{seen:?} {no:?} {at:?}");
    }
}

#[test]
fn k7_a_registry_that_is_known_is_believed_from_the_start_until_it_is_belied() {
    let (start, mut trust) = (Instant::now(), HeadTrust::known());
    for no in [No::Absent, No::Refused] {
        assert_eq!(trust.weigh(no, Stakes::Nothing, start), OWN);
        trust.agreed(no, false, start);
        assert_eq!(trust.weigh(no, Stakes::Nothing, start + 10 * AGREED_FOR), OWN);
        assert_eq!(trust.weigh(no, Stakes::Held, start), Proof::None);
    }
    trust.belied(start);
    assert_eq!(trust.weigh(No::Absent, Stakes::Nothing, start + SECOND), Proof::None);
    assert_eq!(trust.weigh(No::Absent, Stakes::Nothing, start + BELIED_FOR), OWN);
}
