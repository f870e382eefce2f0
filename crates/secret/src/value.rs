//! A value that prints only where the code asks for it.

use std::fmt;

use serde::{Deserialize, Deserializer};

/// A value that stays out of messages: it has no `Display`, cannot be serialised, and its `Debug` is `***`.
///
/// It has no comparison either: one that stops at the first difference tells an attacker how much of a guess
/// was right.
#[derive(Clone)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Hides `value`.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// Returns the value. A review looks at every call.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> From<T> for Secret<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Reads the value like any other. The error replaces serde's message, which would quote a secret of the
/// wrong type.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for Secret<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let hidden = |_| serde::de::Error::custom("the secret has the wrong type");
        T::deserialize(deserializer).map(Self).map_err(hidden)
    }
}

#[cfg(test)]
mod tests;
