use std::error::Error;
use std::io;
use std::path::Path;

use rustix::io::Errno;

use crate::error::{StoreError, StoreErrorKind};

#[test]
fn error_numbers_have_their_kinds() {
    for (errno, kind) in [
        (Errno::NOSPC, StoreErrorKind::Full),
        (Errno::DQUOT, StoreErrorKind::Full),
        (Errno::ROFS, StoreErrorKind::ReadOnly),
        (Errno::ACCESS, StoreErrorKind::Denied),
        (Errno::PERM, StoreErrorKind::Denied),
        (Errno::MFILE, StoreErrorKind::Busy),
        (Errno::NFILE, StoreErrorKind::Busy),
        (Errno::NOMEM, StoreErrorKind::Busy),
        (Errno::IO, StoreErrorKind::Io),
        (Errno::NAMETOOLONG, StoreErrorKind::Io),
    ] {
        assert_eq!(StoreError::os("open", Path::new("/x"), errno).kind(), kind, "{errno:?}");
    }
}

#[test]
fn an_error_names_the_call_the_path_and_the_reason() {
    let error = StoreError::os("fsync", Path::new("/srv/wharf/blobs"), Errno::IO);
    assert_eq!(error.to_string(), "fsync /srv/wharf/blobs: Input/output error (os error 5)");
    assert_eq!(
        (error.call().as_str(), error.target(), error.errno()),
        ("fsync", "/srv/wharf/blobs", Some(5))
    );
    let own = StoreError::own(StoreErrorKind::Locked, "flock", "lock", "someone has it");
    assert_eq!((own.to_string().as_str(), own.errno()), ("flock lock: someone has it", None));
    assert_eq!(own.reason().to_string(), "someone has it");
}

#[test]
fn each_clone_of_an_error_keeps_its_cause() {
    let error = StoreError::os("fsync", Path::new("/srv/wharf/blobs"), Errno::IO);
    let wrapped = io::Error::other(error.clone());
    drop(error);
    assert_eq!(wrapped.to_string(), "fsync /srv/wharf/blobs: Input/output error (os error 5)");
    let beneath = wrapped.source().and_then(|source| source.downcast_ref::<io::Error>());
    assert_eq!(beneath.and_then(io::Error::raw_os_error), Some(5));
}
