use std::time::Duration;

use super::*;

const DAY: u64 = 24 * 3600;
const NOW: u64 = 1_800_000_000;

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// A certificate of 90 days that began `age` days ago.
fn held(own: &[&str], age: u64) -> Held {
    let begins = NOW - age * DAY;
    Held { names: names(own), begins, ends: begins + 90 * DAY, obtained_at: begins, window: None, draw: 0 }
}

fn order(of: &[&str]) -> Step {
    Step::Order(names(of))
}

#[test]
fn a_name_without_a_certificate_is_ordered_at_once_and_alone() {
    let none = Failures::default();
    let wanted = names(&["a.example", "b.example", "c.example"]);
    assert_eq!(next(&wanted, &[], &none, NOW), order(&["a.example", "b.example", "c.example"]));
    let some = [held(&["a.example", "b.example"], 10)];
    assert_eq!(next(&wanted, &some, &none, NOW), order(&["c.example"]));
    let all = [held(&["a.example", "b.example"], 10), held(&["c.example"], 1)];
    assert_eq!(next(&wanted, &all, &none, NOW), Step::Wait(Some(NOW + 50 * DAY)));
    assert_eq!(next(&[], &[], &none, NOW), Step::Wait(None));
}

#[test]
fn a_renewal_comes_at_two_thirds_of_the_life_and_joins_small_certificates() {
    let none = Failures::default();
    let wanted = names(&["a.example", "b.example", "c.example"]);
    let held = [held(&["a.example", "gone.example", "b.example"], 61), held(&["c.example"], 1)];
    assert_eq!(next(&wanted, &held, &none, NOW), order(&["a.example", "b.example", "c.example"]));
    assert_eq!(replaced(&wanted, &held, NOW), Some(0));
    assert_eq!(replaced(&wanted[2..], &held, NOW), None);
    // A certificate that would not fit goes on alone.
    let many: Vec<String> = (0..NAME_COUNT_MAX).map(|number| format!("{number}.example")).collect();
    let large = Held { names: many.clone(), ..held[1].clone() };
    let wanted: Vec<String> = wanted.into_iter().chain(many).collect();
    let step = next(&wanted, &[held[0].clone(), held[1].clone(), large], &none, NOW);
    assert_eq!(step, order(&["a.example", "b.example", "c.example"]));
}

#[test]
fn more_names_than_fit_are_split() {
    let many: Vec<String> = (0..250).map(|number| format!("{number}.example")).collect();
    let Step::Order(first) = next(&many, &[], &Failures::default(), NOW) else { panic!("no order") };
    assert_eq!(first, many[..100]);
    let first = Held { names: first, ..held(&[], 0) };
    let Step::Order(second) = next(&many, &[first], &Failures::default(), NOW) else { panic!("no order") };
    assert_eq!(second, many[100..200]);
    assert_eq!(split(&many).map(<[String]>::len).collect::<Vec<_>>(), [100, 100, 50]);
}

#[test]
fn a_certificate_is_renewed_within_its_life_and_not_twice_in_an_hour() {
    let base = held(&["a.example"], 0);
    let window = |start, end| Some(Window { start, end });
    for (held, at) in [
        (base.clone(), NOW + 60 * DAY),
        (Held { draw: DAY, ..base.clone() }, NOW + 59 * DAY),
        (Held { draw: u64::MAX, ..base.clone() }, NOW + 60 * DAY - u64::MAX % (90 * DAY / 50 + 1)),
        (Held { window: window(NOW + DAY, NOW + 2 * DAY), draw: 0, ..base.clone() }, NOW + DAY),
        (Held { window: window(NOW + DAY, NOW + 2 * DAY), draw: DAY, ..base.clone() }, NOW + 2 * DAY),
        (Held { window: window(0, 1), ..base.clone() }, NOW + 3600),
        (Held { window: window(NOW + 900 * DAY, NOW + 901 * DAY), ..base.clone() }, NOW + 90 * DAY),
        (Held { window: window(9, 3), ..base.clone() }, NOW + 3600),
        // Six days, and six seconds.
        (Held { ends: NOW + 6 * DAY, ..base.clone() }, NOW + 4 * DAY),
        (Held { ends: NOW + 6, ..base.clone() }, NOW + 4),
        (Held { ends: NOW, ..base.clone() }, NOW),
    ] {
        assert_eq!(held.renew_at(), at, "{held:?}");
    }
}

#[test]
fn a_name_that_fails_holds_up_no_other_name() {
    let wanted = names(&["a.example", "b.example", "c.example"]);
    let mut failures = Failures::default();
    failures.fail(&names(&["b.example"]), NOW, None, 0);
    assert_eq!(next(&wanted, &[], &failures, NOW), Step::Wait(Some(NOW + 5)), "not at once");
    assert_eq!(next(&wanted, &[], &failures, NOW + 5), order(&["a.example", "c.example"]));
    let others = [Held { obtained_at: NOW, ..held(&["a.example", "c.example"], 0) }];
    failures.succeed(&names(&["a.example", "c.example"]));
    assert_eq!(next(&wanted, &others, &failures, NOW + 5), Step::Wait(Some(NOW + 60)));
    assert_eq!(next(&wanted, &others, &failures, NOW + 60), order(&["b.example"]));
    failures.retain(&names(&["a.example"]));
    assert_eq!(failures.name_count(), 0);
}

