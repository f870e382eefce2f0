//! Files without a name, for contents of an archive until they are verified. No client sees them, and they
//! are gone if the import ends early.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use bytes::Bytes;
use oci::{Algorithm, Digest, Hasher};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, open, unlinkat};
use rustix::io::Errno;

/// A file that is gone when it is closed.
#[derive(Debug)]
pub(super) struct Scratch {
    file: File,
    hasher: Hasher,
    size: u64,
}

impl Scratch {
    /// Makes a file on the file system of `directory`, and hashes with `algorithm`. Blocks.
    ///
    /// # Errors
    /// I/O errors.
    pub(super) fn new(directory: &Path, algorithm: Algorithm) -> io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let private = Mode::RUSR | Mode::WUSR;
        let file = match open(directory, flags | OFlags::TMPFILE, private) {
            Ok(file) => file,
            // A file system without files without a name.
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT) => {
                let path = directory.join(format!(".wharf-import-{:016x}", fastrand::u64(..)));
                let file = open(&path, flags | OFlags::CREATE | OFlags::EXCL, private)?;
                unlinkat(CWD, &path, AtFlags::empty())?;
                file
            }
            Err(errno) => return Err(errno.into()),
        };
        Ok(Self { file: File::from(file), hasher: Hasher::new(algorithm), size: 0 })
    }

    /// Adds bytes. Blocks.
    ///
    /// # Errors
    /// I/O errors.
    pub(super) fn write(&mut self, bytes: &Bytes) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }

    /// The file, its size in bytes and its digest.
    pub(super) fn finish(self) -> (File, u64, Digest) {
        (self.file, self.size, self.hasher.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_file_leaves_no_name() {
        let directory = tempfile::tempdir().unwrap();
        let mut scratch = Scratch::new(directory.path(), Algorithm::Sha256).unwrap();
        scratch.write(&Bytes::from_static(b"layer")).unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        let (file, size, digest) = scratch.finish();
        assert_eq!((size, digest), (5, Digest::of(Algorithm::Sha256, b"layer")));
        assert_eq!(file.metadata().unwrap().len(), 5);
    }
}
