//! A certificate and its key in two files.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::certificate::{Certificate, CertificateError};

/// The largest file that is read, in bytes. A chain has a few kilobytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The files of a certificate chain and of its key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PairFiles {
    /// The chain.
    pub certificate: PathBuf,
    /// The key.
    pub key: PathBuf,
}

/// A pair that cannot be used now. Agents that renew certificates replace the files one after the other, so
/// most such pairs match a moment later.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PairError {
    /// A file that cannot be read, with the cause.
    #[error("cannot read {path:?}: {cause}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        cause: String,
    },
    /// The chain.
    #[error("{path:?}: {error}")]
    Chain {
        /// Its file.
        path: PathBuf,
        /// The fault.
        error: CertificateError,
    },
    /// The key, or the two together.
    #[error("{path:?}: {error}")]
    Key {
        /// The file of the key.
        path: PathBuf,
        /// The fault.
        error: CertificateError,
    },
}

impl PairError {
    /// Whether the file of the chain is at fault, rather than that of the key or the two together.
    pub fn concerns_chain(&self, files: &PairFiles) -> bool {
        match self {
            Self::Unreadable { path, .. } => *path == files.certificate,
            Self::Chain { .. } => true,
            Self::Key { .. } => false,
        }
    }
}

impl PairFiles {
    /// Reads both files.
    ///
    /// # Errors
    /// [`PairError`].
    pub fn load(&self) -> Result<Certificate, PairError> {
        let chain = read(&self.certificate)?;
        let key = read(&self.key)?;
        let source = self.certificate.display().to_string();
        Certificate::from_pem(&source, &chain, &key).map_err(|error| match error {
            CertificateError::Chain | CertificateError::Order(_) => {
                PairError::Chain { path: self.certificate.clone(), error }
            }
            CertificateError::Key | CertificateError::Pair(_) => {
                PairError::Key { path: self.key.clone(), error }
            }
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, PairError> {
    let unreadable = |cause: String| PairError::Unreadable { path: path.to_owned(), cause };
    let read = || -> io::Result<Vec<u8>> {
        // A pipe would block the open, and with it every later reload.
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let mut content = Vec::new();
        File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut content)?;
        Ok(content)
    };
    let content = read().map_err(|error| unreadable(error.to_string()))?;
    if content.len() as u64 > FILE_BYTES_MAX {
        return Err(unreadable(format!("it is larger than {FILE_BYTES_MAX} bytes")));
    }
    Ok(content)
}

#[cfg(test)]
mod tests;
