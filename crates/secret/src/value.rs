//! A value that is shown only where the code says so.

use std::fmt;

use serde::{Deserialize, Deserializer};

/// A value kept out of messages: it has no `Display`, cannot be serialised, and its `Debug` is `***`.
///
/// There is no comparison either, because one that stops at the first difference tells a guesser how far he
/// got.
#[derive(Clone)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Hides `value`.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself. Every call is a place to look at in a review.
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

/// Reads the value as if it stood there openly. The error names the expected type, and a value that serde
/// quotes in it is replaced, so that a secret of the wrong type is not printed.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for Secret<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let hidden = |_| serde::de::Error::custom("the secret has the wrong type");
        T::deserialize(deserializer).map(Self).map_err(hidden)
    }
}

#[cfg(test)]
mod tests;
