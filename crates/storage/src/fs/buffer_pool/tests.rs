use std::sync::Arc;

use super::{BUFFER_BYTES, BufferPool, IDLE_COUNT_MAX};

#[test]
fn a_buffer_goes_back_with_the_last_clone_of_its_bytes() {
    let pool = Arc::new(BufferPool::default());
    let mut lent = pool.lend();
    lent.as_mut_slice()[..3].copy_from_slice(b"abc");
    let bytes = lent.freeze(3);
    let (clone, part) = (bytes.clone(), bytes.slice(1..));
    assert_eq!((&bytes[..], &part[..]), (&b"abc"[..], &b"bc"[..]));
    drop((bytes, clone));
    assert_eq!(pool.idle.lock().len(), 0);
    drop(part);
    assert_eq!(pool.idle.lock().len(), 1);
    assert_eq!(pool.lend().as_mut_slice().len(), BUFFER_BYTES);
}

#[test]
fn idle_buffers_are_bounded() {
    let pool = Arc::new(BufferPool::default());
    let lent: Vec<_> = (0..IDLE_COUNT_MAX + 5).map(|_| pool.lend()).collect();
    drop(lent);
    assert_eq!(pool.idle.lock().len(), IDLE_COUNT_MAX);
}