#[test]
fn pauses_grow_and_a_failing_authority_pauses_every_name() {
    let mut failures = Failures::default();
    let mut at = NOW;
    for pause in [60, 600, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 12 * 3600] {
        failures.fail(&[], at, None, 0);
        assert_eq!(failures.ready_at("any.example"), at + pause);
        at += pause;
    }
    assert_eq!(failures.authority_count(), 8);
    failures.fail(&[], at, Some(Duration::from_secs(20 * 3600)), 0);
    assert_eq!(failures.ready_at("any.example"), at + 20 * 3600);
    failures.fail(&[], at, Some(Duration::from_secs(u64::MAX)), 0);
    assert_eq!(failures.ready_at("any.example"), at + DAY);
    failures.fail(&names(&["a.example"]), at, None, 25);
    failures.succeed(&[]);
    assert_eq!(failures.ready_at("a.example"), at + 75);
}

#[test]
fn a_process_that_restarts_again_and_again_orders_four_times_in_an_hour() {
    let one = names(&["a.example"]);
    let mut text = String::new();
    for restart in 0..4 {
        let now = NOW + restart * 10;
        let mut failures = Failures::from_text(&text, now);
        assert_eq!(next(&one, &[], &failures, now), order(&["a.example"]), "{restart}");
        failures.fail(&one, now, None, 0);
        text = failures.to_text();
    }
    let failures = Failures::from_text(&text, NOW + 40);
    assert_eq!(next(&one, &[], &failures, NOW + 40), Step::Wait(Some(NOW + 3600)));
    let others = names(&["a.example", "b.example"]);
    assert_eq!(next(&others, &[], &failures, NOW + 40), order(&["b.example"]), "others go on");
    assert_eq!(next(&one, &[], &Failures::from_text(&text, NOW + 3600), NOW + 3600), order(&["a.example"]));
    // A clock that was set back, and text that is none of a failure.
    for text in
        [&text[..], "x\n", "1 \n", "9999999999999999999999 a.example\n", &format!("{NOW}\n").repeat(9)]
    {
        assert_eq!(next(&one, &[], &Failures::from_text(text, NOW - 1), NOW - 1), order(&["a.example"]));
    }
    let mut failures = Failures::default();
    for minute in 0..100 {
        failures.fail(&[], NOW + minute * 60, None, 0);
    }
    assert_eq!(failures.to_text().lines().count(), 4);
    failures.succeed(&one);
    assert_eq!(failures.to_text(), "");
}

#[test]
fn a_certificate_goes_when_later_ones_cover_its_names() {
    let wanted = names(&["a.example", "b.example"]);
    let old = held(&["a.example", "b.example"], 70);
    let new = held(&["a.example"], 0);
    let both = [old.clone(), new.clone()];
    assert!(!is_obsolete(0, &wanted, &both, NOW), "it alone covers b.example");
    assert!(is_obsolete(0, &wanted[..1], &both, NOW) && !is_obsolete(1, &wanted, &both, NOW));
    let equal = [new.clone(), new.clone()];
    assert!(is_obsolete(0, &wanted, &equal, NOW) && !is_obsolete(1, &wanted, &equal, NOW), "one stays");
    let expired = held(&["a.example"], 100);
    assert!(!is_obsolete(0, &wanted, std::slice::from_ref(&expired), NOW), "nothing better is there");
    assert!(is_obsolete(0, &[], &[expired], NOW));
    assert!(!is_obsolete(0, &[], &[old], NOW), "its registry may come back");
}

#[test]
fn certificates_without_a_wanted_name_make_room_and_those_that_end_first_go_first() {
    let wanted = names(&["a.example"]);
    let all = [
        held(&["old.example"], 3),
        held(&["a.example"], 80),
        held(&["older.example"], 5),
        held(&["a.example", "new.example"], 1),
        held(&["oldest.example"], 60),
    ];
    for (count_max, expected) in [(5, &[][..]), (4, &[4]), (3, &[4, 2]), (2, &[4, 2, 0]), (0, &[4, 2, 0])] {
        assert_eq!(surplus(&wanted, &all, count_max), expected, "{count_max}");
    }
}

#[test]
fn a_wildcard_covers_one_label() {
    let hosts = names(&[
        "reg.example",
        "docker.io.reg.example",
        "docker-io.reg.example",
        "ghcr.io.reg.example",
        "registry.k8s.io.reg.example",
        "Mirror.Other.Example.",
        "localhost",
        "192.0.2.7",
        "a_b.example",
    ]);
    let (plain, left_out) = requested(&hosts, Some("reg.example"), false);
    assert_eq!(plain.len(), 6);
    assert_eq!(
        left_out,
        [
            ("localhost".to_owned(), NamesError::OneLabel),
            ("192.0.2.7".to_owned(), NamesError::Address),
            ("a_b.example".to_owned(), NamesError::Malformed),
        ]
    );
    let (wild, _) = requested(&hosts, Some("reg.example"), true);
    let expected = ["reg.example", "*.io.reg.example", "*.reg.example", "*.k8s.io.reg.example"];
    assert_eq!(wild, [&expected[..], &["mirror.other.example"]].concat());
}
