//! Formats an error with its causes for a log line.

use std::error::Error;

/// Returns `error` and the chain of its causes on one line: `a: b: c`.
///
/// A cause is left out if the line already contains its text, because many errors print their cause
/// themselves. The line is for the log: causes can name addresses and files. The log escapes and bounds it.
pub fn error_chain(error: &dyn Error) -> String {
    with_causes(&error.to_string(), error)
}

/// Returns `message` and the chain of causes of `error` on one line, like [`error_chain`], without the text
/// of `error` itself.
pub fn with_causes(message: &str, error: &dyn Error) -> String {
    let mut line = message.to_owned();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !line.contains(&text) {
            line.push_str(if line.is_empty() { "" } else { ": " });
            line.push_str(&text);
        }
        next = cause.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    /// An error with this text and perhaps a cause.
    #[derive(Debug)]
    struct Link(&'static str, Option<Box<Link>>);

    impl fmt::Display for Link {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Link {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| cause as _)
        }
    }

    fn chain(texts: &[&'static str]) -> Link {
        Link(texts[0], (texts.len() > 1).then(|| Box::new(chain(&texts[1..]))))
    }

    #[test]
    fn the_chain_has_each_text_once() {
        for (texts, expected) in [
            (&["a"][..], "a"),
            (&["pull failed", "connect", "refused"], "pull failed: connect: refused"),
            (&["pull failed: refused", "refused"], "pull failed: refused"),
            (&["pull failed: refused", "connect", "refused"], "pull failed: refused: connect"),
            (&["pull failed", "pull failed", "refused"], "pull failed: refused"),
            (&["pull failed", "", "refused"], "pull failed: refused"),
        ] {
            assert_eq!(error_chain(&chain(texts)), expected, "{texts:?}");
        }
    }

    #[test]
    fn a_message_can_replace_the_outer_text() {
        let error = chain(&["store: open failed", "Permission denied (os error 13)"]);
        assert_eq!(with_causes("open failed", &error), "open failed: Permission denied (os error 13)");
        assert_eq!(with_causes("", &error), "Permission denied (os error 13)");
    }
}
