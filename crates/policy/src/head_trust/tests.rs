use std::time::{Duration, Instant};

use super::{AGREEMENT_TTL, CONTRADICTION_TTL, HeadTrust, Negative, Proof, Stakes};

const SECOND: Duration = Duration::from_secs(1);

/// The GET after a HEAD that said no.
#[derive(Clone, Copy, Debug)]
enum Seen {
    /// The GET said it too, as the registry's own word or not.
    Agreed(Negative, bool),
    Belied,
}

/// The history with its times; the no to weigh, and its time; the proof that it is.
type Case<'a> = (&'a [(Duration, Seen)], Negative, Duration, Proof);

const OWN: Proof = Proof::AsGet { is_authoritative: true };
const OTHER: Proof = Proof::AsGet { is_authoritative: false };

#[test]
fn k7_a_head_is_believed_only_after_head_and_get_were_seen_to_agree() {
    use Negative::{Absent, Refused};
    let note_agreement = |no, is_authoritative, at| (at, Seen::Agreed(no, is_authoritative));
    let note_contradiction = |at| (at, Seen::Belied);
    let [zero, later] = [Duration::ZERO, Duration::from_secs(60)];
    let cases: [Case<'_>; 13] = [
        (&[], Absent, zero, Proof::None),
        (&[note_agreement(Absent, true, zero)], Absent, later, OWN),
        (&[note_agreement(Absent, true, zero)], Refused, later, Proof::None),
        (&[note_agreement(Refused, true, zero)], Refused, later, OWN),
        (&[note_agreement(Absent, false, zero)], Absent, later, OTHER),
        (&[note_agreement(Absent, true, zero), note_agreement(Absent, false, later)], Absent, later, OTHER),
        (&[note_agreement(Absent, true, zero)], Absent, AGREEMENT_TTL - SECOND, OWN),
        (&[note_agreement(Absent, true, zero)], Absent, AGREEMENT_TTL, Proof::None),
        (
            &[note_agreement(Absent, true, zero), note_agreement(Absent, true, later)],
            Absent,
            AGREEMENT_TTL,
            OWN,
        ),
        (&[note_contradiction(zero)], Absent, later, Proof::None),
        (&[note_agreement(Absent, true, zero), note_contradiction(later)], Absent, later, Proof::None),
        (
            &[note_contradiction(zero), note_agreement(Absent, true, later)],
            Absent,
            CONTRADICTION_TTL - SECOND,
            Proof::None,
        ),
        (&[note_contradiction(zero), note_agreement(Absent, true, later)], Absent, CONTRADICTION_TTL, OWN),
    ];
    let start = Instant::now();
    for (seen, no, at, proof) in cases {
        let mut trust = HeadTrust::default();
        for (at, seen) in seen {
            match *seen {
                Seen::Agreed(no, is_authoritative) => trust.note_agreement(no, is_authoritative, start + *at),
                Seen::Belied => trust.note_contradiction(start + *at),
            }
        }
        assert_eq!(trust.evaluate(no, Stakes::Nothing, start + at), proof, "{seen:?} {no:?} {at:?}");
        assert_eq!(trust.evaluate(no, Stakes::Held, start + at), Proof::None, "{seen:?} {no:?} {at:?}");
    }
}

#[test]
fn k7_a_registry_that_is_known_is_believed_from_the_start_until_it_is_belied() {
    let (start, mut trust) = (Instant::now(), HeadTrust::known());
    for no in [Negative::Absent, Negative::Refused] {
        assert_eq!(trust.evaluate(no, Stakes::Nothing, start), OWN);
        trust.note_agreement(no, false, start);
        assert_eq!(trust.evaluate(no, Stakes::Nothing, start + 10 * AGREEMENT_TTL), OWN);
        assert_eq!(trust.evaluate(no, Stakes::Held, start), Proof::None);
    }
    trust.note_contradiction(start);
    assert_eq!(trust.evaluate(Negative::Absent, Stakes::Nothing, start + SECOND), Proof::None);
    assert_eq!(trust.evaluate(Negative::Absent, Stakes::Nothing, start + CONTRADICTION_TTL), OWN);
}
