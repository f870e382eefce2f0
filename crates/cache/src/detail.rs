//! The detail of an error: a text for clients, and the error behind it for the log.

use std::error::Error;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// One line of text for clients, and the error that caused it, if there is one. Cheap to clone. Two details
/// with the same text are equal.
#[derive(Clone, Debug)]
pub struct Detail {
    text: Arc<str>,
    cause: Option<Cause>,
}

#[derive(Clone, Debug)]
enum Cause {
    /// The text does not contain this error's own message.
    Hidden(Arc<dyn Error + Send + Sync>),
    /// The text contains this error's own message, so only its causes add to it.
    Shown(Arc<dyn Error + Send + Sync>),
}

impl Detail {
    /// The message of `error`, which clients may read.
    pub(crate) fn of(error: impl Error + Send + Sync + 'static) -> Self {
        let text = error.to_string();
        Self::quoting(text, error)
    }

    /// A text that contains the message of `error`.
    pub(crate) fn quoting(text: impl Into<Arc<str>>, error: impl Error + Send + Sync + 'static) -> Self {
        Self { text: text.into(), cause: Some(Cause::Shown(Arc::new(error))) }
    }

    /// A text instead of the message of `error`, which only the log may show.
    pub(crate) fn hiding(text: impl Into<Arc<str>>, error: impl Error + Send + Sync + 'static) -> Self {
        Self { text: text.into(), cause: Some(Cause::Hidden(Arc::new(error))) }
    }

    /// The same cause with another text, which contains this one.
    pub(crate) fn within(&self, text: impl Into<Arc<str>>) -> Self {
        Self { text: text.into(), cause: self.cause.clone() }
    }

    /// The next error of the chain, whose message the text does not contain.
    pub(crate) fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self.cause.as_ref()? {
            Cause::Hidden(error) => Some(&**error),
            Cause::Shown(error) => error.source(),
        }
    }
}

impl PartialEq for Detail {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Detail {}

impl Deref for Detail {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<String> for Detail {
    fn from(text: String) -> Self {
        Self { text: text.into(), cause: None }
    }
}

impl From<&str> for Detail {
    fn from(text: &str) -> Self {
        Self { text: text.into(), cause: None }
    }
}
