use std::fs;
use std::path::Path;

use bytes::Bytes;
use rustix::io::Errno;
use telemetry::Metrics;

use super::{Durability, bytes};
use crate::error::StoreErrorKind;
use crate::fs::disk::Disk;
use crate::fs::fault::{Call, Fault, Faults};
use crate::fs::open_root;
use crate::fs::root::Root;

fn root(path: &Path, faults: &Faults) -> Root {
    let metrics = Metrics::new(&["test".to_owned()]).registry("test");
    open_root::open(path, Disk::new(faults.clone()), metrics, true).unwrap()
}

fn temporary_count(root: &Path) -> usize {
    fs::read_dir(root.join("tmp")).unwrap().count()
}

#[test]
fn a_name_has_the_old_content_or_the_new() {
    for durability in [Durability::ProcessDeath, Durability::PowerLoss] {
        let directory = tempfile::tempdir().unwrap();
        let faults = Faults::default();
        let root = root(&directory.path().join("store"), &faults);
        let target = directory.path().join("store/blobs/a/b/c");
        let (old, new) =
            ([Bytes::from_static(b"old")], [Bytes::from_static(b"ne"), Bytes::from_static(b"w")]);
        bytes(&root, &target, &old, durability).unwrap();
        faults.reset();
        bytes(&root, &target, &new, durability).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"new");
        for skip in 0..faults.steps().len() {
            fs::write(&target, "old").unwrap();
            faults.inject(None, skip, Fault::Errno(Errno::IO.raw_os_error()));
            bytes(&root, &target, &new, durability).unwrap_err();
            assert!(["old", "new"].contains(&fs::read_to_string(&target).unwrap().as_str()));
            assert_eq!(temporary_count(&directory.path().join("store")), 0, "after call {skip} failed");
        }
    }
}

#[test]
fn a_short_write_continues_and_a_full_disk_is_reported() {
    let directory = tempfile::tempdir().unwrap();
    let faults = Faults::default();
    let root = root(&directory.path().join("store"), &faults);
    let target = directory.path().join("store/blobs/x");
    let pieces: Vec<_> = (0..3000_u32).map(|number| Bytes::from(number.to_le_bytes().to_vec())).collect();
    faults.inject(Some(Call::Write), 0, Fault::Short);
    bytes(&root, &target, &pieces, Durability::PowerLoss).unwrap();
    assert_eq!(fs::read(&target).unwrap(), pieces.concat(), "more slices than one call takes");
    faults.inject(Some(Call::Write), 1, Fault::Errno(Errno::NOSPC.raw_os_error()));
    let error = bytes(&root, &target, &pieces, Durability::PowerLoss).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Full);
    assert!(error.to_string().starts_with("pwritev "), "{error}");
    assert!(error.to_string().contains("/store/tmp/"), "{error}");
    assert!(error.to_string().contains("(os error 28)"), "{error}");
}
