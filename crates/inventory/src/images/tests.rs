use std::collections::{BTreeMap, BTreeSet};

use oci::Algorithm;

use super::*;

fn repository(name: &str) -> Repository {
    name.parse().unwrap()
}

fn tag(name: &str) -> Tag {
    name.parse().unwrap()
}

fn digest(name: &str) -> Digest {
    Digest::of(Algorithm::Sha256, name.as_bytes())
}

#[test]
fn an_image_and_its_tag_take_little_memory() {
    assert_eq!((size_of::<Entry>(), size_of::<TagEntry>()), (48, 24));
}

#[test]
fn a_tag_moves_and_leaves_the_old_manifest() {
    let mut images = Images::new();
    let app = repository("app");
    images.store(&app, &digest("old"), 1, false);
    images.store(&app, &digest("new"), 2, false);
    images.set_tag(&app, &tag("latest"), &digest("old"), 1);
    images.set_tag(&app, &tag("v1"), &digest("old"), 1);
    images.set_tag(&app, &tag("latest"), &digest("new"), 2);
    images.set_tag(&app, &tag("latest"), &digest("new"), 2);
    let (old, new) = (images.find(&app, &digest("old")).unwrap(), images.find(&app, &digest("new")).unwrap());
    assert_eq!((images.tags_of(old), images.tags_of(new)), (vec![tag("v1")], vec![tag("latest")]));
    assert!(!images.remove_tag(&app, &tag("latest"), Some(old)));
    assert!(images.remove_tag(&app, &tag("latest"), Some(new)));
    assert!(!images.has_tag(&app, &tag("latest")) && images.has_tag(&app, &tag("v1")));
}

#[test]
fn a_tag_of_a_manifest_that_is_not_held_is_known_until_it_is_removed() {
    let mut images = Images::new();
    let app = repository("app");
    images.set_tag(&app, &tag("latest"), &digest("a"), 5);
    let slot = images.find(&app, &digest("a")).unwrap();
    assert!(!images.row(slot).unwrap().is_held && images.has_any(&app));
    assert!(images.store(&app, &digest("a"), 7, true).is_new);
    assert!(!images.store(&app, &digest("a"), 6, false).is_new);
    let row = images.row(slot).unwrap();
    assert_eq!((row.is_held, row.is_pinned, row.used), (true, true, 7));
    assert!(images.remove(slot) && !images.remove(slot));
    assert_eq!(images.tags_of(slot), [tag("latest")]);
    assert!(images.remove_tag(&app, &tag("latest"), None));
    assert!(!images.has_any(&app) && images.row(slot).is_none());
}

#[test]
fn the_oldest_is_found_although_uses_change_no_order() {
    let mut images = Images::new();
    let app = repository("app");
    for (name, used) in [("a", 10), ("b", 20), ("c", 30)] {
        images.store(&app, &digest(name), used, false);
    }
    let slot = |images: &Images, name| images.find(&app, &digest(name)).unwrap();
    assert!(images.touch(&app, &digest("a"), 40) && !images.touch(&app, &digest("a"), 44));
    assert_eq!(images.oldest(19), Oldest::Nothing);
    let (a, b, c) = (slot(&images, "a"), slot(&images, "b"), slot(&images, "c"));
    assert_eq!(images.take_oldest(100, Some(20)), Oldest::Nothing, "an orphan of the same time goes first");
    assert_eq!(images.take_oldest(100, Some(21)), Oldest::Found(b, 20));
    assert_eq!(images.take_oldest(100, None), Oldest::Found(c, 30));
    images.queue(b, 50);
    images.queue(b, 1);
    assert_eq!(images.take_oldest(100, None), Oldest::Found(a, 40));
    assert_eq!(images.take_oldest(100, None), Oldest::Found(b, 50));
    assert_eq!(images.take_oldest(100, None), Oldest::Nothing);
}

#[test]
fn a_number_that_is_used_again_has_one_place_in_the_order() {
    let mut images = Images::new();
    let app = repository("app");
    for round in 0..100 {
        images.store(&app, &digest("a"), 100 + round, false);
        let slot = images.find(&app, &digest("a")).unwrap();
        assert!(images.remove(slot));
    }
    assert!(images.order.len() <= 1 && images.entries.len() == 1);
    images.store(&app, &digest("b"), 500, false);
    assert_eq!(images.oldest(499), Oldest::Nothing);
    assert!(matches!(images.oldest(500), Oldest::Found(_, 500)));
}

#[test]
fn digests_of_both_algorithms_come_back() {
    let mut images = Images::new();
    let long = Digest::of(Algorithm::Sha512, b"a");
    for name in ["one", "two"] {
        images.store(&repository(name), &long, 1, false);
        let slot = images.find(&repository(name), &long).unwrap();
        assert_eq!(images.row(slot).unwrap().digest, long);
    }
    let slot = images.find(&repository("one"), &long).unwrap();
    images.remove(slot);
    let slot = images.find(&repository("two"), &long).unwrap();
    assert_eq!(images.row(slot).unwrap().digest, long);
    images.remove(slot);
    assert!(images.rests.is_empty());
}

#[test]
fn random_changes_agree_with_maps() {
    for seed in 0..30 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut images = Images::new();
        let mut tags = BTreeMap::<(String, String), Digest>::new();
        let mut held = BTreeSet::<(String, Digest)>::new();
        for _ in 0..600 {
            let name = ["a", "b/c", "d"][random.usize(0..3)].to_owned();
            let tag_name = ["x", "y", "a-name-that-is-not-short"][random.usize(0..3)].to_owned();
            let digest = digest(&random.u8(0..6).to_string());
            let in_repository = repository(&name);
            match random.u8(0..4) {
                0 => {
                    let is_new = images.store(&in_repository, &digest, 1, false).is_new;
                    assert_eq!(is_new, held.insert((name, digest)));
                }
                1 => {
                    images.set_tag(&in_repository, &tag(&tag_name), &digest, 1);
                    tags.insert((name, tag_name), digest);
                }
                2 => {
                    let was = images.remove_tag(&in_repository, &tag(&tag_name), None);
                    assert_eq!(was, tags.remove(&(name, tag_name)).is_some());
                }
                _ => {
                    let slot = images.find(&in_repository, &digest);
                    let was_held = slot.is_some_and(|slot| images.remove(slot));
                    assert_eq!(was_held, held.remove(&(name, digest)));
                }
            }
            let (rows, rest) = images.rows(0, usize::MAX);
            assert_eq!(rest, None);
            let mut seen_tags = BTreeMap::new();
            for row in &rows {
                let name = row.repository.as_str().to_owned();
                for tag in images.tags_of(row.slot) {
                    seen_tags.insert((name.clone(), tag.as_str().to_owned()), row.digest.clone());
                }
            }
            let seen_held = rows.iter().filter(|row| row.is_held);
            let seen_held: BTreeSet<_> =
                seen_held.map(|row| (row.repository.as_str().to_owned(), row.digest.clone())).collect();
            assert_eq!((&seen_tags, &seen_held), (&tags, &held), "seed {seed}");
            assert_eq!(images.held_count(), held.len());
        }
    }
}
