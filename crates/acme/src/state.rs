//! The directory with the account, the certificates and their keys.
//!
//! ```text
//! <root>/lock                     held by the one process that uses the root
//! <root>/<authority>/account.json the account at this authority, with its key
//! <root>/<authority>/failures     the orders that failed in the last hour
//! <root>/<authority>/records      the records of challenges that may be in the DNS
//! <root>/<authority>/<name>.pem   a key and the chain of its certificate, called after its first name
//! ```
//!
//! Each file has all that belongs together, and is replaced in one step, so no crash leaves half a pair. A
//! file that cannot be read gets the ending `.damaged`, and its content is obtained anew. Of these files, the
//! latest stay.

mod file;
mod records;

use std::cmp::Reverse;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use certificates::Certificate;
use url::Url;

pub(crate) use self::records::NotedRecord;

/// The mode of the directories: they hold keys.
const DIRECTORY_MODE: u32 = 0o700;

/// The ending of files that could not be read.
const DAMAGED: &str = "damaged";

/// The most certificates of one authority. Each has a series in the metrics.
pub(crate) const CERTIFICATE_COUNT_MAX: usize = 200;

/// The most files with certificates that are read.
const FILE_COUNT_MAX: usize = 1000;

/// The most files of one authority that stay although they could not be read.
const DAMAGED_COUNT_MAX: usize = 16;

/// The root directory, which no other process uses.
#[derive(Clone, Debug)]
pub struct State {
    root: PathBuf,
    /// Unlocked when the last clone is dropped, and by the kernel when the process ends.
    _lock: Arc<File>,
}

/// A directory that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another process uses it.
    #[error("{0:?} is in use by another wharf; give each its own state_dir")]
    InUse(PathBuf),
    /// It cannot be made or written.
    #[error("cannot use {path:?}: {source}")]
    Unusable {
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// A certificate of the state, as it is on disk.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) path: PathBuf,
    pub(crate) certificate: Certificate,
    /// The time at which the file was written, in seconds since 1970.
    pub(crate) obtained_at: u64,
}

/// The part of the state that belongs to one authority.
#[derive(Clone, Debug)]
pub(crate) struct AuthorityState {
    directory: PathBuf,
    _root: State,
}

impl State {
    /// Opens the directory, and makes it if it is missing.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn open(root: &Path) -> Result<Self, StateError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| StateError::Unusable { path, source }
        };
        make_private(root).map_err(failed(root))?;
        let path = root.join("lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let lock = lock.map_err(failed(&path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { root: root.to_owned(), _lock: Arc::new(lock) }),
            Err(fs::TryLockError::WouldBlock) => Err(StateError::InUse(root.to_owned())),
            Err(fs::TryLockError::Error(source)) => Err(StateError::Unusable { path, source }),
        }
    }

    /// The state of one authority.
    ///
    /// # Errors
    /// [`StateError::Unusable`] if its directory cannot be made.
    pub(crate) fn of(&self, authority: &Url) -> Result<AuthorityState, StateError> {
        let directory = self.root.join(directory_name(authority));
        make_private(&directory)
            .map_err(|source| StateError::Unusable { path: directory.clone(), source })?;
        Ok(AuthorityState { directory, _root: self.clone() })
    }
}

