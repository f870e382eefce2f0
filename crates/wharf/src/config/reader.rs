//! The typed reading of a TOML tree.
//!
//! Reading never stops at a mistake: what cannot be read is remarked on with its line and key and counts as
//! absent, so that one run tells everything.

use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::address::PORT_ALONE;
use super::duration::{self, parse_duration};
use super::expand::{ExpandError, expand};
use super::hint;
use super::keys::{self, Section};
use super::nearest::nearest;
use super::remark::{Place, Remarks};

/// What gives the value of an environment variable.
pub(crate) type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Reads values and keeps what there is to say about them.
pub(crate) struct Reader<'a> {
    line_ends: Vec<usize>,
    variables: Variables<'a>,
    mistakes: Remarks,
    warnings: Remarks,
}

/// A table of the file, or several of which a nearer one hides the keys of a further one.
#[derive(Clone)]
pub(crate) struct Table<'a> {
    layers: Vec<Layer<'a>>,
}

#[derive(Clone)]
struct Layer<'a> {
    place: Place,
    entries: &'a DeTable<'a>,
}

/// A string of the file with its variables replaced. It has no `Debug`, because it may be a secret.
#[derive(Clone)]
pub(crate) struct Text {
    /// Where it stands.
    pub(crate) place: Place,
    /// What it means.
    pub(crate) value: String,
    /// What is written in the file: a remark may show this and never `value`.
    pub(crate) written: String,
}

impl<'a> Table<'a> {
    /// The whole file.
    pub(crate) fn top(entries: &'a DeTable<'a>) -> Self {
        Self { layers: vec![Layer { place: Place { line: 1, key: String::new() }, entries }] }
    }

    /// A table that is not in the file.
    fn absent() -> Self {
        Self { layers: Vec::new() }
    }

    /// The same table with the keys of `beneath` showing through where it has none.
    pub(crate) fn over(mut self, beneath: &Self) -> Self {
        self.layers.extend(beneath.layers.iter().cloned());
        self
    }

    /// The table that the nearest of these keys stands in, alone: keys that only mean something together are
    /// taken from one place.
    pub(crate) fn holding(&self, keys: &[&str]) -> Self {
        let layer = self.layers.iter().find(|layer| keys.iter().any(|key| layer.entries.contains_key(*key)));
        Self { layers: layer.cloned().into_iter().collect() }
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.layers.iter().any(|layer| layer.entries.contains_key(key))
    }

    /// Where the table begins.
    pub(crate) fn place(&self) -> Place {
        self.layers.first().map_or(Place { line: 1, key: String::new() }, |layer| layer.place.clone())
    }
}

impl<'a> Reader<'a> {
    /// A reader for `text`, which remarks will call `file`.
    pub(crate) fn new(file: &str, text: &str, variables: Variables<'a>) -> Self {
        Self {
            line_ends: text
                .bytes()
                .enumerate()
                .filter(|(_, byte)| *byte == b'\n')
                .map(|(at, _)| at)
                .collect(),
            variables,
            mistakes: Remarks::on(file),
            warnings: Remarks::on(file),
        }
    }

    /// A variable of the environment that is set to something.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        (self.variables)(name).filter(|value| !value.is_empty())
    }

    /// The mistakes and the warnings.
    pub(crate) fn finish(self) -> (Remarks, Remarks) {
        (self.mistakes, self.warnings)
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
        let Some((place, value)) = self.find(top, key) else { return Table::absent() };
        let Some(entries) = value.get_ref().as_table() else {
            self.refuse(&place, format!("expected a section, found {}; write [{key}]", kind(value)));
            return Table::absent();
        };
        let table = Table { layers: vec![Layer { place, entries }] };
        self.refuse_unknown_keys(&table, &section.names());
        table
    }

    /// The tables written as `[[key]]`. Remarks call them by their name, as in `registry[docker.io]`.
    pub(crate) fn sections<'t>(&mut self, top: &Table<'t>, key: &str, section: &Section) -> Vec<Table<'t>> {
        let (name, keys) = (keys::registry::NAME.name, section.names());
        let Some((place, value)) = self.find(top, key) else { return Vec::new() };
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
            let place = Place { line: self.line(value.span().start), key: format!("{key}[{called}]") };
            let table = Table { layers: vec![Layer { place, entries }] };
            self.refuse_unknown_keys(&table, &keys);
            tables.push(table);
        }
        tables
    }

    /// Refuses every key of the nearest layer that is not in `keys`.
    pub(crate) fn refuse_unknown_keys(&mut self, table: &Table<'_>, keys: &[&str]) {
        let Some(layer) = table.layers.first() else { return };
        let unknown: Vec<&str> = layer
            .entries
            .keys()
            .map(|key| key.get_ref().as_ref())
            .filter(|key| !keys.contains(key))
            .collect();
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
        let Some(Err(ExpandError::Empty(name))) =
            value.get_ref().as_str().map(|written| expand(written, self.variables))
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

    /// A path. What only a shell understands is refused, because it would name something in the working directory.
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
        let Some(array) = value.get_ref().as_array() else {
            return self.text_of(place, value).map(|text| vec![text]);
        };
        let mut texts = Vec::with_capacity(array.len());
        for value in array.iter() {
            let place = Place { line: self.line(value.span().start), key: place.key.clone() };
            texts.extend(self.text_of(place, value));
        }
        (array.is_empty() || !texts.is_empty()).then_some(texts)
    }

    /// `true` or `false`.
    pub(crate) fn flag(&mut self, table: &Table<'_>, key: &str) -> Option<bool> {
        let (place, value) = self.find(table, key)?;
        let flag = value.get_ref().as_bool();
        if flag.is_none() {
            self.refuse(&place, format!("expected true or false without quotes, found {}", kind(value)));
        }
        flag
    }

    /// A whole number from 1 to `max`.
    pub(crate) fn count(&mut self, table: &Table<'_>, key: &str, max: usize) -> Option<usize> {
        let (place, value) = self.find(table, key)?;
        let number = value.get_ref().as_integer().and_then(|number| {
            let number = i64::from_str_radix(number.as_str(), number.radix()).ok()?;
            usize::try_from(number).ok().filter(|number| (1..=max).contains(number))
        });
        if number.is_none() {
            self.refuse(&place, format!("expected a whole number from 1 to {max}, without quotes"));
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

    /// What is written for a length of time. A bare number gets a remark of its own: it lacks more than quotes.
    pub(crate) fn duration_text(&mut self, table: &Table<'_>, key: &str) -> Option<Text> {
        let (place, value) = self.find(table, key)?;
        let Some(number) = value.get_ref().as_integer() else { return self.text_of(place, value) };
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

    fn text_of(&mut self, place: Place, value: &Spanned<DeValue<'_>>) -> Option<Text> {
        let Some(written) = value.get_ref().as_str() else {
            let is_scalar = !value.get_ref().is_array() && !value.get_ref().is_table();
            let is_listen = place.key.ends_with("listen") && value.get_ref().as_integer().is_some();
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

    fn find<'t>(&self, table: &Table<'t>, key: &str) -> Option<(Place, &'t Spanned<DeValue<'t>>)> {
        let (layer, (written, value)) =
            table.layers.iter().find_map(|layer| Some((layer, layer.entries.get_key_value(key)?)))?;
        let dot = if layer.place.key.is_empty() { "" } else { "." };
        let key = format!("{}{dot}{key}", layer.place.key);
        Some((Place { line: self.line(written.span().start), key }, value))
    }
}

/// What somebody calls the first of several sections: `[registry.foo]`. A name with dots is one section in another.
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
