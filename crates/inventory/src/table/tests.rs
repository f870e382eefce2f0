use std::collections::BTreeMap;

use super::*;

#[test]
fn an_entry_takes_sixteen_bytes() {
    assert_eq!(size_of::<Entry>(), 16);
}

#[test]
fn a_content_is_known_as_long_as_it_is_named_or_held() {
    let table = Table::new(4);
    table.name(7);
    table.name(7);
    assert_eq!(table.get(7), Known { count: 2, is_held: false, used: 0 });
    assert_eq!(table.hold(7, 40), Known { count: 2, is_held: true, used: 40 });
    assert!(!table.touch(7, 44) && table.touch(7, 45));
    assert_eq!(table.unname(7).count, 1);
    assert!(table.unname(7).is_orphan());
    // One more than were named.
    assert_eq!(table.unname(7), Known { count: 0, is_held: true, used: 45 });
    assert_eq!(table.release(7), Known::default());
    assert_eq!(table.get(7), Known::default());
    assert!(!table.touch(7, 100));
    assert_eq!(table.release(8), Known::default());
    assert_eq!(table.0.iter().map(|piece| piece.read().len()).sum::<usize>(), 0);
}

#[test]
fn random_changes_agree_with_a_map() {
    for seed in 0..20 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (table, mut model) = (Table::new(4), BTreeMap::<u64, Known>::new());
        for step in 1..3000 {
            let key = random.u64(0..200).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let known = model.entry(key).or_default();
            match random.u8(0..5) {
                0 => {
                    table.name(key);
                    known.count += 1;
                }
                1 => {
                    known.count = known.count.saturating_sub(1);
                    assert_eq!(table.unname(key).count, known.count);
                }
                2 => {
                    (known.is_held, known.used) = (true, step.max(known.used));
                    table.hold(key, step);
                }
                3 => {
                    (known.is_held, known.used) = (false, 0);
                    table.release(key);
                }
                _ => {
                    let is_known = known.count > 0 || known.is_held;
                    if is_known && step >= known.used + GRAIN_SECONDS {
                        known.used = step;
                        assert!(table.touch(key, step));
                    }
                }
            }
            if known.count == 0 && !known.is_held {
                *known = Known::default();
            }
            assert_eq!(table.get(key), *known, "seed {seed}, step {step}");
        }
        let held: usize = (0..table.piece_count()).map(|piece| table.uses(piece).len()).sum();
        assert_eq!(held, model.values().filter(|known| known.is_held).count());
    }
}
