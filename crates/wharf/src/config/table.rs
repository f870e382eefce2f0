//! A section of the configuration as a stack of layers: values from outside the file above the file, and a
//! registry above `[defaults]`.

use std::rc::Rc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::outside::{Assigned, Outside};
use super::remark::Place;

/// A section of the file, or several, of which a nearer one hides the keys of a further one.
#[derive(Clone)]
pub(crate) struct Table<'a> {
    layers: Vec<Layer<'a>>,
}

/// One section: its values in the file, below its values from outside.
#[derive(Clone)]
struct Layer<'a> {
    place: Place,
    entries: Option<&'a DeTable<'a>>,
    assigned: Rc<Assigned>,
}

/// A value in the file, or one from outside.
#[derive(Clone, Copy)]
pub(crate) enum Value<'s, 't> {
    Toml(&'t Spanned<DeValue<'t>>),
    Outside(&'s str),
}

impl Layer<'_> {
    fn has(&self, key: &str) -> bool {
        self.assigned.contains_key(key) || self.entries.is_some_and(|entries| entries.contains_key(key))
    }
}

impl<'a> Table<'a> {
    /// The whole file.
    pub(crate) fn top(entries: &'a DeTable<'a>) -> Self {
        Self::one(Place::file(), Some(entries), Rc::default())
    }

    /// The built-in configuration.
    pub(crate) fn builtin(entries: &'a DeTable<'a>) -> Self {
        let place = Place::Outside("the built-in configuration".to_owned());
        Self::one(place, Some(entries), Rc::default())
    }

    /// A table that is not in the file, and that remarks call `name`.
    pub(crate) fn outside(name: &str) -> Self {
        Self::one(Place::Outside(name.to_owned()), None, Rc::default())
    }

    /// A section without values.
    pub(crate) fn absent() -> Self {
        Self { layers: Vec::new() }
    }

    /// A section alone.
    pub(crate) fn one(place: Place, entries: Option<&'a DeTable<'a>>, assigned: Rc<Assigned>) -> Self {
        Self { layers: vec![Layer { place, entries, assigned }] }
    }

    /// The entries of the nearest section in the file.
    pub(crate) fn entries(&self) -> Option<&'a DeTable<'a>> {
        self.layers.first().and_then(|layer| layer.entries)
    }

    /// The same table with these values from outside on top.
    pub(crate) fn assigned(mut self, assigned: Assigned) -> Self {
        if let Some(layer) = self.layers.first_mut() {
            Rc::make_mut(&mut layer.assigned).extend(assigned);
        }
        self
    }

    /// The value of `key` from outside the file, in the nearest section.
    pub(crate) fn assigned_value(&self, key: &str) -> Option<Outside> {
        self.layers.first()?.assigned.get(key).cloned()
    }

    /// Whether it is one section, above no other.
    pub(crate) fn is_one(&self) -> bool {
        self.layers.len() == 1
    }

    /// Whether the section has no values, neither in the file nor outside.
    pub(crate) fn is_absent(&self) -> bool {
        self.layers.is_empty()
    }

    /// The same table, which falls back to `below`.
    pub(crate) fn over(mut self, below: &Self) -> Self {
        self.layers.extend(below.layers.iter().cloned());
        self
    }

    /// Only the section of the nearest of these keys: keys that belong together are taken from one place.
    pub(crate) fn holding(&self, keys: &[&str]) -> Self {
        let layer = self.layers.iter().find(|layer| keys.iter().any(|key| layer.has(key)));
        Self { layers: layer.cloned().into_iter().collect() }
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.layers.iter().any(|layer| layer.has(key))
    }

    /// Whether the nearest section has the key, and not only one below it.
    pub(crate) fn has_itself(&self, key: &str) -> bool {
        self.layers.first().is_some_and(|layer| layer.has(key))
    }

    /// The text of `key` as written, if it is a text.
    pub(crate) fn peek(&self, key: &str) -> Option<&str> {
        let layer = self.layers.iter().find(|layer| layer.has(key))?;
        match layer.assigned.get(key) {
            Some(outside) => Some(&outside.value),
            None => layer.entries?.get(key)?.get_ref().as_str(),
        }
    }

    /// The start of the table.
    pub(crate) fn place(&self) -> Place {
        self.layers.first().map_or_else(Place::file, |layer| layer.place.clone())
    }

    /// The nearest value of `key`, and its place; `line_of` returns the line of a byte.
    pub(crate) fn find(&self, key: &str, line_of: impl Fn(usize) -> usize) -> Option<(Place, Value<'_, 'a>)> {
        let layer = self.layers.iter().find(|layer| layer.has(key))?;
        if let Some(outside) = layer.assigned.get(key) {
            return Some((Place::Outside(outside.name.clone()), Value::Outside(&outside.value)));
        }
        let (written, value) = layer.entries?.get_key_value(key)?;
        let place = match &layer.place {
            // Line numbers of a text other than the file have no meaning.
            Place::Outside(name) => Place::Outside(name.clone()),
            Place::Line { key: section, .. } => {
                let dot = if section.is_empty() { "" } else { "." };
                Place::Line { line: line_of(written.span().start), key: format!("{section}{dot}{key}") }
            }
        };
        Some((place, Value::Toml(value)))
    }
}

/// The kind of a value, with its article.
pub(crate) fn kind(value: &Spanned<DeValue<'_>>) -> &'static str {
    match value.get_ref() {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    }
}
