//! A key of the configuration, declared once.
//!
//! Everything that has to know a key follows from its declaration: reading it, the list of known keys,
//! `[defaults]`, its variable, the tables of `docs/reference/configuration.md`, the JSON Schema and `wharf
//! check --explain`.

use super::form::{Form, Shape};
use super::reader::Reader;
use super::table::Table;

/// The declaration of one key, whose value has the type `T`.
pub(crate) struct Key<T: 'static> {
    /// The name in its section.
    pub(crate) name: &'static str,
    /// How the value is written and read, with its unit.
    pub(crate) form: Form<T>,
    /// The value where nobody sets one.
    pub(crate) default: Preset<T>,
    /// Whether a running wharf takes over a change; otherwise it needs a restart.
    pub(crate) reloadable: bool,
    /// What it does, in sentences of Markdown; the first one stands alone. Links are relative to
    /// `docs/reference/`.
    pub(crate) doc: &'static str,
}

/// The value of a key that nobody sets.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Preset<T> {
    /// This one.
    Value(T),
    /// This one, as it would be written in the file, without quotes.
    Written(&'static str),
    /// One that follows from other values, as Markdown says it.
    Computed(&'static str),
    /// None: the key turns something on.
    Absent,
    /// None, and it must be set.
    Required,
}

/// A declaration without the type of its value.
pub(crate) trait Declared: Sync {
    fn name(&self) -> &'static str;
    fn shape(&self) -> Shape;
    /// The default, as it would be written in the file, without quotes.
    fn default(&self) -> Preset<String>;
    fn is_reloadable(&self) -> bool;
    fn doc(&self) -> &'static str;
}

impl<T> Key<T> {
    /// The value that somebody set, or `None` where nobody did or after a remark.
    pub(crate) fn read(&self, reader: &mut Reader<'_>, table: &Table<'_>) -> Option<T> {
        (self.form.read)(reader, table, self.name)
    }

    /// The value that applies.
    ///
    /// # Panics
    /// If the declaration has no [`Preset::Value`].
    pub(crate) fn value(&self, reader: &mut Reader<'_>, table: &Table<'_>) -> T
    where
        T: Clone,
    {
        let Preset::Value(default) = &self.default else { unreachable!("{} has no default", self.name) };
        self.read(reader, table).unwrap_or_else(|| default.clone())
    }

    /// The default of a key that declares it as it would be written.
    ///
    /// # Panics
    /// If the declaration has no [`Preset::Written`].
    pub(crate) fn written(&self) -> &'static str {
        let Preset::Written(text) = self.default else { unreachable!("{} has no default", self.name) };
        text
    }
}

impl<T: Sync> Declared for Key<T> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn shape(&self) -> Shape {
        self.form.shape
    }

    fn default(&self) -> Preset<String> {
        match &self.default {
            Preset::Value(value) => Preset::Value((self.form.show)(value)),
            Preset::Written(text) => Preset::Written(text),
            Preset::Computed(words) => Preset::Computed(words),
            Preset::Absent => Preset::Absent,
            Preset::Required => Preset::Required,
        }
    }

    fn is_reloadable(&self) -> bool {
        self.reloadable
    }

    fn doc(&self) -> &'static str {
        self.doc
    }
}
