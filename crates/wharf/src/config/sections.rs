//! Finds the sections of a configuration, each with the values that are set for it from outside the file.

use std::rc::Rc;

use toml::de::DeTable;

use super::environment::{Assignments, Environment};
use super::key::Section;
use super::keys::home_of;
use super::keys::registry::NAME;
use super::outside::{Assigned, Outside};
use super::reader::Reader;
use super::remark::Place;
use super::table::{Table, Value, kind};

/// The sections, and the values from outside the file that no section has taken yet.
pub(crate) struct Sections {
    assignments: Assignments,
}

impl Sections {
    /// Sorts the values of `environment` by section. Each one that sets no key is a mistake.
    pub(crate) fn new(reader: &mut Reader<'_>, environment: &Environment<'_>) -> Self {
        let mut sections = Self { assignments: Assignments::of(environment) };
        sections.refuse_mistakes(reader);
        sections
    }

    /// The list of all registries, where it stands outside the file.
    pub(crate) fn registry_list(&self) -> Option<Outside> {
        self.assignments.registries.clone()
    }

    /// The variables and options that set keys.
    pub(crate) fn assigned_names(&self) -> Vec<String> {
        self.assignments.names.clone()
    }

    /// The values from outside for each of the registries called `names`.
    pub(crate) fn distribute(&mut self, reader: &mut Reader<'_>, names: &[String]) -> Vec<Assigned> {
        let shares = self.assignments.distribute(names);
        self.refuse_mistakes(reader);
        shares
    }

    fn refuse_mistakes(&mut self, reader: &mut Reader<'_>) {
        for (name, text) in self.assignments.take_mistakes() {
            reader.refuse(&Place::Outside(name), text);
        }
    }

    /// The table under `key`, whose own keys must be those of `section`.
    pub(crate) fn section<'t>(
        &self,
        reader: &mut Reader<'_>,
        top: &Table<'t>,
        key: &str,
        section: &Section,
    ) -> Table<'t> {
        // [defaults] has the keys of a registry, under its own path.
        let path = if section.name.ends_with(key) { section.name } else { key };
        let assigned = self.assignments.section(path);
        let (place, entries) = match reader.find(top, key) {
            Some((place, Value::Toml(value))) => {
                let entries = value.get_ref().as_table();
                if entries.is_none() {
                    let found = kind(value);
                    reader.refuse(&place, format!("expected a section, found {found}; write [{key}]"));
                }
                (place, entries)
            }
            Some((place, Value::Outside(_))) => (place, None),
            None => match assigned.values().next() {
                Some(outside) => (Place::Outside(outside.name.clone()), None),
                None => return Table::absent(),
            },
        };
        let table = Table::one(place, entries, assigned);
        reader.refuse_unknown_keys(&table, &section.names(), home_of);
        table
    }
}

/// The tables written as `[[key]]`. Remarks call each by its name, as in `registry[docker.io]`.
pub(crate) fn list_of_sections<'t>(
    reader: &mut Reader<'_>,
    top: &Table<'t>,
    key: &str,
    section: &Section,
) -> Vec<Table<'t>> {
    let Some((place, Value::Toml(value))) = reader.find(top, key) else { return Vec::new() };
    let entries =
        value.get_ref().as_array().filter(|array| array.iter().all(|value| value.get_ref().is_table()));
    let Some(entries) = entries else {
        let text = match value.get_ref().as_table().and_then(name_of_subsection) {
            Some(name) => {
                format!("write [[{key}]] with {} = {name:?} in it, one for each {key}", NAME.name)
            }
            None => {
                format!("expected a list of sections; write [[{key}]], in double brackets, before each one")
            }
        };
        reader.refuse(&place, text);
        return Vec::new();
    };
    if entries.is_empty() {
        let text = "is an empty list; name a registry, or leave the key out for the built-in ones";
        reader.refuse(&place, text);
    }
    let mut tables = Vec::new();
    for (index, value) in entries.iter().enumerate() {
        let Some(entries) = value.get_ref().as_table() else { continue };
        let name = entries.get(NAME.name).and_then(|name| name.get_ref().as_str());
        let name = name.map_or_else(|| (index + 1).to_string(), str::to_owned);
        let place = match top.place() {
            Place::Line { .. } => {
                Place::Line { line: reader.line(value.span().start), key: format!("{key}[{name}]") }
            }
            Place::Outside(_) => Place::Outside(format!("the built-in {key} {name}")),
        };
        let table = Table::one(place, Some(entries), Rc::default());
        reader.refuse_unknown_keys(&table, &section.names(), home_of);
        tables.push(table);
    }
    tables
}

/// The name of the first subsection: `foo` in `[registry.foo]`. A name with dots is one section in another.
fn name_of_subsection(table: &DeTable<'_>) -> Option<String> {
    let (key, value) = table.iter().next()?;
    let inner = value.get_ref().as_table()?;
    let key = key.get_ref();
    Some(name_of_subsection(inner).map_or_else(|| key.to_string(), |rest| format!("{key}.{rest}")))
}
