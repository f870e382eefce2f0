use oci::ByteRange;

use super::{BEYOND_COUNT_MAX, SIDECAR_BYTES_MAX, Sidecar};
use crate::extents::Extents;

fn check(sidecar: &str, len: u64, boot_id: Option<&str>, trusted: u64) {
    check_ranges(sidecar, len, boot_id, &[(0, trusted)]);
}

fn check_ranges(sidecar: &str, len: u64, boot_id: Option<&str>, trusted: &[(u64, u64)]) {
    let parsed: Sidecar = serde_json::from_str(sidecar).unwrap();
    let trusted = Extents::of(trusted.iter().copied());
    assert_eq!(parsed.trusted(len, boot_id), trusted, "{sidecar} of {len} bytes, started as {boot_id:?}");
}

#[test]
fn bytes_written_in_order_are_trusted_until_the_machine_restarts() {
    check(r#"{"size":100,"boot_id":"a"}"#, 60, Some("a"), 60);
    check(r#"{"size":100,"boot_id":"a"}"#, 60, Some("b"), 0);
    check(r#"{"size":null,"boot_id":"a"}"#, 60, Some("a"), 60);
    check(r#"{"size":null,"boot_id":null}"#, 60, None, 0);
    check(r#"{"size":null,"boot_id":null}"#, 60, Some("a"), 0);
}

#[test]
fn bytes_written_out_of_order_are_trusted_up_to_the_first_hole() {
    check(r#"{"size":100,"boot_id":"a","front":10}"#, 60, Some("a"), 10);
    check(r#"{"size":100,"boot_id":"a","front":10}"#, 60, Some("b"), 0);
    check(r#"{"size":100,"boot_id":"a","front":90}"#, 60, Some("a"), 60);
}

#[test]
fn parked_bytes_survive_a_restart_of_the_machine() {
    check(r#"{"size":100,"boot_id":"a","synced":true,"front":40}"#, 60, Some("b"), 40);
    check(r#"{"size":100,"boot_id":"a","synced":true,"front":40}"#, 60, Some("a"), 40);
    check(r#"{"size":100,"boot_id":"a","synced":true}"#, 60, Some("b"), 0);
}

#[test]
fn bytes_beyond_the_recorded_size_are_not_trusted() {
    check(r#"{"size":50,"boot_id":"a"}"#, 60, Some("a"), 50);
    check(r#"{"size":50,"boot_id":"a","synced":true,"front":70}"#, 80, Some("b"), 50);
}

#[test]
fn t09_bytes_beyond_a_hole_are_trusted_if_they_are_listed() {
    let note = r#"{"size":100,"boot_id":"a","front":10,"beyond":[[20,30],[50,90]]}"#;
    check_ranges(note, 95, Some("a"), &[(0, 10), (20, 30), (50, 90)]);
    check_ranges(note, 60, Some("a"), &[(0, 10), (20, 30), (50, 60)]);
    check_ranges(note, 25, Some("a"), &[(0, 10), (20, 25)]);
    check_ranges(note, 95, Some("b"), &[]);
    check_ranges(&note.replace("100", "52"), 95, Some("a"), &[(0, 10), (20, 30), (50, 52)]);
    let parked = r#"{"size":100,"boot_id":"a","synced":true,"front":0,"beyond":[[20,30]]}"#;
    check_ranges(parked, 95, Some("b"), &[(20, 30)]);
    check_ranges(parked, 95, None, &[(20, 30)]);
}

#[test]
fn t09_the_valid_part_of_a_corrupt_sidecar_is_used() {
    for (beyond, trusted) in [
        ("[[30,20]]", &[(0, 10)][..]),
        ("[[18446744073709551615,0]]", &[(0, 10)]),
        ("[[0,18446744073709551615]]", &[(0, 60)]),
        ("[[70,80],[61,62]]", &[(0, 10)]),
        ("[[40,50],[20,30],[25,45],[5,12],[30,30]]", &[(0, 12), (20, 50)]),
    ] {
        check_ranges(
            &format!(r#"{{"size":null,"boot_id":"a","front":10,"beyond":{beyond}}}"#),
            60,
            Some("a"),
            trusted,
        );
    }
    // Without a front, the file is said to have no holes.
    check(r#"{"size":100,"boot_id":"a","beyond":[[70,80]]}"#, 60, Some("a"), 60);
    for beyond in ["[[1]]", "[[1,2,3]]", "[[-1,2]]", "[[1,1e30]]", "[1,2]", "7", "null", r#"[["1","2"]]"#] {
        let note = format!(r#"{{"size":100,"boot_id":"a","front":10,"beyond":{beyond}}}"#);
        assert!(serde_json::from_str::<Sidecar>(&note).is_err(), "{note}");
    }
}

#[test]
fn t09_the_longest_of_many_ranges_are_listed_and_the_sidecar_stays_readable() {
    let base = u64::MAX / 2;
    let ranges =
        (0..1000_u64).map(|number| (base + number * 1000, base + number * 1000 + 1 + (number * 7) % 999));
    let written = Extents::of([(0, 5)].into_iter().chain(ranges));
    let note = Sidecar::listing(
        &written,
        Some(u64::MAX),
        Some("1b4e28ba-2fa1-4d3b-8a0c-3f5d1f7c9e11".to_owned()),
        true,
    );
    assert!(serde_json::to_vec(&note).unwrap().len() as u64 <= SIDECAR_BYTES_MAX);
    let trusted = note.trusted(u64::MAX, None);
    assert_eq!(trusted.ranges().len(), 1 + BEYOND_COUNT_MAX);
    let shortest = trusted.ranges()[1..].iter().map(ByteRange::len).min().unwrap();
    let longer = written.ranges()[1..].iter().filter(|range| range.len() > shortest).count();
    assert!(
        longer <= BEYOND_COUNT_MAX && trusted.ranges().iter().all(|range| written.ranges().contains(range))
    );
}
