//! A section of the configuration as a stack of layers: what is said outside of the file above the file, and
//! a registry above `[defaults]`.

use std::rc::Rc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::environment::Assigned;
use super::remark::Place;

/// A section of the file, or several of which a nearer one hides the keys of a further one.
#[derive(Clone)]
pub(crate) struct Table<'a> {
    layers: Vec<Layer<'a>>,
}

/// One section: what the file says, beneath what is said outside of it.
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

    /// A section that nobody has said anything about.
    pub(crate) fn absent() -> Self {
        Self { layers: Vec::new() }
    }

    /// A section alone.
    pub(crate) fn one(place: Place, entries: Option<&'a DeTable<'a>>, assigned: Rc<Assigned>) -> Self {
        Self { layers: vec![Layer { place, entries, assigned }] }
    }

    /// What the file says in the nearest section.
    pub(crate) fn entries(&self) -> Option<&'a DeTable<'a>> {
        self.layers.first().and_then(|layer| layer.entries)
    }

    /// The same table with these values from outside above those that it has.
    pub(crate) fn assigned(mut self, assigned: Assigned) -> Self {
        if let Some(layer) = self.layers.first_mut() {
            Rc::make_mut(&mut layer.assigned).extend(assigned);
        }
        self
    }

    /// Whether neither the file nor anything outside of it has the section.
    pub(crate) fn is_absent(&self) -> bool {
        self.layers.is_empty()
    }

    /// The same table with the keys of `beneath` showing through where it has none.
    pub(crate) fn over(mut self, beneath: &Self) -> Self {
        self.layers.extend(beneath.layers.iter().cloned());
        self
    }

    /// The section that the nearest of these keys stands in, alone: keys that only mean something together
    /// are taken from one place.
    pub(crate) fn holding(&self, keys: &[&str]) -> Self {
        let layer = self.layers.iter().find(|layer| keys.iter().any(|key| layer.has(key)));
        Self { layers: layer.cloned().into_iter().collect() }
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.layers.iter().any(|layer| layer.has(key))
    }

    /// The text of `key` as it is written, if it is one.
    pub(crate) fn peek(&self, key: &str) -> Option<&str> {
        let layer = self.layers.iter().find(|layer| layer.has(key))?;
        match layer.assigned.get(key) {
            Some(outside) => Some(&outside.value),
            None => layer.entries?.get(key)?.get_ref().as_str(),
        }
    }

    /// Where the table begins.
    pub(crate) fn place(&self) -> Place {
        self.layers.first().map_or_else(Place::file, |layer| layer.place.clone())
    }

    /// The nearest value of `key`, and where it stands; `line_of` counts the lines of the file up to a byte.
    pub(crate) fn find(&self, key: &str, line_of: impl Fn(usize) -> usize) -> Option<(Place, Value<'_, 'a>)> {
        let layer = self.layers.iter().find(|layer| layer.has(key))?;
        if let Some(outside) = layer.assigned.get(key) {
            return Some((Place::Outside(outside.name.clone()), Value::Outside(&outside.value)));
        }
        let (written, value) = layer.entries?.get_key_value(key)?;
        let place = match &layer.place {
            // The lines of another text than the file mean nothing to anybody.
            Place::Outside(name) => Place::Outside(name.clone()),
            Place::Line { key: section, .. } => {
                let dot = if section.is_empty() { "" } else { "." };
                Place::Line { line: line_of(written.span().start), key: format!("{section}{dot}{key}") }
            }
        };
        Some((place, Value::Toml(value)))
    }
}
