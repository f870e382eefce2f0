use std::fs::File;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use bytes::Bytes;
use rustix::io::Errno;

use super::{FileAccess, FileSource};
use crate::content::{OpenBlob, OpenFile};
use crate::fs::buffer_pool::BUFFER_BYTES;
use crate::fs::capabilities::Capabilities;
use crate::fs::disk::Disk;
use crate::fs::fault::{Call, Fault, Faults};

const SIZE: usize = 200_000;

fn warm_file(faults: &Faults) -> (OpenBlob, Vec<u8>) {
    let bytes: Vec<u8> = (0..SIZE).map(|index| (index % 251) as u8).collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &bytes).unwrap();
    let can = Capabilities { can_send: true, ..Capabilities::default() };
    let access = FileAccess { disk: Disk::new(faults.clone()), can, ..FileAccess::default() };
    let source = FileSource::new(Arc::new(access), File::open(file.path()).unwrap());
    (OpenBlob::verified(Arc::new(source), SIZE as u64), bytes)
}

fn file(blob: &OpenBlob) -> OpenFile<'_> {
    blob.as_file().expect("its file system can send it")
}

#[tokio::test]
async fn a_warm_file_is_read_in_pooled_buffers() {
    let (blob, bytes) = warm_file(&Faults::default());
    assert_eq!(blob.read(0, SIZE * 2).await.unwrap(), bytes);
    let Some(first) = blob.try_read(10, SIZE).unwrap() else {
        // This file system cannot tell which bytes are in memory; then every read blocks, which is right too.
        return;
    };
    assert!(first.len() <= BUFFER_BYTES && bytes[10..].starts_with(&first));
    assert!(blob.try_read(10, 5).unwrap().is_some_and(|read| read == bytes[10..15]));
    let end = SIZE as u64 - 3;
    assert!(blob.try_read(end, 100).unwrap().is_some_and(|read| read == bytes[SIZE - 3..]));
}

#[tokio::test]
async fn a_read_that_would_block_says_so() {
    for errno in [Errno::AGAIN, Errno::OPNOTSUPP, Errno::INVAL, Errno::NOSYS, Errno::INTR] {
        let faults = Faults::default();
        let (blob, bytes) = warm_file(&faults);
        faults.inject(Some(Call::Read), 0, Fault::Errno(errno.raw_os_error()));
        assert_eq!(blob.try_read(0, 100).unwrap(), None, "{errno:?}");
        assert_eq!(blob.read(0, 100).await.unwrap(), bytes[..100]);
    }
}

#[tokio::test]
async fn a_read_that_fails_says_so() {
    let faults = Faults::default();
    let (blob, _) = warm_file(&faults);
    let eio = Errno::IO.raw_os_error();
    faults.inject(Some(Call::Read), 0, Fault::Errno(eio));
    assert_eq!(blob.try_read(0, 100).unwrap_err().raw_os_error(), Some(eio));
    faults.inject(Some(Call::Read), 0, Fault::Errno(eio));
    assert_eq!(blob.read(0, 100).await.unwrap_err().raw_os_error(), Some(eio));
}

#[tokio::test]
async fn reading_no_bytes_makes_no_call() {
    let faults = Faults::default();
    let (blob, _) = warm_file(&faults);
    for (offset, len) in [(0, 0), (SIZE as u64, 100), (u64::MAX, 100)] {
        assert_eq!(blob.try_read(offset, len).unwrap(), Some(Bytes::new()));
        assert!(blob.read(offset, len).await.unwrap().is_empty());
    }
    assert!(faults.steps().is_empty());
}

#[test]
fn a_file_is_sent_from_the_offset_to_its_end() {
    let (blob, bytes) = warm_file(&Faults::default());
    for (offset, len, sent) in [(0, 1000, 1000), (SIZE - 10, 1000, 10), (SIZE, 1000, 0)] {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        assert_eq!(file(&blob).send(&ours, offset as u64, len).unwrap(), sent);
        drop(ours);
        let mut received = Vec::new();
        theirs.read_to_end(&mut received).unwrap();
        assert_eq!(received, bytes[offset..offset + sent]);
    }
}

#[test]
fn a_full_socket_is_reported() {
    let (blob, _) = warm_file(&Faults::default());
    let (ours, _theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let full = (0..1000).find_map(|_| file(&blob).send(&ours, 0, SIZE).err());
    assert_eq!(full.unwrap().kind(), io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn bytes_that_are_not_in_memory_are_loaded_before_they_are_sent() {
    let faults = Faults::default();
    let (blob, _) = warm_file(&faults);
    assert!(file(&blob).is_cached(SIZE as u64, 10), "nothing is always there");
    // The last sample, and the first.
    for skip in [0, 1] {
        faults.inject(Some(Call::Read), skip, Fault::Errno(Errno::AGAIN.raw_os_error()));
        assert!(!file(&blob).is_cached(0, SIZE));
        assert!(!faults.is_pending());
    }
    file(&blob).load(0, SIZE).await.unwrap();
    file(&blob).load(SIZE as u64 - 10, SIZE).await.unwrap();
    let eio = Errno::IO.raw_os_error();
    faults.inject(Some(Call::Read), 1, Fault::Errno(eio));
    assert_eq!(file(&blob).load(0, SIZE).await.unwrap_err().raw_os_error(), Some(eio));
}
