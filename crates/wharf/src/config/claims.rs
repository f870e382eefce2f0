//! Names, hosts and directories, each of which only one registry can have.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use super::reader::Reader;
use super::remark::Place;

/// The claims of the registries read so far.
#[derive(Default)]
pub(crate) struct Claims {
    names: HashMap<String, Place>,
    hosts: HashMap<String, Place>,
    roots: Vec<(PathBuf, Place)>,
}

impl Claims {
    /// Claims a name or an alias: both stand in `ns`, in a path and in a host. Returns false if it is taken.
    pub(crate) fn claim_name(&mut self, reader: &mut Reader<'_>, place: &Place, name: &str) -> bool {
        claim(&mut self.names, reader, place, name)
    }

    /// Claims a host name.
    pub(crate) fn claim_host(&mut self, reader: &mut Reader<'_>, place: &Place, host: &str) {
        claim(&mut self.hosts, reader, place, host);
    }

    /// Claims a directory with everything in it.
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
            let text = format!("{root:?} {wrong} {taken}; give each registry its own directory");
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
        let text = format!("{value:?} is already taken by {other}; remove one of the two");
        reader.refuse(place, text);
        return false;
    }
    taken.insert(value.to_owned(), place.clone());
    true
}

/// The absolute path without `.` and `..`. Does not follow links: the lock in a directory detects two of
/// them.
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
