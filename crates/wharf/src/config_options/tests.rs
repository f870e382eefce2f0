use std::error::Error;

use super::*;

#[test]
fn a_file_that_cannot_be_read_keeps_the_system_s_error_and_prints_it_once() {
    let path = PathBuf::from("/nonexistent/wharf.toml");
    let options = ConfigOptions { config: Some(path.clone()), set: Vec::new() };
    let error = options.load(crate::config::PairRule::Each).unwrap_err();
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>()).unwrap();
    assert_eq!(cause.kind(), io::ErrorKind::NotFound);
    assert_eq!(
        describe(&error, "; nothing was started"),
        "cannot read the configuration /nonexistent/wharf.toml: No such file or directory (os error 2)"
    );
    assert_eq!(files_of(&error), [path], "a reload waits for it");
}
