use std::path::Path;

use rustix::io::Errno;

use super::{StoreError, StoreErrorKind};

#[test]
fn error_numbers_have_the_kinds_that_callers_act_on() {
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
    assert_eq!((error.call(), error.path()), ("fsync", Path::new("/srv/wharf/blobs")));
    assert_eq!((error.errno(), error.cause().raw_os_error()), (Some(5), Some(5)));
    let own = StoreError::own(StoreErrorKind::Locked, "flock", Path::new("lock"), "someone has it");
    assert_eq!((own.to_string().as_str(), own.errno()), ("flock lock: someone has it", None));
}
