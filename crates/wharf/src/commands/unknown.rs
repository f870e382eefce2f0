//! The message about a registry that the configuration does not have.

use crate::config::Registry;

/// The message about a registry that the configuration does not have.
pub(crate) fn unknown_registry(name: &str, registries: &[Registry]) -> String {
    unknown_name(name, registries.iter().map(|registry| registry.names.name.as_str()))
}

/// The message about a name that is none of these.
pub(crate) fn unknown_name<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<_> = known.collect();
    format!(
        "the configuration has no registry {name:?}; it has {}. Add a [[registry]], or name an image of one of these",
        known.join(", ")
    )
}