impl AuthorityState {
    /// The account as it was stored; `None` if there is none.
    pub(crate) fn account<A>(&self, parse: impl FnOnce(&[u8]) -> Option<A>) -> Option<A> {
        let path = self.account_path();
        let text = match file::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                set_aside(&path, &error.to_string());
                return None;
            }
        };
        let account = parse(&text);
        if account.is_none() {
            set_aside(&path, "it holds no account");
        }
        account
    }

    /// Stores the account.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn store_account(&self, text: &[u8]) -> io::Result<()> {
        file::write(&self.account_path(), text)
    }

    /// Removes the account, because the authority does not know it.
    pub(crate) fn set_account_aside(&self) {
        set_aside(&self.account_path(), "the authority does not know this account");
    }

    /// The note of failed orders, as it was stored; empty without one.
    pub(crate) fn failures(&self) -> String {
        let text = file::read(&self.directory.join("failures")).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Stores the note of failed orders. If that fails, a restart only orders earlier.
    pub(crate) fn store_failures(&self, text: &str) {
        if let Err(error) = file::write(&self.directory.join("failures"), text.as_bytes()) {
            tracing::warn!("cannot write {:?}: {error}", self.directory.join("failures"));
        }
    }

    /// The certificates; of too many, those that end last. Files that hold none are set aside.
    pub(crate) fn certificates(&self) -> Vec<Stored> {
        let mut stored = Vec::new();
        let Ok(entries) = fs::read_dir(&self.directory) else { return stored };
        let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.sort();
        for path in paths {
            let ending = path.extension().and_then(|it| it.to_str()).unwrap_or_default();
            if ending == file::UNFINISHED {
                // A crash left it, before it got its name.
                let _ = fs::remove_file(&path);
            }
            if ending != "pem" || stored.len() == FILE_COUNT_MAX {
                continue;
            }
            match load(&path) {
                Ok(certificate) => stored.push(certificate),
                Err(error) => set_aside(&path, &error),
            }
        }
        if let surplus @ 1.. = stored.len().saturating_sub(CERTIFICATE_COUNT_MAX) {
            tracing::warn!("{surplus} certificates in {:?} are too many, and not used", self.directory);
            stored.sort_by_key(|it| Reverse(it.certificate.validity().map(|validity| validity.ends)));
            stored.truncate(CERTIFICATE_COUNT_MAX);
        }
        stored
    }

    /// Stores a certificate, `chain` and `key` in PEM, in place of those in `obsolete`, which may be
    /// overwritten.
    ///
    /// # Errors
    /// A sentence that says what failed.
    pub(crate) fn store(&self, chain: &str, key: &str, obsolete: &[PathBuf]) -> Result<Stored, String> {
        let text = format!("{}\n{}\n", key.trim_end(), chain.trim_end());
        let parsed = Certificate::from_pem("", text.as_bytes(), text.as_bytes());
        let parsed = parsed.map_err(|error| format!("the authority sent an unusable chain: {error}"))?;
        let first = parsed.dns_names().first().map_or("certificate", String::as_str);
        // A file name has at most 255 bytes.
        let first: String = first.replace('*', "wildcard").chars().take(200).collect();
        let path = (1..)
            .map(|number| match number {
                1 => self.directory.join(format!("{first}.pem")),
                number => self.directory.join(format!("{first}-{number}.pem")),
            })
            .find(|path| obsolete.contains(path) || !path.exists())
            .expect("a directory has fewer files than there are numbers");
        file::write(&path, text.as_bytes()).map_err(|error| format!("cannot write {path:?}: {error}"))?;
        load(&path).map_err(|error| format!("{path:?}: {error}"))
    }

    /// Removes a certificate.
    pub(crate) fn remove(&self, path: &Path) {
        if let Err(error) = fs::remove_file(path) {
            tracing::warn!("cannot remove {path:?}: {error}");
        }
    }

    fn account_path(&self) -> PathBuf {
        self.directory.join("account.json")
    }
}

fn load(path: &Path) -> Result<Stored, String> {
    let text = file::read(path).map_err(|error| error.to_string())?;
    let source = path.display().to_string();
    let certificate = Certificate::from_pem(&source, &text, &text).map_err(|error| error.to_string())?;
    if certificate.validity().is_none() {
        return Err("the certificate cannot be parsed".to_owned());
    }
    let modified = fs::metadata(path).and_then(|about| about.modified()).ok();
    let obtained_at = modified.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    Ok(Stored { path: path.to_owned(), certificate, obtained_at: obtained_at.unwrap_or_default().as_secs() })
}

/// Renames a file that cannot be used.
fn set_aside(path: &Path, why: &str) {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".");
    aside.push(DAMAGED);
    match fs::rename(path, &aside) {
        Ok(()) => {
            tracing::warn!("{path:?} is now {aside:?}: {why}; wharf obtains it anew");
            remove_old_damaged(Path::new(&aside));
        }
        Err(error) => tracing::error!("{path:?} cannot be used ({why}) and not be renamed: {error}"),
    }
}

/// Removes the files that were set aside long before `latest`, as long as there are too many.
fn remove_old_damaged(latest: &Path) {
    let entries = latest.parent().and_then(|directory| fs::read_dir(directory).ok());
    let paths = entries.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let is_older = |path: &PathBuf| path != latest && path.extension().is_some_and(|it| it == DAMAGED);
    let mut older: Vec<(i64, i64, PathBuf)> = paths
        .filter(is_older)
        .filter_map(|path| {
            // The renaming was the last change of the inode.
            let about = fs::symlink_metadata(&path).ok()?;
            Some((about.ctime(), about.ctime_nsec(), path))
        })
        .collect();
    older.sort();
    let surplus = (older.len() + 1).saturating_sub(DAMAGED_COUNT_MAX);
    for (_, _, path) in older.drain(..surplus) {
        if let Err(error) = fs::remove_file(&path) {
            tracing::warn!("cannot remove {path:?}: {error}");
        }
    }
}

/// Makes a directory that only this user can enter.
fn make_private(directory: &Path) -> io::Result<()> {
    match DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(directory) {
        Ok(()) => fs::set_permissions(directory, Permissions::from_mode(DIRECTORY_MODE)),
        Err(error) => Err(error),
    }
}

/// A name for the authority's directory: `acme-v02.api.letsencrypt.org-directory`.
fn directory_name(authority: &Url) -> String {
    let host = authority.host_str().unwrap_or_default();
    let port = authority.port().map(|port| format!("-{port}")).unwrap_or_default();
    let text = format!("{host}{port}{}", authority.path().trim_end_matches('/'));
    let safe = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let name: String = text.chars().map(safe).take(200).collect();
    name.trim_start_matches('.').to_owned()
}

#[cfg(test)]
mod tests;
