//! Password files as `htpasswd -B` writes them: one `user:hash` on each line, with bcrypt.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::{LINE_COUNT_MAX, LineError, entries, is_name};

/// The highest cost accepted: a check takes about one second then, and each step doubles it.
const COST_MAX: u32 = 14;

/// The lowest cost of bcrypt.
const COST_MIN: u32 = 4;

/// The bytes of a password that count: bcrypt reads no further one.
pub(crate) const PASSWORD_BYTES_MAX: usize = 72;

/// The alphabet of bcrypt's base64, and the length of its salt and hash in it.
const TAIL_LENGTH: usize = 53;

/// The users of a password file.
pub struct Users {
    users: HashMap<Arc<str>, Entry>,
    /// The highest cost of the file. Each check costs as much.
    cost: u32,
    fingerprint: [u8; 32],
}

struct Entry {
    hash: String,
    cost: u32,
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Users").field("count", &self.users.len()).finish_non_exhaustive()
    }
}

impl Users {
    /// Parses a file.
    ///
    /// # Errors
    /// Every line that cannot be used. No text repeats a hash.
    pub fn parse(text: &str) -> Result<Self, Vec<LineError>> {
        let (mut users, mut errors, mut cost) = (HashMap::new(), Vec::new(), COST_MIN);
        for (line, entry) in entries(text) {
            match parse_line(entry) {
                Ok((name, entry)) => {
                    cost = cost.max(entry.cost);
                    if users.insert(Arc::<str>::from(name), entry).is_some() {
                        let text = format!("the user {name:?} stands in the file twice; keep one line");
                        errors.push(LineError { line, text });
                    }
                }
                Err(text) => errors.push(LineError { line, text }),
            }
            if users.len() > LINE_COUNT_MAX {
                errors.push(LineError {
                    line,
                    text: format!("more than {LINE_COUNT_MAX} users; divide the file"),
                });
                break;
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self { users, cost, fingerprint: Sha256::digest(text).into() })
    }

    /// Whether the file has no user.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    pub(crate) fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }

    /// Whether both files have the same hash for the user, so that the same password is right.
    pub(crate) fn agree_on(&self, other: &Self, user: &str) -> bool {
        let (own, others) = (self.users.get(user), other.users.get(user));
        own.zip(others).is_some_and(|(own, other)| own.hash == other.hash)
    }

    /// Checks a password, and returns the user's name if it is right. Takes from a millisecond to a second of
    /// a processor: the same for every user of the file, and for a name that is not in it.
    pub(crate) fn check(&self, name: &[u8], password: &[u8]) -> Option<Arc<str>> {
        let known = std::str::from_utf8(name).ok().and_then(|name| self.users.get_key_value(name));
        let mut is_right = false;
        for (index, hash) in self.work_of(known.map(|(_, entry)| entry)).iter().enumerate() {
            is_right |= bcrypt::verify(password, hash).unwrap_or(false) && index == 0;
        }
        known.filter(|_| is_right).map(|(name, _)| Arc::clone(name))
    }

    /// The hashes to check a password against: that of the user, or one that no password has; then one for
    /// each cost up to the highest of the file. The cost doubles with each step, so the whole is as costly as
    /// the highest.
    fn work_of(&self, known: Option<&Entry>) -> Vec<String> {
        let cost = known.map_or(COST_MIN, |entry| entry.cost);
        let first = known.map_or_else(|| unmatched(cost), |entry| entry.hash.clone());
        [first].into_iter().chain((cost..self.cost).map(unmatched)).collect()
    }
}

/// A hash that no password is known to have.
fn unmatched(cost: u32) -> String {
    format!("$2b${cost:02}${}", ".".repeat(TAIL_LENGTH))
}

fn parse_line(line: &str) -> Result<(&str, Entry), String> {
    let Some((name, hash)) = line.split_once(':') else {
        return Err("there is no colon; a line reads user:hash, and `htpasswd -nB USER` makes one".to_owned());
    };
    if !is_name(name) {
        return Err("the user's name is empty, too long, or has a control character; correct it".to_owned());
    }
    let make = format!("make the line with `htpasswd -nB {name}`");
    let hash = hash.trim_end();
    let rest = ["$2a$", "$2b$", "$2y$"].iter().find_map(|scheme| hash.strip_prefix(scheme));
    let Some(rest) = rest else {
        let scheme = scheme_of(hash);
        return Err(format!("the hash of {name:?} is {scheme}, and wharf reads bcrypt only; {make}"));
    };
    let parsed = rest.split_once('$').and_then(|(cost, tail)| {
        let is_whole = cost.len() == 2 && tail.len() == TAIL_LENGTH && tail.bytes().all(is_of_base64);
        cost.parse().ok().filter(|_| is_whole)
    });
    match parsed {
        Some(cost) if (COST_MIN..=COST_MAX).contains(&cost) => {
            Ok((name, Entry { hash: hash.to_owned(), cost }))
        }
        Some(cost) if cost > COST_MAX => Err(format!(
            "the hash of {name:?} has the cost {cost}, and each login would take seconds; {make}, or with -C 10 \
             for more than the default"
        )),
        _ => Err(format!("the hash of {name:?} is no complete bcrypt hash; {make}")),
    }
}

fn is_of_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/')
}

/// The scheme of a hash that is not bcrypt, in words.
fn scheme_of(hash: &str) -> &'static str {
    let known = [
        ("$apr1$", "Apache's MD5"),
        ("$1$", "MD5"),
        ("{SHA}", "SHA-1"),
        ("{SSHA}", "SHA-1"),
        ("$5$", "SHA-256"),
        ("$6$", "SHA-512"),
        ("$argon2", "Argon2"),
        ("$7$", "scrypt"),
        ("$y$", "yescrypt"),
    ];
    known.iter().find(|(prefix, _)| hash.starts_with(prefix)).map_or("of an unknown scheme", |(_, name)| name)
}

#[cfg(test)]
mod tests;
