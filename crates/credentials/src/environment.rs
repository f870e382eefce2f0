//! The variables that sources read, and that programs get.

use std::collections::BTreeMap;
use std::fmt;

use secret::Secret;

/// Variables by name. Their values do not print, because some are secrets.
#[derive(Clone, Default)]
pub struct Variables(BTreeMap<String, Secret<String>>);

/// The variables that every program gets if they are set: to find other programs, its own files, and the
/// network.
const OF_PROGRAMS: [&str; 14] = [
    "PATH",
    "HOME",
    "USER",
    "TMPDIR",
    "LANG",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "XDG_CONFIG_HOME",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

impl Variables {
    /// The variables of these names that `read` knows.
    pub fn of<'n>(names: impl IntoIterator<Item = &'n str>, read: impl Fn(&str) -> Option<String>) -> Self {
        let known = names.into_iter().filter_map(|name| Some((name.to_owned(), Secret::new(read(name)?))));
        Self(known.collect())
    }

    /// The variables for a program: those that every program gets, and `further` ones.
    pub fn of_a_program<'n>(
        further: impl IntoIterator<Item = &'n str>,
        read: impl Fn(&str) -> Option<String>,
    ) -> Self {
        Self::of(OF_PROGRAMS.into_iter().chain(further), read)
    }

    /// The value of a variable that is not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.expose().as_str()).filter(|value| !value.is_empty())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.expose().as_str()))
    }
}

impl PartialEq for Variables {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Variables {}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
