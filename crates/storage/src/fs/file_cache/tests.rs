use std::convert::Infallible;
use std::time::Duration;

use super::{CONTENT_BYTES_MAX, Cached, ENTRY_TTL, FileCache};

impl Cached<u32> for Vec<u8> {
    fn weight(&self, _: &u32) -> u64 {
        self.len() as u64 + 100
    }
}

type Done<T> = Result<T, Infallible>;

fn kept() -> FileCache<u32, Vec<u8>> {
    FileCache::new(CONTENT_BYTES_MAX, ENTRY_TTL)
}

fn read(kept: &FileCache<u32, Vec<u8>>, key: u32, value: &[u8]) {
    let found = kept.read(&key, || Done::Ok(Some(value.to_vec())));
    assert_eq!(found, Ok(Some(value.to_vec())));
}

#[test]
fn content_that_was_read_or_written_is_cached() {
    let kept = kept();
    read(&kept, 1, b"read");
    kept.change(&2, Some(b"written".to_vec()), || Done::Ok(())).expect("a change");
    assert_eq!(kept.get(&1), Some(b"read".to_vec()));
    assert_eq!(kept.get(&2), Some(b"written".to_vec()));
    assert_eq!(kept.get(&3), None);
}

#[test]
fn a_removed_or_missing_file_has_no_entry() {
    let kept = kept();
    read(&kept, 1, b"old");
    kept.change(&1, None, || Done::Ok(())).expect("a removal");
    assert_eq!(kept.get(&1), None);
    read(&kept, 2, b"old");
    kept.read(&2, || Done::Ok(None)).expect("nothing is found");
    assert_eq!(kept.get(&2), None);
}

#[test]
fn a_failed_change_leaves_no_entry() {
    let kept = kept();
    read(&kept, 1, b"old");
    kept.change(&1, Some(b"new".to_vec()), || Err::<(), _>("the disk is full")).expect_err("a full disk");
    assert_eq!(kept.get(&1), None);
}

#[test]
fn a_read_before_a_change_does_not_replace_the_entry_of_the_change() {
    let kept = kept();
    let found = kept.read(&1, || {
        kept.change(&1, Some(b"new".to_vec()), || Done::Ok(()))?;
        Done::Ok(Some(b"old".to_vec()))
    });
    assert_eq!(found, Ok(Some(b"old".to_vec())));
    assert_eq!(kept.get(&1), Some(b"new".to_vec()));
}

#[test]
fn a_read_during_a_change_is_not_cached() {
    let kept = kept();
    let change = || {
        read(&kept, 1, b"old");
        Done::Ok(())
    };
    kept.change(&1, Some(b"new".to_vec()), change).expect("a change");
    assert_eq!(kept.get(&1), Some(b"new".to_vec()));
}

#[test]
fn a_change_of_a_file_that_several_keys_share_drops_them_all_and_what_was_read_before() {
    let kept = kept();
    read(&kept, 1, b"old");
    read(&kept, 11, b"old");
    read(&kept, 2, b"other");
    let change = || {
        read(&kept, 21, b"old");
        Done::Ok(7)
    };
    let found = kept.read(&31, || {
        assert_eq!(kept.change_shared(|key| key % 10 == 1, change), Ok(7));
        Done::Ok(Some(b"old".to_vec()))
    });
    assert_eq!(found, Ok(Some(b"old".to_vec())));
    for key in [1, 11, 21, 31] {
        assert_eq!(kept.get(&key), None, "{key}");
    }
    assert_eq!(kept.get(&2), Some(b"other".to_vec()));
}

#[test]
fn two_concurrent_changes_leave_no_entry() {
    let kept = kept();
    let outer = || kept.change(&1, Some(b"inner".to_vec()), || Done::Ok(()));
    kept.change(&1, Some(b"outer".to_vec()), outer).expect("two changes");
    assert_eq!(kept.get(&1), None);
    kept.change(&1, Some(b"later".to_vec()), || Done::Ok(())).expect("a change");
    assert_eq!(kept.get(&1), Some(b"later".to_vec()));
}

#[test]
fn an_expired_entry_is_not_used() {
    let kept = FileCache::new(CONTENT_BYTES_MAX, Duration::ZERO);
    read(&kept, 1, b"old");
    assert_eq!(kept.get(&1), None);
}

#[test]
fn entries_stay_within_the_weight() {
    let kept = kept();
    for key in 0..1000 {
        read(&kept, key, &[0; 64 * 1024]);
    }
    assert!(kept.entries.weight() <= CONTENT_BYTES_MAX);
    read(&kept, 2000, &vec![0; 2 * usize::try_from(CONTENT_BYTES_MAX).expect("a small number")]);
    assert_eq!(kept.get(&2000), None, "it is larger than all may be");
}
