//! Lists: one reference on a line, with comments and blank lines; or a YAML or JSON list of texts.

use super::document::{Document, Value};
use super::{Finding, Found};

/// Whether a text is a list of references, and not a document. A document has a key before its first image.
pub(super) fn is_list(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let is_of_a_document = |line: &str| {
        line.starts_with(['{', '[', '%']) || line.starts_with("---") || has_key(line.trim_start_matches("- "))
    };
    !lines.any(is_of_a_document)
}

/// Whether a line is `key: value`.
fn has_key(line: &str) -> bool {
    let Some((key, value)) = line.split_once(':') else { return false };
    let key = key.trim_matches(['"', '\'']);
    let is_name = |c: char| c.is_alphanumeric() || "_-./$ {}".contains(c);
    value.starts_with([' ', '\t']) && !key.is_empty() && key.chars().all(is_name)
}

/// The references of a list.
pub(super) fn read(text: &str) -> impl Iterator<Item = Found> {
    text.lines().enumerate().filter_map(|(index, line)| {
        let line = line.trim();
        let end = line.find(" #").or_else(|| line.find("\t#")).unwrap_or(line.len());
        let line = if line.starts_with('#') { "" } else { line[..end].trim_end() };
        let reference = line.strip_prefix("- ").unwrap_or(line).trim().trim_matches(['"', '\'']);
        (!reference.is_empty()).then(|| (index + 1, Finding::Image(reference.to_owned())))
    })
}

/// The references of a document that is a list of texts; `None`: it is something else.
pub(super) fn of_texts(document: &Document) -> Option<Vec<Found>> {
    let Value::List(items) = document.root().value() else { return None };
    let texts = items.iter().map(|item| match item.value() {
        Value::Text(text) => Some((item.line(), Finding::Image(text.clone()))),
        Value::List(_) | Value::Map(_) => None,
    });
    texts.collect()
}
