//! Reads typed values of a TOML tree.
//!
//! Reading never stops at a mistake: a value that cannot be read gets a remark with its line and key and
//! counts as absent, so that one run finds every mistake.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::address::PORT_ALONE;
use super::duration::{self, parse_duration};
use super::expand::{ExpandError, Variables, expand};
use super::hint;
use super::nearest::nearest;
use super::outside;
use super::remark::{Place, Remarks};
use super::table::{Table, Value, kind};

/// Reads values and collects the remarks on them.
pub(crate) struct Reader<'a> {
    line_ends: Vec<usize>,
    variables: Variables<'a>,
    mistakes: Remarks,
    warnings: Remarks,
    /// Files that the configuration names, even if they cannot be read.
    files: Vec<PathBuf>,
}

/// A string with its variables expanded. It has no `Debug`, because it may be a secret.
#[derive(Clone)]
pub(crate) struct Text {
    pub(crate) place: Place,
    pub(crate) value: String,
    /// The text in the file. A remark may show this but never `value`.
    pub(crate) written: String,
}

impl<'a> Reader<'a> {
    /// A reader for `text`, which remarks will call `file`.
    pub(crate) fn new(file: &str, text: &str, variables: Variables<'a>) -> Self {
        let line_ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at);
        Self {
            line_ends: line_ends.collect(),
            variables,
            mistakes: Remarks::on(file),
            warnings: Remarks::on(file),
            files: Vec::new(),
        }
    }

    pub(crate) fn variables(&self) -> Variables<'a> {
        self.variables
    }

    /// A variable of the environment that is not empty.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        (self.variables)(name).filter(|value| !value.is_empty())
    }

    /// The mistakes, the warnings, and the files that the configuration names.
    pub(crate) fn finish(self) -> (Remarks, Remarks, Vec<PathBuf>) {
        (self.mistakes, self.warnings, self.files)
    }

    /// Notes that the configuration depends on a file, so that a change of the file causes a reload.
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

    /// The place of `key` in `table`, or the start of the table.
    pub(crate) fn place(&self, table: &Table<'_>, key: &str) -> Place {
        self.find(table, key).map_or_else(|| table.place(), |(place, _)| place)
    }

    /// Refuses every key of the nearest layer that is not in `keys`. `home_of` says where a key belongs that
    /// another section has.
    pub(crate) fn refuse_unknown_keys(
        &mut self,
        table: &Table<'_>,
        keys: &[&str],
        home_of: impl Fn(&str) -> Option<String>,
    ) {
        let Some(entries) = table.entries() else { return };
        let unknown: Vec<&str> =
            entries.keys().map(|key| key.get_ref().as_ref()).filter(|key| !keys.contains(key)).collect();
        for key in unknown {
            let hint = hint::for_key(key).map(str::to_owned);
            let advice =
                hint.or_else(|| home_of(key)).unwrap_or_else(|| match nearest(key, keys.iter().copied()) {
                    Some(meant) => format!("did you mean {meant:?}?"),
                    None => format!("the keys here are {}", keys.join(", ")),
                });
            self.refuse(&self.place(table, key), format!("there is no such key; {advice}"));
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

    /// A string. An empty one, as `${VAR:-}` may leave it, means the same as no key.
    pub(crate) fn text_or_nothing(&mut self, table: &Table<'_>, key: &str) -> Option<Text> {
        self.text_or_empty(table, key).filter(|text| !text.value.is_empty())
    }

    /// A path. Refuses `~`, which only a shell expands: it would name a file in the working directory.
    pub(crate) fn path(&mut self, table: &Table<'_>, key: &str) -> Option<Text> {
        let path = self.text(table, key)?;
        let Some(rest) = path.value.strip_prefix('~') else { return Some(path) };
        let advice = if rest.is_empty() || rest.starts_with('/') {
            let rest = path.written.strip_prefix('~').unwrap_or("/...");
            format!("write the whole path, or \"${{HOME}}{rest}\"")
        } else {
            "write the whole path; one in the working directory begins with \"./\"".to_owned()
        };
        self.refuse(&path.place, format!("{:?}: only a shell expands \"~\"; {advice}", path.written));
        None
    }

    /// A list of strings, without those that cannot be read. A single string stands for a list of one.
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
                return Some(outside::texts(list).map(text).collect());
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

    /// A whole number within `bounds`.
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

    /// The text of a length of time. A bare number gets a separate remark, because it lacks more than quotes.
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

    /// A timeout, which is not zero.
    pub(crate) fn timeout(&mut self, table: &Table<'_>, key: &str) -> Option<Duration> {
        let length = self.duration(table, key)?;
        if length.is_zero() {
            let place = self.place(table, key);
            self.refuse(
                &place,
                "a time of zero leaves no time for anything; write a longer one, or leave the key out",
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
            // Values from outside the file are not expanded.
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

    /// The nearest value of `key`, and its place.
    pub(crate) fn find<'s, 't>(&self, table: &'s Table<'t>, key: &str) -> Option<(Place, Value<'s, 't>)> {
        table.find(key, |offset| self.line(offset))
    }
}
