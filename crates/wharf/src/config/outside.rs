//! Values from outside the file: from variables and from `--set` on the command line.

use std::collections::BTreeMap;

/// A value from outside the file. It has no `Debug`, because it may be a secret.
#[derive(Clone)]
pub(crate) struct Outside {
    /// The variable's name, or the option with its key. Messages name the value's place so.
    pub(crate) name: String,
    pub(crate) value: String,
}

/// The keys of one section that have a value from outside.
pub(crate) type Assigned = BTreeMap<&'static str, Outside>;

impl Outside {
    /// The texts of a list.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        texts(&self.value)
    }
}

/// The texts of a list in a variable, separated by blanks or commas.
pub(crate) fn texts(list: &str) -> impl Iterator<Item = &str> {
    list.split(|c: char| c == ',' || c.is_whitespace()).filter(|text| !text.is_empty())
}
