//! Tar archives of images.

use std::collections::BTreeSet;

use archive::fuzzing::{self, Passed};

/// Checks that only relative names pass, each once, that no entry has content that the archive has not, and
/// that what passed can be written and read again.
pub fn check(input: &[u8]) {
    let (passed, _) = fuzzing::read(input);
    let mut names = BTreeSet::new();
    let mut bytes = 0;
    for Passed { name, link, content } in &passed {
        let is_safe = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
        assert!(!name.is_empty() && name.split('/').all(is_safe), "{name:?}");
        assert!(names.insert(name), "{name:?} came twice");
        assert!(link.is_none() || content.is_empty(), "a link has content");
        bytes += content.len();
    }
    assert!(bytes <= input.len(), "{bytes} bytes out of {}", input.len());
    let files: Vec<_> = passed.into_iter().filter(|entry| entry.link.is_none()).collect();
    let written = fuzzing::write(files.iter().map(|entry| (entry.name.as_str(), entry.content.as_slice())));
    let (again, is_whole) = fuzzing::read(&written[..]);
    assert!(is_whole && again == files, "what wharf writes, it reads");
    // An archive that is cut is never whole.
    let (_, is_whole) = fuzzing::read(&written[..written.len() - 1024]);
    assert!(!is_whole);
}
