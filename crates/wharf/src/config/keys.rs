//! Every key of the configuration, by section. To add a key, declare it in the file of its section, list it
//! in its group, and read it where that section is read.

pub(crate) mod process;
pub(crate) mod registry;
pub(crate) mod warm;

use super::key::Section;

/// The sections in the order of the reference page. `[defaults]` holds the shared groups of the last one.
pub(crate) static SECTIONS: [&Section; 7] = [
    &process::SERVER,
    &process::TLS,
    &process::ADMIN,
    &process::STORAGE,
    &process::LOG,
    &warm::WARM,
    &registry::REGISTRY,
];

/// The names of the sections at the top of the file.
pub(crate) const TOP: [&str; 7] = ["server", "admin", "storage", "log", "warm", "defaults", "registry"];
