use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;
use rustix::io::Errno;

use super::{FileAccess, OpenBlob};
use crate::buffer_pool::BUFFER_BYTES;
use crate::fs::disk::Disk;
use crate::fs::fault::{Call, Fault, Faults};

const SIZE: usize = 200_000;

fn warm_file(faults: &Faults) -> (OpenBlob, Vec<u8>) {
    let bytes: Vec<u8> = (0..SIZE).map(|index| (index % 251) as u8).collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &bytes).unwrap();
    let access = FileAccess { disk: Disk::new(faults.clone()), ..FileAccess::default() };
    let opened = File::open(file.path()).unwrap();
    (OpenBlob::of_file(Arc::new(access), Arc::new(opened), SIZE as u64), bytes)
}

#[test]
fn a_warm_file_is_read_in_pooled_buffers() {
    let (blob, bytes) = warm_file(&Faults::default());
    assert_eq!(blob.read_blocking(0, SIZE * 2).unwrap(), bytes);
    let Some(first) = blob.try_read(10, SIZE).unwrap() else {
        // This file system cannot tell what is in memory; then every read waits, which is right as well.
        return;
    };
    assert!(first.len() <= BUFFER_BYTES && bytes[10..].starts_with(&first));
    assert!(blob.try_read(10, 5).unwrap().is_some_and(|read| read == bytes[10..15]));
    let end = SIZE as u64 - 3;
    assert!(blob.try_read(end, 100).unwrap().is_some_and(|read| read == bytes[SIZE - 3..]));
}

#[test]
fn a_read_that_would_wait_says_so() {
    for errno in [Errno::AGAIN, Errno::OPNOTSUPP, Errno::INVAL, Errno::NOSYS, Errno::INTR] {
        let faults = Faults::default();
        let (blob, bytes) = warm_file(&faults);
        faults.inject(Some(Call::Read), 0, Fault::Errno(errno.raw_os_error()));
        assert_eq!(blob.try_read(0, 100).unwrap(), None, "{errno:?}");
        assert_eq!(blob.read_blocking(0, 100).unwrap(), bytes[..100]);
    }
}

#[test]
fn a_read_that_fails_says_so() {
    let faults = Faults::default();
    let (blob, _) = warm_file(&faults);
    let eio = Errno::IO.raw_os_error();
    faults.inject(Some(Call::Read), 0, Fault::Errno(eio));
    assert_eq!(blob.try_read(0, 100).unwrap_err().raw_os_error(), Some(eio));
    faults.inject(Some(Call::Read), 0, Fault::Errno(eio));
    assert_eq!(blob.read_blocking(0, 100).unwrap_err().raw_os_error(), Some(eio));
}

#[test]
fn reading_nothing_asks_nobody() {
    let faults = Faults::default();
    let (blob, _) = warm_file(&faults);
    for (offset, len) in [(0, 0), (SIZE as u64, 100), (u64::MAX, 100)] {
        assert_eq!(blob.try_read(offset, len).unwrap(), Some(Bytes::new()));
        assert!(blob.read_blocking(offset, len).unwrap().is_empty());
    }
    assert!(faults.steps().is_empty());
}
