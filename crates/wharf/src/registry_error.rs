//! The reasons why registries cannot be served.

use std::error::Error;
use std::fmt::Write;

/// The most registries that one line names.
const NAMED_COUNT_MAX: usize = 3;

/// Why one registry cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {reason}")]
pub(crate) struct RegistryError {
    pub(crate) name: String,
    /// The reason with its causes, and what to do.
    pub(crate) reason: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl RegistryError {
    /// An error without a further cause.
    pub(crate) fn new(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { name: name.into(), reason: reason.into(), source: None }
    }

    /// The same error with its cause, which the reason already names.
    pub(crate) fn caused_by(self, source: impl Error + Send + Sync + 'static) -> Self {
        Self { source: Some(Box::new(source)), ..self }
    }
}

/// All values, or all errors.
pub(crate) fn all_or_errors<T>(
    results: impl Iterator<Item = Result<T, RegistryError>>,
) -> Result<Vec<T>, Vec<RegistryError>> {
    let (mut made, mut errors) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(value) => made.push(value),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(made) } else { Err(errors) }
}

/// One line for each reason, with the names of the registries, of `registry_count` in all, that it affects.
pub(crate) fn lines(errors: &[RegistryError], registry_count: usize) -> String {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for error in errors {
        match reasons.iter_mut().find(|(reason, _)| *reason == error.reason) {
            Some((_, names)) => names.push(&error.name),
            None => reasons.push((&error.reason, vec![&error.name])),
        }
    }
    let line = |(reason, names): &(&str, Vec<&str>)| format!("{}: {reason}", several(names, registry_count));
    reasons.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The names of some of `registry_count` registries, or the count where there are too many names.
pub(crate) fn several(names: &[&str], registry_count: usize) -> String {
    if names.len() > 1 && names.len() == registry_count {
        return "all registries".to_owned();
    }
    let mut text = names[..names.len().min(NAMED_COUNT_MAX)].join(", ");
    if names.len() > NAMED_COUNT_MAX {
        // Writing to a string does not fail.
        let _ = write!(text, " and {} more", names.len() - NAMED_COUNT_MAX);
    }
    text
}

#[cfg(test)]
mod tests;
