use std::convert::Infallible;
use std::time::Duration;

use super::{BELIEVED_FOR, Copies, WEIGHT_MAX, Weigh};

impl Weigh for u32 {
    fn bytes(&self) -> usize {
        size_of::<Self>()
    }
}

impl Weigh for Vec<u8> {
    fn bytes(&self) -> usize {
        self.len()
    }
}

type Done<T> = Result<T, Infallible>;

fn copies() -> Copies<u32, Vec<u8>> {
    Copies::new(BELIEVED_FOR)
}

fn read(copies: &Copies<u32, Vec<u8>>, key: u32, value: &[u8]) {
    let found = copies.read(&key, || Done::Ok(Some(value.to_vec())));
    assert_eq!(found, Ok(Some(value.to_vec())));
}

#[test]
fn what_was_read_or_written_is_there() {
    let copies = copies();
    read(&copies, 1, b"read");
    copies.change(&2, Some(b"written".to_vec()), || Done::Ok(())).expect("a change");
    assert_eq!(copies.get(&1), Some(b"read".to_vec()));
    assert_eq!(copies.get(&2), Some(b"written".to_vec()));
    assert_eq!(copies.get(&3), None);
}

#[test]
fn what_was_removed_or_found_missing_is_gone() {
    let copies = copies();
    read(&copies, 1, b"old");
    copies.change(&1, None, || Done::Ok(())).expect("a removal");
    assert_eq!(copies.get(&1), None);
    read(&copies, 2, b"old");
    copies.read(&2, || Done::Ok(None)).expect("nothing is found");
    assert_eq!(copies.get(&2), None);
}

#[test]
fn a_change_that_failed_leaves_no_copy() {
    let copies = copies();
    read(&copies, 1, b"old");
    copies.change(&1, Some(b"new".to_vec()), || Err("the disk is full")).expect_err("a full disk");
    assert_eq!(copies.get(&1), None);
}

#[test]
fn what_was_read_before_a_change_does_not_replace_what_it_wrote() {
    let copies = copies();
    let found = copies.read(&1, || {
        copies.change(&1, Some(b"new".to_vec()), || Done::Ok(()))?;
        Done::Ok(Some(b"old".to_vec()))
    });
    assert_eq!(found, Ok(Some(b"old".to_vec())));
    assert_eq!(copies.get(&1), Some(b"new".to_vec()));
}

#[test]
fn what_was_read_during_a_change_gives_way_to_it() {
    let copies = copies();
    let change = || {
        read(&copies, 1, b"old");
        Done::Ok(())
    };
    copies.change(&1, Some(b"new".to_vec()), change).expect("a change");
    assert_eq!(copies.get(&1), Some(b"new".to_vec()));
}

#[test]
fn of_two_changes_at_a_time_neither_is_taken_for_the_last() {
    let copies = copies();
    let outer = || copies.change(&1, Some(b"inner".to_vec()), || Done::Ok(()));
    copies.change(&1, Some(b"outer".to_vec()), outer).expect("two changes");
    assert_eq!(copies.get(&1), None);
    copies.change(&1, Some(b"later".to_vec()), || Done::Ok(())).expect("a change");
    assert_eq!(copies.get(&1), Some(b"later".to_vec()));
}

#[test]
fn an_old_copy_is_not_believed() {
    let copies = Copies::new(Duration::ZERO);
    read(&copies, 1, b"old");
    assert_eq!(copies.get(&1), None);
}

#[test]
fn copies_stay_within_their_weight() {
    let copies = copies();
    for key in 0..1000 {
        read(&copies, key, &[0; 64 * 1024]);
    }
    assert!(copies.entries.weight() <= WEIGHT_MAX);
    read(&copies, 2000, &vec![0; 2 * usize::try_from(WEIGHT_MAX).expect("a small number")]);
    assert_eq!(copies.get(&2000), None, "it is larger than all copies may be");
}
