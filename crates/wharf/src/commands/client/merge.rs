//! Joins settings with a file that has others, and loses none of those.

use serde_json::{Map, Value};
use toml::Table;

/// Why two texts cannot be joined; the end of a sentence that begins with the path.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum MergeError {
    #[error("is not {0}")]
    Format(&'static str),
    #[error("sets `{0}` to another value")]
    Differs(String),
    #[error("has some of these sections with other keys")]
    Sections,
}

/// Adds the keys of `wanted` to the JSON object of `present`. A list gets the values that it lacks in front,
/// because Docker tries mirrors in their order. `None`: nothing is missing.
///
/// # Errors
/// [`MergeError`].
pub(super) fn json(present: &str, wanted: &str) -> Result<Option<String>, MergeError> {
    let parse = |text: &str| -> Result<Map<String, Value>, MergeError> {
        let text = if text.trim().is_empty() { "{}" } else { text };
        serde_json::from_str(text).map_err(|_| MergeError::Format("a JSON object"))
    };
    let before = parse(present)?;
    let mut after = before.clone();
    for (key, value) in parse(wanted)? {
        match (after.get_mut(&key), value) {
            (None, value) => drop(after.insert(key, value)),
            (Some(Value::Array(list)), Value::Array(wanted)) => {
                let missing: Vec<Value> = wanted.into_iter().filter(|value| !list.contains(value)).collect();
                list.splice(0..0, missing);
            }
            (Some(present), value) if *present == value => {}
            (Some(_), _) => return Err(MergeError::Differs(key)),
        }
    }
    if after == before {
        return Ok(None);
    }
    let text = serde_json::to_string_pretty(&after).expect("a JSON value has a text");
    Ok(Some(text + "\n"))
}

/// Appends the sections of `wanted` to the TOML text of `present`. `None`: nothing is missing.
///
/// # Errors
/// [`MergeError`].
pub(super) fn toml(present: &str, wanted: &str) -> Result<Option<String>, MergeError> {
    let parse = |text: &str| text.parse::<Table>().map_err(|_| MergeError::Format("TOML"));
    let before = parse(present)?;
    let wanted_table = parse(wanted)?;
    if contains(&before, &wanted_table) {
        return Ok(None);
    }
    if before.is_empty() && present.trim().is_empty() {
        return Ok(Some(wanted.to_owned()));
    }
    // Keys before the first section would belong to the last section of the file.
    let sections =
        if wanted.starts_with('[') { 0 } else { wanted.find("\n[").map_or(wanted.len(), |at| at + 1) };
    let (head, sections) = wanted.split_at(sections);
    if let Some((key, _)) = parse(head)?.iter().find(|(key, value)| before.get(*key) != Some(value)) {
        return Err(MergeError::Differs(key.clone()));
    }
    let text = format!("{}\n\n{sections}", present.trim_end());
    match text.parse::<Table>() {
        Ok(after) if contains(&after, &before) && contains(&after, &wanted_table) => Ok(Some(text)),
        _ => Err(MergeError::Sections),
    }
}

/// Tells whether a hosts file does what `wanted` does, perhaps with a login or a timeout besides.
pub(super) fn is_extended(present: &str, wanted: &str) -> bool {
    match (present.parse::<Table>(), wanted.parse::<Table>()) {
        (Ok(present), Ok(wanted)) => contains(&present, &wanted),
        _ => false,
    }
}

/// Tells whether `whole` has each key of `part`, with its value.
fn contains(whole: &Table, part: &Table) -> bool {
    part.iter().all(|(key, wanted)| whole.get(key).is_some_and(|found| has(found, wanted)))
}

fn has(found: &toml::Value, wanted: &toml::Value) -> bool {
    match (found, wanted) {
        (toml::Value::Table(found), toml::Value::Table(wanted)) => contains(found, wanted),
        // An array of tables, such as a list of mirrors.
        (toml::Value::Array(found), toml::Value::Array(wanted))
            if wanted.iter().any(toml::Value::is_table) =>
        {
            wanted.iter().all(|wanted| found.iter().any(|found| has(found, wanted)))
        }
        (found, wanted) => found == wanted,
    }
}

#[cfg(test)]
mod tests;
