use super::*;

fn files(name: &str) -> PairFiles {
    PairFiles { certificate: format!("{name}.pem").into(), key: format!("{name}.key").into() }
}

#[test]
fn a_waiting_pair_is_told_once_and_louder_after_some_minutes_and_then_hourly() {
    let (mut waiting, start) = (Waiting::default(), Instant::now());
    let minutes = |count: u64| start + Duration::from_secs(60 * count);
    assert_eq!(waiting.next(), None);
    assert_eq!(waiting.observe(&[files("one")], start), [files("one")]);
    assert_eq!(waiting.observe(&[files("one")], minutes(1)), []);
    assert_eq!(waiting.next(), Some(minutes(5)));
    assert_eq!(waiting.overdue(minutes(4)), []);
    assert_eq!(waiting.overdue(minutes(5)), [(files("one"), Duration::from_secs(300))]);
    assert_eq!(waiting.overdue(minutes(6)), []);
    assert_eq!(waiting.overdue(minutes(65)), [(files("one"), Duration::from_secs(65 * 60))]);
}

#[test]
fn a_pair_that_matched_meanwhile_is_told_again_when_it_waits_again() {
    let (mut waiting, start) = (Waiting::default(), Instant::now());
    waiting.observe(&[files("one"), files("two")], start);
    assert_eq!(waiting.observe(&[files("two")], start), []);
    assert_eq!(waiting.observe(&[files("one"), files("two")], start), [files("one")]);
    assert_eq!(waiting.observe(&[], start), []);
    assert_eq!(waiting.next(), None);
}
