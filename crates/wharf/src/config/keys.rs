//! Every key of the configuration, by section. To add a key, declare it in the file of its section, list it
//! in its group, and read it where that section is read.

pub(crate) mod access;
pub(crate) mod acme;
pub(crate) mod credentials;
pub(crate) mod process;
pub(crate) mod registry;
pub(crate) mod warm;

use super::key::Section;

/// The sections in the order of the reference page. `[defaults]` holds the shared groups of the last one.
pub(crate) static SECTIONS: [&Section; 9] = [
    &process::SERVER,
    &process::TLS,
    &acme::ACME,
    &process::ADMIN,
    &process::STORAGE,
    &process::LOG,
    &warm::WARM,
    &access::ACCESS,
    &registry::REGISTRY,
];

/// The names of the sections at the top of the file.
pub(crate) const TOP: [&str; 8] =
    ["server", "admin", "storage", "log", "warm", "access", "defaults", "registry"];

/// Where the key called `key` belongs, for a section that does not have it.
pub(crate) fn home_of(key: &str) -> Option<String> {
    let homes: Vec<String> = SECTIONS.into_iter().filter_map(|section| home_in(section, key)).collect();
    let (last, others) = homes.split_last()?;
    let others = others.join(", ");
    let or = if others.is_empty() { "" } else { " or " };
    Some(format!("{key} belongs to {others}{or}{last}"))
}

/// The headings in the file under which `section` has the key.
fn home_in(section: &Section, key: &str) -> Option<String> {
    let is_shared = section.shared_keys().any(|it| it.name() == key);
    let name = section.name;
    match section.keys().any(|it| it.name() == key) {
        false => None,
        true if name != registry::REGISTRY.name => Some(format!("[{name}]")),
        true if is_shared => Some(format!("[[{name}]] or [defaults]")),
        true => Some(format!("[[{name}]]")),
    }
}
