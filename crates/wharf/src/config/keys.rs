//! Every key of the configuration, by section. To add one: declare it in the file of its section and list it
//! in its group; then read it where that section is read.

pub(crate) mod process;
pub(crate) mod registry;

use super::key::Declared;

/// A section of the file and the keys that it may hold.
pub(crate) struct Section {
    /// The name in brackets, such as `server.tls`.
    pub(crate) name: &'static str,
    /// What it is for, in one sentence.
    pub(crate) doc: &'static str,
    pub(crate) groups: &'static [Group],
    /// The names of sections within it.
    pub(crate) subsections: &'static [&'static str],
}

/// Keys that belong together: one table of the reference page.
pub(crate) struct Group {
    /// Whether `[defaults]` may hold these keys too.
    pub(crate) is_shared: bool,
    pub(crate) keys: &'static [&'static dyn Declared],
}

/// The sections in the order of the reference page. `[defaults]` holds the shared groups of the last one.
pub(crate) static SECTIONS: [&Section; 6] =
    [&process::SERVER, &process::TLS, &process::ADMIN, &process::STORAGE, &process::LOG, &registry::REGISTRY];

/// The names of the sections at the top of the file.
pub(crate) const TOP: [&str; 6] = ["server", "admin", "storage", "log", "defaults", "registry"];

impl Section {
    pub(crate) fn keys(&self) -> impl Iterator<Item = &'static dyn Declared> + use<> {
        self.groups.iter().flat_map(|group| group.keys.iter().copied())
    }

    /// The keys that `[defaults]` may hold too.
    pub(crate) fn shared_keys(&self) -> impl Iterator<Item = &'static dyn Declared> + use<> {
        let shared = self.groups.iter().filter(|group| group.is_shared);
        shared.flat_map(|group| group.keys.iter().copied())
    }

    /// The keys that `[defaults]` must not hold.
    pub(crate) fn own_keys(&self) -> impl Iterator<Item = &'static dyn Declared> + use<> {
        let own = self.groups.iter().filter(|group| !group.is_shared);
        own.flat_map(|group| group.keys.iter().copied())
    }

    /// Everything that may stand in it.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.keys().map(|key| key.name()).chain(self.subsections.iter().copied()).collect()
    }
}
