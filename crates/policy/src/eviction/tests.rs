use super::*;

const GIB: u64 = 1 << 30;

#[test]
fn a_cap_is_bytes_or_a_share_of_the_file_system() {
    let table = [
        (Cap::Bytes(7), None, Some(7)),
        (Cap::Bytes(7), Some(1), Some(7)),
        (Cap::Percent(80), Some(1000), Some(800)),
        (Cap::Percent(80), None, None),
        (Cap::Percent(200), Some(1000), Some(1000)),
        (Cap::Percent(99), Some(u64::MAX), Some(18_262_276_632_972_456_098)),
    ];
    for (cap, total, expected) in table {
        assert_eq!(cap.bytes(total), expected, "{cap:?} of {total:?}");
    }
}

#[test]
fn nothing_goes_up_to_the_cap_and_above_it_as_much_as_the_low_mark_needs() {
    let table = [
        (0, 0, 0),
        (0, 100, 0),
        (100, 100, 0),
        (101, 100, 6),
        (200, 100, 105),
        (5, 0, 5),
        // The cap was lowered to a tenth.
        (1000, 100, 905),
        (u64::MAX, u64::MAX, 0),
    ];
    for (used, cap, expected) in table {
        assert_eq!(over_cap(used, cap), expected, "{used} of {cap}");
    }
}

#[test]
fn nothing_goes_down_to_the_floor_and_below_it_a_little_more() {
    let table = [
        (100, 0, 100, 0),
        (99, 0, 100, 6),
        (0, 0, 100, 105),
        (150, 60, 100, 15),
        (160, 60, 100, 0),
        (0, 0, 0, 0),
        (0, 1, 0, 1),
        (0, u64::MAX, u64::MAX, u64::MAX),
    ];
    for (free, awaited, floor, expected) in table {
        assert_eq!(under_floor(free, awaited, floor), expected, "{free} {awaited} {floor}");
    }
}

#[test]
fn a_blob_on_its_way_counts_once() {
    let used = |partial, announced| Used { held: 80, lists: 20, partial, quarantine: 7, announced };
    let table = [
        (used(0, 0), 107, 0),
        (used(0, 50), 157, 50),
        (used(20, 50), 157, 30),
        (used(50, 50), 157, 0),
        // Rests of fills that ended count too.
        (used(60, 50), 167, 0),
    ];
    for (used, total, awaited) in table {
        assert_eq!((used.total(), used.awaited()), (total, awaited), "{used:?}");
    }
}

#[test]
fn a_blob_fits_if_what_may_go_makes_room_for_it() {
    let base = Standing { used: Used { held: 90, ..Used::default() }, cap: Some(100), ..Standing::default() };
    let pinned = Standing { pinned: 60, ..base };
    let exhausted = Standing { is_exhausted: true, ..base };
    let coming = Standing { used: Used { announced: 30, ..base.used }, ..base };
    let on_disk = Standing { cap: None, free: Some((20, 10)), ..base };
    // An unfinished blob that nothing fetches, and a damaged file.
    let left = Used { held: 20, lists: 0, partial: 50, quarantine: 20, announced: 0 };
    let resumed = Used { announced: 30, ..left };
    let listed = Used { held: 60, lists: 30, ..Used::default() };
    let table = [
        (base, 10, true),
        (base, 100, true),
        (base, 101, false),
        (pinned, 40, true),
        (pinned, 41, false),
        (exhausted, 10, true),
        (exhausted, 11, false),
        (coming, 70, true),
        (coming, 71, false),
        (on_disk, 100, true),
        (on_disk, 101, false),
        (Standing { is_exhausted: true, ..on_disk }, 10, true),
        (Standing { is_exhausted: true, ..on_disk }, 11, false),
        (Standing { pinned: 90, ..on_disk }, 11, false),
        (Standing { used: coming.used, ..on_disk }, 71, false),
        (Standing { used: left, ..base }, 100, true),
        (Standing { used: left, ..base }, 101, false),
        (Standing { used: left, ..exhausted }, 80, true),
        (Standing { used: left, ..exhausted }, 81, false),
        (Standing { used: resumed, ..base }, 70, true),
        (Standing { used: resumed, ..base }, 71, false),
        (Standing { used: left, ..on_disk }, 100, true),
        (Standing { used: left, ..on_disk }, 101, false),
        (Standing { used: listed, ..exhausted }, 40, true),
        (Standing { used: listed, ..exhausted }, 41, false),
        (Standing { used: listed, pinned: 60, ..on_disk }, 40, true),
        (Standing { used: listed, pinned: 60, ..on_disk }, 41, false),
        (Standing { is_at_rest: true, ..base }, 10, true),
        (Standing { is_at_rest: true, ..base }, 11, false),
        (Standing { used: listed, is_at_rest: true, ..base }, 10, true),
        (Standing { used: left, is_at_rest: true, ..base }, 11, false),
        (Standing { is_at_rest: true, ..on_disk }, 11, false),
        (Standing::default(), u64::MAX, true),
        (Standing { pinned: 1000, ..base }, 10, true),
    ];
    for (standing, size, expected) in table {
        assert_eq!(fits(&standing, size), expected, "{size} in {standing:?}");
    }
}

