//! `${VAR}` and `${VAR:-default}` inside strings.
//!
//! `$${` stands for a literal `${`; every other `$` stands for itself, so that a password may contain one.
//! The value of a variable is taken as it is: a `${` in it is not expanded.

use std::fmt;

/// Returns the value of an environment variable.
pub(crate) type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Why a string cannot be expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ExpandError {
    /// The variable is not set, or set to nothing, and there is no default.
    Empty(String),
    /// `${` without `}`.
    Unclosed,
    /// The text between the braces is not a name.
    Name(String),
}

impl fmt::Display for ExpandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty(name) => {
                write!(f, "the environment variable {name} is not set or empty; set it")
            }
            Self::Unclosed => {
                f.write_str("\"${\" has no closing \"}\"; add it, or write \"$${\" for the two characters")
            }
            Self::Name(name) => write!(
                f,
                "{name:?} cannot be the name of an environment variable; \
                 write ${{NAME}} or ${{NAME:-default}} with letters, digits and \"_\""
            ),
        }
    }
}

/// Replaces every variable by its value.
pub(crate) fn expand(text: &str, variable: Variables<'_>) -> Result<String, ExpandError> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let before = &rest[..start];
        let after = &rest[start + 2..];
        if let Some(before) = before.strip_suffix('$') {
            expanded.push_str(before);
            expanded.push_str("${");
            rest = after;
            continue;
        }
        expanded.push_str(before);
        let end = after.find('}').ok_or(ExpandError::Unclosed)?;
        expanded.push_str(&value_of(&after[..end], variable)?);
        rest = &after[end + 1..];
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn value_of(inside: &str, variable: Variables<'_>) -> Result<String, ExpandError> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts_well || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(ExpandError::Name(name.to_owned()));
    }
    variable(name)
        .filter(|value| !value.is_empty())
        .or_else(|| default.map(str::to_owned))
        .ok_or_else(|| ExpandError::Empty(name.to_owned()))
}

#[cfg(test)]
mod tests;
