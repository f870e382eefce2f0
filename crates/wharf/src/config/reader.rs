//! The typed reading of a TOML tree.
//!
//! Reading never stops at a mistake: what cannot be read is remarked on with its line and key and counts as
//! absent, so that one run tells everything.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::address::PORT_ALONE;
use super::duration::{self, parse_duration};
use super::environment::{self, Assigned, Assignments, Environment, Outside};
use super::expand::{ExpandError, expand};
use super::hint;
use super::keys::{self, Section};
use super::nearest::nearest;
use super::remark::{Place, Remarks};
use super::table::{Table, Value};

/// What gives the value of an environment variable.
pub(crate) type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Reads values and keeps what there is to say about them.
pub(crate) struct Reader<'a> {
    line_ends: Vec<usize>,
    variables: Variables<'a>,
    assignments: Assignments,
    mistakes: Remarks,
    warnings: Remarks,
    /// Files that the configuration points to, also those that cannot be read.
    files: Vec<PathBuf>,
}

/// A string with its variables replaced. It has no `Debug`, because it may be a secret.
#[derive(Clone)]
pub(crate) struct Text {
    /// Where it stands.
    pub(crate) place: Place,
    /// What it means.
    pub(crate) value: String,
    /// What is written there: a remark may show this and never `value`.
    pub(crate) written: String,
}

