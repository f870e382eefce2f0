//! A key of the configuration, declared once.
//!
//! Every use of a key follows from its declaration: reading it, the list of known keys, `[defaults]`, its
//! variable, the tables of `docs/reference/configuration.md`, the JSON Schema and `wharf check --explain`.

use super::form::{Form, Shape};
use super::reader::Reader;
use super::table::Table;

/// The declaration of one key, whose value has the type `T`.
pub(crate) struct Key<T: 'static> {
    /// The name in its section.
    pub(crate) name: &'static str,
    /// How the value is written and read, with its unit.
    pub(crate) form: Form<T>,
    /// The value if the key is not set.
    pub(crate) default: Preset<T>,
    /// Whether a reload applies a change; otherwise it needs a restart.
    pub(crate) reloadable: bool,
    /// Sentences about it, in Markdown; the first one stands alone. Links are relative to `docs/reference/`.
    pub(crate) doc: &'static str,
}

/// The value of a key that is not set.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Preset<T> {
    /// This one.
    Value(T),
    /// This one, as the file would write it, without quotes.
    Written(&'static str),
    /// One that follows from other values; the text, in Markdown, says how.
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
    /// The default, as the file would write it, without quotes.
    fn default(&self) -> Preset<String>;
    fn is_reloadable(&self) -> bool;
    fn doc(&self) -> &'static str;
}

impl<T> Key<T> {
    /// The value that is set, or `None` if there is none or after a remark.
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

    /// The default of a key that declares it as written.
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

/// A section of the file and the keys that it may hold.
pub(crate) struct Section {
    /// The name in brackets, such as `server.tls`.
    pub(crate) name: &'static str,
    /// One sentence about it.
    pub(crate) doc: &'static str,
    pub(crate) groups: &'static [Group],
    /// The names of sections within it.
    pub(crate) subsections: &'static [&'static str],
}

/// Keys that belong together: one table of the reference page.
pub(crate) struct Group {
    /// Whether `[defaults]` may hold these keys too.
    pub(crate) is_shared: bool,
    pub(crate) keys: &'static [&'static dyn Declared],
}

impl Section {
    pub(crate) fn keys(&self) -> impl Iterator<Item = &'static dyn Declared> + use<> {
        self.groups.iter().flat_map(|group| group.keys.iter().copied())
    }

    /// The keys that `[defaults]` may hold too.
    pub(crate) fn shared_keys(&self) -> impl Iterator<Item = &'static dyn Declared> + use<> {
        let shared = self.groups.iter().filter(|group| group.is_shared);
        shared.flat_map(|group| group.keys.iter().copied())
    }

    /// The keys that `[defaults]` must not hold.
    pub(crate) fn own_keys(&self) -> impl Iterator<Item = &'static dyn Declared> + use<> {
        let own = self.groups.iter().filter(|group| !group.is_shared);
        own.flat_map(|group| group.keys.iter().copied())
    }

    /// Its keys and subsections.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.keys().map(|key| key.name()).chain(self.subsections.iter().copied()).collect()
    }
}
