//! Reads the files that the configuration names: secrets and certificates.

use std::fs;
use std::path::{Path, PathBuf};

use access::{LineError, Tokens, Users};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secret::Secret;
use telemetry::error_chain;

use super::reader::{Reader, Text};
use super::remark::Place;
use super::table::Table;

/// The bound on a file, so that a path to an endless file cannot fill the memory.
pub(super) const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Some editors put it in front of a text.
const BYTE_ORDER_MARK: char = '\u{feff}';

impl Reader<'_> {
    /// The content of the file that `key` names, or `None` after a remark.
    fn content(&mut self, table: &Table<'_>, key: &str) -> Option<(Text, Vec<u8>)> {
        let path = self.path(table, key)?;
        self.note_file(Path::new(&path.value));
        self.content_at(path)
    }

    fn content_at(&mut self, path: Text) -> Option<(Text, Vec<u8>)> {
        let read = fs::metadata(&path.value).and_then(|about| {
            if about.len() > FILE_BYTES_MAX || !about.is_file() {
                return Err(std::io::Error::other("it is not a regular file of at most 4 MiB"));
            }
            fs::read(&path.value)
        });
        match read {
            Ok(content) => Some((path, content)),
            Err(error) => {
                let wrong = format!(
                    "cannot read the file {:?}: {}; correct the path, or let this user read it",
                    path.written,
                    error_chain(&error)
                );
                self.refuse(&path.place, wrong);
                None
            }
        }
    }

    /// The secret in the file that `key` names, without a final line end.
    pub(crate) fn secret_file(&mut self, table: &Table<'_>, key: &str) -> Option<Secret<String>> {
        let (path, content) = self.content(table, key)?;
        self.secret_in(&path, content)
    }

    /// The path of the file with a password. A change of the file causes no reload: its source
    /// reads it again.
    pub(crate) fn password_file(&mut self, table: &Table<'_>, key: &str) -> Option<PathBuf> {
        let path = self.path(table, key)?;
        let (path, content) = self.content_at(path)?;
        self.secret_in(&path, content)?;
        Some(PathBuf::from(path.value))
    }

    fn secret_in(&mut self, path: &Text, content: Vec<u8>) -> Option<Secret<String>> {
        let secret = String::from_utf8(content).ok();
        let secret = secret.map(|text| text.trim_start_matches(BYTE_ORDER_MARK).to_owned());
        let secret = secret.map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
        let Some(secret) = secret.filter(|secret| !secret.is_empty() && !secret.contains(char::is_control))
        else {
            let wrong = format!(
                "the file {:?} does not contain exactly one line of text; put the secret alone into it",
                path.written
            );
            self.refuse(&path.place, wrong);
            return None;
        };
        self.warn_of_blanks(&path.place, &secret);
        Some(Secret::new(secret))
    }

    /// Warns of an invisible blank at an end of a secret.
    pub(crate) fn warn_of_blanks(&mut self, place: &Place, secret: &str) {
        let ends = [secret.chars().next(), secret.chars().next_back()];
        if ends.into_iter().flatten().any(char::is_whitespace) {
            let text =
                "starts or ends with a space, which counts as part of the secret; remove it if it is not";
            self.warn(place, text);
        }
    }

    /// The certificates, as PEM, in the file that `key` names.
    pub(crate) fn certificates(&mut self, table: &Table<'_>, key: &str) -> Option<Vec<u8>> {
        let (path, content) = self.content(table, key)?;
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&content).collect();
        if !found.is_ok_and(|certificates| !certificates.is_empty()) {
            let wrong = format!(
                "the file {:?} contains no certificate in PEM form; \
                 it must have a part that begins with \"-----BEGIN CERTIFICATE-----\"",
                path.written
            );
            self.refuse(&path.place, wrong);
            return None;
        }
        Some(content)
    }

    /// The users in the file that `key` names.
    pub(crate) fn users_file(&mut self, table: &Table<'_>, key: &str) -> Option<Users> {
        self.logins_file(table, key, Users::parse, Users::is_empty)
    }

    /// The bearer tokens in the file that `key` names.
    pub(crate) fn tokens_file(&mut self, table: &Table<'_>, key: &str) -> Option<Tokens> {
        self.logins_file(table, key, Tokens::parse, Tokens::is_empty)
    }

    fn logins_file<T>(
        &mut self,
        table: &Table<'_>,
        key: &str,
        parse: fn(&str) -> Result<T, Vec<LineError>>,
        is_empty: fn(&T) -> bool,
    ) -> Option<T> {
        let (path, content) = self.content(table, key)?;
        let Ok(text) = String::from_utf8(content) else {
            let wrong = format!("the file {:?} is not UTF-8 text; write it again", path.written);
            return self.refuse_value(&path.place, &wrong);
        };
        match parse(&text) {
            Ok(parsed) => {
                if is_empty(&parsed) {
                    let text = format!("the file {:?} is empty, so no client can log in", path.written);
                    self.warn(&path.place, text);
                }
                Some(parsed)
            }
            Err(errors) => {
                for error in errors {
                    self.refuse(&path.place, format!("{}: {error}", path.written));
                }
                None
            }
        }
    }

    /// The private key, as PEM, in the file that `key` names.
    pub(crate) fn private_key(&mut self, table: &Table<'_>, key: &str) -> Option<Vec<u8>> {
        let (path, content) = self.content(table, key)?;
        if PrivateKeyDer::from_pem_slice(&content).is_err() {
            let wrong = format!(
                "the file {:?} contains no unencrypted private key in PEM form; \
                 it must have a part that begins with \"-----BEGIN PRIVATE KEY-----\"",
                path.written
            );
            self.refuse(&path.place, wrong);
            return None;
        }
        Some(content)
    }
}
