//! What only one registry can have: a name, a host, a directory.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use super::reader::Reader;
use super::remark::Place;

/// What the registries read so far have taken.
#[derive(Default)]
pub(crate) struct Claims {
    names: HashMap<String, Place>,
    hosts: HashMap<String, Place>,
    roots: Vec<(PathBuf, Place)>,
}

impl Claims {
    /// Takes a name or an alias: both stand in `ns`, in a path and in a host. False when it is taken.
    pub(crate) fn claim_name(&mut self, reader: &mut Reader<'_>, place: &Place, name: &str) -> bool {
        claim(&mut self.names, reader, place, name)
    }

    /// Takes a host name.
    pub(crate) fn claim_host(&mut self, reader: &mut Reader<'_>, place: &Place, host: &str) {
        claim(&mut self.hosts, reader, place, host);
    }

    /// Takes a directory with all that is in it.
    pub(crate) fn claim_root(&mut self, reader: &mut Reader<'_>, place: &Place, root: &Path) {
        if root.as_os_str().is_empty() {
            reader.refuse(place, "is empty; write a directory, or leave the key out");
            return;
        }
        let root = plain(root);
        for (other, taken) in &self.roots {
            let wrong = match (root.starts_with(other), other.starts_with(&root)) {
                (false, false) => continue,
                (true, true) => "is the directory of",
                (true, false) => "lies inside the directory of",
                (false, true) => "holds the directory of",
            };
            let text = format!("{root:?} {wrong} {taken}; give each registry a directory of its own");
            reader.refuse(place, text);
            return;
        }
        self.roots.push((root, place.clone()));
    }

    pub(crate) fn has_name(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }
}

fn claim(taken: &mut HashMap<String, Place>, reader: &mut Reader<'_>, place: &Place, value: &str) -> bool {
    if let Some(other) = taken.get(value) {
        let text = format!("{value:?} is taken by {other} already; remove one of the two");
        reader.refuse(place, text);
        return false;
    }
    taken.insert(value.to_owned(), place.clone());
    true
}

/// The path as it would be without `.` and `..`, from the working directory. Links are not followed: two that
/// lead to one directory are caught by the lock in it.
fn plain(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut plain = PathBuf::new();
    for component in absolute.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}
