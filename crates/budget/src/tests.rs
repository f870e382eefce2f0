use super::*;

#[test]
fn no_more_is_taken_than_there_is_and_all_of_it_comes_back() {
    let budget = Budget::new(10);
    let mut first = budget.take(6).unwrap();
    assert!(budget.take(5).is_none());
    assert!(!first.grow_to(11), "more than there is");
    assert!(first.grow_to(10));
    assert!(first.grow_to(3), "it has that already");
    assert_eq!((first.bytes(), budget.taken()), (10, 10));
    first.shrink_to(4);
    assert_eq!((first.bytes(), budget.taken()), (4, 4));
    first.shrink_to(9);
    assert_eq!(first.bytes(), 4, "shrinking takes nothing");
    let second = budget.take(6).unwrap();
    drop(first);
    assert_eq!(budget.taken(), 6);
    drop(second);
    assert_eq!(budget.taken(), 0);
    assert!(budget.take(u64::MAX).is_none(), "a sum that does not fit is too much");
}

#[test]
fn bytes_are_counted_once_however_many_hold_them() {
    let budget = Budget::new(10);
    let bytes = budget.take(4).unwrap().attach(Bytes::from_static(b"body"));
    let (clone, slice) = (bytes.clone(), bytes.slice(1..3));
    assert_eq!((&clone[..], &slice[..], budget.taken()), (&b"body"[..], &b"od"[..], 4));
    drop((bytes, clone));
    assert_eq!(budget.taken(), 4, "a slice holds all of the memory");
    drop(slice);
    assert_eq!(budget.taken(), 0);
}

#[test]
fn what_must_go_on_is_counted_beyond_the_bound() {
    let budget = Budget::new(10);
    let share = budget.overdraw(15);
    assert_eq!(budget.taken(), 15);
    assert!(budget.take(1).is_none());
    assert!(budget.take(0).is_none(), "nothing is to be had while too much is out");
    drop(share);
    assert!(budget.take(10).is_some());
}

#[test]
fn no_sort_of_body_takes_what_belongs_to_another() {
    let memory = Memory::new(40);
    let lists = memory.lists.take(10).unwrap();
    assert!(memory.lists.take(1).is_none());
    assert!(memory.documents.take(10).is_some());
    assert_eq!(memory.taken(), [("documents", 0), ("lists", 10), ("windows", 0), ("batches", 0)]);
    drop(lists);
    assert_eq!(Memory::default().lists.bytes_max(), 16 << 20);
}

#[test]
fn what_is_taken_beyond_the_bound_comes_back_too() {
    let budget = Budget::new(10);
    let mut share = budget.overdraw(0);
    assert!(!budget.is_spent());
    share.overdraw(10);
    assert!(budget.is_spent());
    share.overdraw(5);
    assert_eq!((share.bytes(), budget.taken()), (15, 15));
    drop(share);
    assert_eq!(budget.taken(), 0);
}

#[test]
fn f41_a_bound_that_changes_holds_for_whoever_holds_the_budget() {
    let memory = Memory::new(400);
    let held = memory.clone().lists.take(100).unwrap();
    assert!(memory.lists.take(1).is_none());
    memory.resize(800);
    let more = memory.lists.take(100).unwrap();
    memory.resize(400);
    drop(more);
    assert!(memory.lists.take(1).is_none() && memory.lists.is_spent());
    drop(held);
    assert!(memory.lists.take(100).is_some());
}