impl<'a> Reader<'a> {
    /// A reader for `text`, which remarks will call `file`, in this environment.
    pub(crate) fn new(file: &str, text: &str, environment: &Environment<'a>) -> Self {
        let line_ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at);
        let mut reader = Self {
            line_ends: line_ends.collect(),
            variables: environment.variables,
            assignments: Assignments::of(environment),
            mistakes: Remarks::on(file),
            warnings: Remarks::on(file),
            files: Vec::new(),
        };
        reader.tell_of_assignments();
        reader
    }

    /// The list of all registries, where it stands outside the file.
    pub(crate) fn registry_list(&self) -> Option<Outside> {
        self.assignments.registries.clone()
    }

    /// What is set from outside for each of the registries called `names`.
    pub(crate) fn share_out(&mut self, names: &[String]) -> Vec<Assigned> {
        let shares = self.assignments.share_out(names);
        self.tell_of_assignments();
        shares
    }

    fn tell_of_assignments(&mut self) {
        for (name, text) in self.assignments.take_mistakes() {
            self.refuse(&Place::Outside(name), text);
        }
    }

    pub(crate) fn variables(&self) -> Variables<'a> {
        self.variables
    }

    /// The variables and options that set keys.
    pub(crate) fn assigned_names(&self) -> Vec<String> {
        self.assignments.names.clone()
    }

    /// A variable of the environment that is set to something.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        (self.variables)(name).filter(|value| !value.is_empty())
    }

    /// The mistakes and the warnings, and the files that were read.
    pub(crate) fn finish(self) -> (Remarks, Remarks, Vec<PathBuf>) {
        (self.mistakes, self.warnings, self.files)
    }

    /// Notes that the configuration depends on a file, so that a change of it is one of the configuration.
    pub(crate) fn note_file(&mut self, path: &Path) {
        self.files.push(path.to_owned());
    }

    pub(crate) fn has_mistakes(&self) -> bool {
        !self.mistakes.is_empty()
    }

    pub(crate) fn refuse(&mut self, place: &Place, text: impl Into<String>) {
        self.mistakes.add(place.clone(), text);
    }

    pub(crate) fn warn(&mut self, place: &Place, text: impl Into<String>) {
        self.warnings.add(place.clone(), text);
    }

    /// The line, counted from 1, of the byte at `offset`.
    pub(crate) fn line(&self, offset: usize) -> usize {
        self.line_ends.partition_point(|end| *end < offset) + 1
    }

    /// Where `key` of `table` stands, or where the table begins.
    pub(crate) fn place(&self, table: &Table<'_>, key: &str) -> Place {
        self.find(table, key).map_or_else(|| table.place(), |(place, _)| place)
    }

    /// The table under `key`, whose own keys must be those of `section`.
    pub(crate) fn section<'t>(&mut self, top: &Table<'t>, key: &str, section: &Section) -> Table<'t> {
        // The keys of registries stand in [defaults] too, under a path of their own.
        let path = if section.name.ends_with(key) { section.name } else { key };
        let assigned = self.assignments.section(path);
        let (place, entries) = match self.find(top, key) {
            Some((place, Value::Toml(value))) => {
                let entries = value.get_ref().as_table();
                if entries.is_none() {
                    self.refuse(&place, format!("expected a section, found {}; write [{key}]", kind(value)));
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
        self.refuse_unknown_keys(&table, &section.names());
        table
    }

    /// The tables written as `[[key]]`. Remarks call them by their name, as in `registry[docker.io]`.
    pub(crate) fn sections<'t>(&mut self, top: &Table<'t>, key: &str, section: &Section) -> Vec<Table<'t>> {
        let (name, keys) = (keys::registry::NAME.name, section.names());
        let Some((place, Value::Toml(value))) = self.find(top, key) else { return Vec::new() };
        let entries =
            value.get_ref().as_array().filter(|array| array.iter().all(|value| value.get_ref().is_table()));
        let Some(entries) = entries else {
            let text = match value.get_ref().as_table().and_then(name_of_subsection) {
                Some(called) => format!("write [[{key}]] with {name} = {called:?} in it, and so for each"),
                None => {
                    format!(
                        "expected a list of sections; write [[{key}]], in double brackets, before each one"
                    )
                }
            };
            self.refuse(&place, text);
            return Vec::new();
        };
        if entries.is_empty() {
            self.refuse(
                &place,
                "is an empty list; name a registry, or leave the key out for the built-in ones",
            );
        }
        let mut tables = Vec::new();
        for (index, value) in entries.iter().enumerate() {
            let Some(entries) = value.get_ref().as_table() else { continue };
            let called = entries.get(name).and_then(|name| name.get_ref().as_str());
            let called = called.map_or_else(|| (index + 1).to_string(), str::to_owned);
            let place = match top.place() {
                Place::Line { .. } => {
                    Place::Line { line: self.line(value.span().start), key: format!("{key}[{called}]") }
                }
                Place::Outside(_) => Place::Outside(format!("the built-in {key} {called}")),
            };
            let table = Table::one(place, Some(entries), Rc::default());
            self.refuse_unknown_keys(&table, &keys);
            tables.push(table);
        }
        tables
    }

    /// Refuses every key of the nearest layer that is not in `keys`.
    pub(crate) fn refuse_unknown_keys(&mut self, table: &Table<'_>, keys: &[&str]) {
        let Some(entries) = table.entries() else { return };
        let unknown: Vec<&str> =
            entries.keys().map(|key| key.get_ref().as_ref()).filter(|key| !keys.contains(key)).collect();
        for key in unknown {
            let text = match (hint::for_key(key), nearest(key, keys.iter().copied())) {
                (Some(hint), _) => format!("there is no such key; {hint}"),
                (None, Some(meant)) => format!("there is no such key; did you mean {meant:?}?"),
                (None, None) => format!("there is no such key; known here are {}", keys.join(", ")),
            };
            self.refuse(&self.place(table, key), text);
        }
    }

    /// A string.
    pub(crate) fn text(&mut self, table: &Table<'_>, key: &str) -> Option<Text> {
        let (place, value) = self.find(table, key)?;
        self.text_of(place, value)
    }

    /// A string that may be empty.
    pub(crate) fn text_or_empty(&mut self, table: &Table<'_>, key: &str) -> Option<Text> {
        let (place, value) = self.find(table, key)?;
        let written = match value {
            Value::Toml(value) => value.get_ref().as_str(),
            Value::Outside(_) => None,
        };
        let Some(Err(ExpandError::Empty(name))) = written.map(|written| expand(written, self.variables))
        else {
            return self.text_of(place, value);
        };
        let advice = format!("or write ${{{name}:-}} if it may be empty");
        self.refuse(&place, format!("{}, {advice}", ExpandError::Empty(name)));
        None
    }

    /// A string of which nothing, as `${VAR:-}` can leave it, means the same as no key.
    pub(crate) fn text_or_nothing(&mut self, table: &Table<'_>, key: &str) -> Option<Text> {
        self.text_or_empty(table, key).filter(|text| !text.value.is_empty())
    }

    /// A path. What only a shell understands is refused, because it would name something in the working
    /// directory.
    pub(crate) fn path(&mut self, table: &Table<'_>, key: &str) -> Option<Text> {
        let path = self.text(table, key)?;
        let Some(rest) = path.value.strip_prefix('~') else { return Some(path) };
        let advice = if rest.is_empty() || rest.starts_with('/') {
            let rest = path.written.strip_prefix('~').unwrap_or("/...");
            format!("write the whole path, or \"${{HOME}}{rest}\"")
        } else {
            "write the whole path; one in the working directory begins with \"./\"".to_owned()
        };
        self.refuse(
            &path.place,
            format!("{:?}: only a shell knows what \"~\" means; {advice}", path.written),
        );
        None
    }

    /// A list of strings, of which those that cannot be read are left out; a single string stands for a list
    /// of one.
    pub(crate) fn texts(&mut self, table: &Table<'_>, key: &str) -> Option<Vec<Text>> {
        let (place, value) = self.find(table, key)?;
        let array = match value {
            Value::Toml(toml) => toml.get_ref().as_array(),
            Value::Outside(list) => {
                let text = |text: &str| Text {
                    place: place.clone(),
                    value: text.to_owned(),
                    written: text.to_owned(),
                };
                return Some(environment::texts(list).map(text).collect());
            }
        };
        let Some(array) = array else {
            return self.text_of(place, value).map(|text| vec![text]);
        };
        let mut texts = Vec::with_capacity(array.len());
        for value in array.iter() {
            let place = Place::Line { line: self.line(value.span().start), key: place.name().to_owned() };
            texts.extend(self.text_of(place, Value::Toml(value)));
        }
        (array.is_empty() || !texts.is_empty()).then_some(texts)
    }

    /// `true` or `false`.
    pub(crate) fn flag(&mut self, table: &Table<'_>, key: &str) -> Option<bool> {
        let (place, value) = self.find(table, key)?;
        let (flag, wrong) = match value {
            Value::Toml(value) => (
                value.get_ref().as_bool(),
                format!("expected true or false without quotes, found {}", kind(value)),
            ),
            Value::Outside(text) => (text.parse().ok(), format!("{text:?} is neither true nor false")),
        };
        if flag.is_none() {
            self.refuse(&place, wrong);
        }
        flag
    }

    /// A whole number from 1 to `max`.
    pub(crate) fn count(
        &mut self,
        table: &Table<'_>,
        key: &str,
        bounds: RangeInclusive<usize>,
    ) -> Option<usize> {
        let (place, value) = self.find(table, key)?;
        let (number, how) = match value {
            Value::Toml(value) => {
                let number = value.get_ref().as_integer();
                let number = number.and_then(|it| i64::from_str_radix(it.as_str(), it.radix()).ok());
                (number.and_then(|number| usize::try_from(number).ok()), ", without quotes")
            }
            Value::Outside(text) => (text.replace('_', "").parse().ok(), ""),
        };
        let number = number.filter(|number| bounds.contains(number));
        if number.is_none() {
            let (min, max) = bounds.into_inner();
            self.refuse(&place, format!("expected a whole number from {min} to {max}{how}"));
        }
        number
    }

    /// A length of time.
    pub(crate) fn duration(&mut self, table: &Table<'_>, key: &str) -> Option<Duration> {
        let text = self.duration_text(table, key)?;
        let length = parse_duration(&text.value);
        if length.is_none() {
            let wrong = format!("{:?} is not a length of time; {}", text.written, duration::EXAMPLE);
            self.refuse(&text.place, wrong);
        }
        length
    }

    /// What is written for a length of time. A bare number gets a remark of its own: it lacks more than
    /// quotes.
    pub(crate) fn duration_text(&mut self, table: &Table<'_>, key: &str) -> Option<Text> {
        let (place, value) = self.find(table, key)?;
        let number = match value {
            Value::Toml(toml) => toml.get_ref().as_integer().map(ToString::to_string),
            Value::Outside(text) => text.parse::<u64>().ok().map(|_| text.to_owned()),
        };
        let Some(number) = number else { return self.text_of(place, value) };
        self.refuse(&place, format!("the number has no unit; write \"{number}s\" if seconds are meant"));
        None
    }

    /// A length of time during which something is waited for: not zero.
    pub(crate) fn timeout(&mut self, table: &Table<'_>, key: &str) -> Option<Duration> {
        let length = self.duration(table, key)?;
        if length.is_zero() {
            let place = self.place(table, key);
            self.refuse(
                &place,
                "a timeout of zero lets nothing succeed; write a longer one, or leave the key out",
            );
            return None;
        }
        Some(length)
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(&mut self, table: &Table<'_>, key: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(table, key)?;
        let chosen = words.iter().find(|(word, _)| *word == text.value);
        if chosen.is_none() {
            let meant = nearest(&text.value, words.iter().map(|(word, _)| *word));
            let words: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
            let advice = match meant {
                Some(meant) => format!("did you mean {meant:?}?"),
                None => "write one of these".to_owned(),
            };
            let wrong = format!("{:?} is not one of {}; {advice}", text.written, words.join(", "));
            self.refuse(&text.place, wrong);
        }
        chosen.map(|(_, value)| *value)
    }

    fn text_of(&mut self, place: Place, value: Value<'_, '_>) -> Option<Text> {
        let value = match value {
            // What somebody set from outside was expanded there, if at all.
            Value::Outside(text) => {
                return Some(Text { place, value: text.to_owned(), written: text.to_owned() });
            }
            Value::Toml(value) => value,
        };
        let Some(written) = value.get_ref().as_str() else {
            let is_scalar = !value.get_ref().is_array() && !value.get_ref().is_table();
            let is_listen = place.name().ends_with("listen") && value.get_ref().as_integer().is_some();
            let advice = match is_scalar {
                true if is_listen => PORT_ALONE,
                true => "put it in quotes",
                false => "write one text in quotes",
            };
            self.refuse(&place, format!("expected a string, found {}; {advice}", kind(value)));
            return None;
        };
        match expand(written, self.variables) {
            Ok(value) => Some(Text { place, value, written: written.to_owned() }),
            Err(error) => {
                self.refuse(&place, error.to_string());
                None
            }
        }
    }

    /// The nearest value of `key`, and where it stands.
    pub(crate) fn find<'s, 't>(&self, table: &'s Table<'t>, key: &str) -> Option<(Place, Value<'s, 't>)> {
        table.find(key, |offset| self.line(offset))
    }
}

/// What somebody calls the first of several sections: `[registry.foo]`. A name with dots is one section in
/// another.
fn name_of_subsection(table: &DeTable<'_>) -> Option<String> {
    let (key, value) = table.iter().next()?;
    let inner = value.get_ref().as_table()?;
    let key = key.get_ref();
    Some(name_of_subsection(inner).map_or_else(|| key.to_string(), |rest| format!("{key}.{rest}")))
}

/// What a value is, with its article.
fn kind(value: &Spanned<DeValue<'_>>) -> &'static str {
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