#[test]
fn an_image_goes_unless_it_is_kept_busy_or_in_use() {
    let candidate = |unused: u64, is_kept, is_busy| Candidate {
        unused: Duration::from_secs(unused),
        is_pinned: false,
        is_kept,
        is_busy,
    };
    let pinned = Candidate { is_pinned: true, ..candidate(9999, false, false) };
    let (go, later) = (Verdict::Go, Verdict::Stay(KEEP_USED));
    let rest = |seconds| Verdict::Stay(Duration::from_secs(seconds));
    let table = [
        (candidate(601, false, false), Reason::Cap, go),
        (candidate(600, false, false), Reason::Cap, go),
        (candidate(599, false, false), Reason::Cap, rest(1)),
        (candidate(0, false, false), Reason::FreeSpace, rest(600)),
        (candidate(9999, true, false), Reason::Cap, later),
        (candidate(9999, false, true), Reason::Cap, later),
        (candidate(3599, false, false), Reason::Unused, rest(1)),
        (candidate(3600, false, false), Reason::Unused, go),
        (candidate(3600, true, false), Reason::Unused, later),
        (candidate(600, false, false), Reason::KeepTags, go),
        (candidate(599, false, false), Reason::KeepTags, rest(1)),
        (candidate(0, true, false), Reason::Purge, go),
        (candidate(0, false, true), Reason::Purge, later),
        (pinned, Reason::Cap, later),
        (pinned, Reason::Unused, later),
        (pinned, Reason::Purge, later),
    ];
    let limits = Limits { unused_for: Some(Duration::from_secs(3600)), ..Limits::default() };
    for (candidate, reason, expected) in table {
        assert_eq!(may_go(&candidate, reason, &limits), expected, "{candidate:?} {reason:?}");
    }
}

#[test]
fn no_rule_about_unused_images_removes_none() {
    let candidate =
        Candidate { unused: Duration::from_secs(1 << 40), is_pinned: false, is_kept: false, is_busy: false };
    assert_ne!(may_go(&candidate, Reason::Unused, &Limits::default()), Verdict::Go);
}

#[test]
fn a_rule_shorter_than_the_time_of_a_pull_does_not_cut_pulls() {
    let limits = Limits { unused_for: Some(Duration::ZERO), ..Limits::default() };
    let candidate =
        Candidate { unused: Duration::from_secs(1), is_pinned: false, is_kept: false, is_busy: false };
    assert_ne!(may_go(&candidate, Reason::Unused, &limits), Verdict::Go);
}

#[test]
fn the_most_recently_used_tags_stay() {
    let mut tags = vec![(5, "old"), (9, "a"), (7, "mid"), (9, "b")];
    assert_eq!(sort_kept_tags(&mut tags, 2), 2);
    assert_eq!(tags, [(9, "b"), (9, "a"), (7, "mid"), (5, "old")]);
    assert_eq!(sort_kept_tags(&mut tags, 9), 4);
    assert_eq!(sort_kept_tags(&mut tags, 0), 0);
}

#[test]
fn the_limit_that_leaves_no_room_is_named() {
    let used = Used { held: 90, ..Used::default() };
    let both =
        Standing { used, is_exhausted: true, cap: Some(100), free: Some((20, 10)), ..Standing::default() };
    assert_eq!(lack(&both, 10), None);
    assert_eq!(lack(&both, 11), Some(Lack::Cap(100)));
    let floor = Standing { cap: Some(200), ..both };
    assert_eq!(lack(&floor, 11), Some(Lack::Floor { free: 20, floor: 10 }));
    assert_eq!(lack_for_manifest(&both, 15), None);
    assert_eq!(lack_for_manifest(&both, 16), Some(Lack::Cap(100)));
    assert_eq!(lack_for_manifest(&floor, 16), Some(Lack::Floor { free: 20, floor: 10 }));
}

#[test]
fn two_stores_take_what_both_take() {
    let one = Used { held: GIB, lists: 4, partial: 1, quarantine: 2, announced: 3 };
    let both = one.and(&one);
    assert_eq!(both, Used { held: 2 * GIB, lists: 8, partial: 2, quarantine: 4, announced: 6 });
}

#[test]
fn a_manifest_may_go_beyond_a_limit_a_little() {
    let used = Used { held: 1000, ..Used::default() };
    let full =
        Standing { used, pinned: 1000, cap: Some(1000), free: Some((100, 100)), ..Standing::default() };
    assert!(!fits(&full, 1));
    assert!(fits_manifest(&full, 50) && !fits_manifest(&full, 51));
    let tight = Standing { free: Some((80, 100)), ..full };
    assert!(fits_manifest(&tight, 30) && !fits_manifest(&tight, 31));
}

#[test]
fn the_same_share_of_files_stays_free_as_of_bytes() {
    for (files, floor, total, expected) in [
        (1000, 5, 100, 50),
        (1000, 0, 100, 0),
        (1000, 200, 100, 1000),
        (1000, 5, 0, 0),
        (0, 5, 100, 0),
        (u64::MAX, u64::MAX, u64::MAX, u64::MAX),
    ] {
        assert_eq!(file_floor(files, floor, total), expected, "{files} {floor} {total}");
    }
}
