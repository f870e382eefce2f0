use super::*;

const DEFAULTS: Wanted = Wanted { connections: None, per_client: None, answers: None };

fn wanted(connections: usize, per_client: usize, answers: usize) -> Wanted {
    let asked = |count| (count > 0).then_some(count);
    Wanted { connections: asked(connections), per_client: asked(per_client), answers: asked(answers) }
}

fn bounds(capacity: &Capacity) -> (usize, usize, usize) {
    (capacity.connections, capacity.per_client, capacity.answers)
}

/// The descriptors that everything of a plan takes together.
fn taken(capacity: &Capacity, registry_count: usize) -> usize {
    OWN_COUNT
        + capacity.kept_open * registry_count
        + capacity.connections
        + capacity.answers
        + capacity.all.asking
}

#[test]
fn enough_descriptors_give_everything() {
    for descriptors in [None, Some(usize::MAX), Some(1 << 20), Some(25_872), Some(24_196)] {
        let capacity = plan(descriptors, &DEFAULTS, 7).unwrap();
        assert_eq!(bounds(&capacity), (10_000, 5_000, 8_192), "{descriptors:?}");
        assert_eq!(capacity.shortfall, None, "{descriptors:?}");
    }
}

#[test]
fn every_share_follows_from_the_answers() {
    let capacity = plan(None, &DEFAULTS, 7).unwrap();
    assert_eq!(capacity.per_registry, UpstreamShare { waiting: 6144, asking: 2048 });
    assert_eq!(capacity.all, UpstreamShare { waiting: 7168, asking: 3072 });
    assert_eq!((capacity.kept_open, capacity.collected_bytes), (585, (32 << 20) / 7));
    for (answers, waiting, asking, waiting_of_all, asking_of_all) in
        [(1, 1, 1, 1, 1), (2, 2, 1, 1, 1), (8, 6, 2, 7, 3), (100, 75, 25, 87, 38), (1001, 751, 251, 875, 376)]
    {
        let capacity = plan(None, &wanted(0, 0, answers), 1).unwrap();
        assert_eq!(capacity.per_registry, UpstreamShare { waiting, asking }, "{answers}");
        assert_eq!(
            capacity.all,
            UpstreamShare { waiting: waiting_of_all, asking: asking_of_all },
            "{answers}"
        );
    }
    for (registry_count, kept_open, unstored) in
        [(0, 4096, 1024), (1, 4096, 1024), (10, 409, 102), (64, 64, 16), (100, 40, 16), (5000, 0, 16)]
    {
        let capacity = plan(None, &DEFAULTS, registry_count).unwrap();
        assert_eq!((capacity.kept_open, capacity.unstored), (kept_open, unstored), "{registry_count}");
    }
}

#[test]
fn registries_share_the_logins_of_clients() {
    let table =
        [(0, 256, 64), (1, 256, 64), (4, 256, 64), (5, 204, 51), (32, 32, 8), (64, 16, 8), (5000, 16, 8)];
    for (registry_count, proved, unproved) in table {
        assert_eq!(LoginShare::of_one(registry_count), LoginShare { proved, unproved }, "{registry_count}");
    }
}

#[test]
fn f43_few_descriptors_leave_some_for_files_and_upstreams() {
    for (descriptors, connections, clients, answers) in
        [(24_190, 9997, 4999, 8190), (8192, 3226, 1613, 2643), (4096, 1493, 747, 1223), (1024, 192, 96, 157)]
    {
        let capacity = plan(Some(descriptors), &DEFAULTS, 1).unwrap();
        assert_eq!(bounds(&capacity), (connections, clients, answers), "{descriptors}");
        let shortfall = Shortfall { descriptors_needed: 25_872, is_less_than_asked: false };
        assert_eq!(
            capacity.shortfall,
            Some(shortfall),
            "the shortfall counts only against bounds that were set: {descriptors}"
        );
        assert!(taken(&capacity, 1) <= descriptors, "{descriptors}: {capacity:?}");
    }
}

#[test]
fn what_was_asked_for_comes_before_defaults() {
    for (descriptors, wanted, expected, is_less_than_asked) in [
        // One of the two: it is given, and the default takes the rest.
        (4096, wanted(0, 0, 1000), (1800, 900, 1000), Some(false)),
        (4096, wanted(2000, 0, 0), (2000, 1000, 854), Some(false)),
        // Never more than three quarters, or there would be connections without answers.
        (4096, wanted(3000, 0, 0), (2382, 1191, 576), Some(true)),
        (4096, wanted(0, 0, 8000), (793, 397, 1732), Some(true)),
        // Both: lowered alike.
        (4096, wanted(10_000, 0, 8192), (1493, 747, 1223), Some(true)),
        // What fits is given as it was asked for.
        (4096, wanted(1000, 700, 1000), (1000, 700, 1000), None),
        (700, wanted(20, 20, 20), (20, 20, 20), None),
        // The bound of one client is kept where it fits, and shrinks with the others where it is more than
        // half.
        (4096, wanted(0, 100, 0), (1493, 100, 1223), Some(false)),
        (4096, wanted(0, 5000, 0), (1493, 747, 1223), Some(true)),
        (4096, wanted(0, 10_000, 0), (1493, 1493, 1223), Some(true)),
    ] {
        let capacity = plan(Some(descriptors), &wanted, 3).unwrap();
        assert_eq!(bounds(&capacity), expected, "{descriptors} {wanted:?}");
        assert_eq!(
            capacity.shortfall.map(|shortfall| shortfall.is_less_than_asked),
            is_less_than_asked,
            "{wanted:?}"
        );
        assert!(taken(&capacity, 3) <= descriptors, "{wanted:?}: {capacity:?}");
    }
}

#[test]
fn f43_a_server_for_a_handful_of_clients_does_not_start() {
    for descriptors in [0, 64, 512, 1023] {
        let refused = plan(Some(descriptors), &DEFAULTS, 7).unwrap_err();
        let expected = TooFewDescriptors { descriptors, descriptors_min: 1024, descriptors_needed: 25_872 };
        assert_eq!(refused, expected);
    }
}

#[test]
fn no_number_of_descriptors_is_exceeded_or_overflows() {
    let counts = [0, 1, 7, 100, 5_000, 100_000, usize::MAX];
    for descriptors in (1024..20_000).step_by(97) {
        for connections in counts {
            for answers in counts {
                let capacity = plan(Some(descriptors), &wanted(connections, 0, answers), 3).unwrap();
                assert!(capacity.connections > 0 && capacity.answers > 0, "{capacity:?}");
                // A bound of zero would serve nobody, so each has one at least.
                let slack = 2;
                assert!(taken(&capacity, 3) <= descriptors + slack, "{descriptors} {capacity:?}");
            }
        }
    }
}
