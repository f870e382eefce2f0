//! The note of pinned images: a line of text for each, between a line with the note's generation and an end.
//!
//! A store keeps a note through the end of the process, not through every power loss. So there are two,
//! written in turn: when the newer one is damaged, the older one has reached the disk long ago.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use bytes::Bytes;
use oci::{Digest, Repository};

/// The notes' names in the store: of even generations, and of odd ones.
pub(crate) const NAMES: [&str; 2] = ["pins", "pinsodd"];

const HEAD: &str = "wharf-pins 1 ";
const END: &str = "end";

/// The pinned manifests, and how often they were changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PinList {
    pub(crate) generation: u64,
    pub(crate) pins: BTreeSet<(Repository, Digest)>,
}

impl PinList {
    /// Reads a note. `None`: it is damaged, or of a version that this program does not know.
    pub(crate) fn parse(note: &[u8]) -> Option<Self> {
        let mut lines = str::from_utf8(note).ok()?.lines();
        let generation = lines.next()?.strip_prefix(HEAD)?.parse().ok()?;
        let mut pins = BTreeSet::new();
        loop {
            match lines.next()? {
                END => return Some(Self { generation, pins }),
                line => {
                    let (repository, digest) = line.split_once('@')?;
                    pins.insert((repository.parse().ok()?, digest.parse().ok()?));
                }
            }
        }
    }

    /// The note's text.
    pub(crate) fn to_bytes(&self) -> Bytes {
        let mut text = format!("{HEAD}{}\n", self.generation);
        for (repository, digest) in &self.pins {
            writeln!(text, "{repository}@{digest}").expect("writing to a string does not fail");
        }
        text.push_str(END);
        text.push('\n');
        text.into()
    }

    /// The name of the note that has this generation.
    pub(crate) fn name(&self) -> &'static str {
        NAMES[usize::from(self.generation % 2 == 1)]
    }

    /// The newer of the notes that can be read, and whether one could not be. `None`: there are notes, and
    /// none of them can be read.
    pub(crate) fn newest(notes: [Option<Bytes>; 2]) -> Option<(Self, bool)> {
        let there: Vec<_> = notes.into_iter().flatten().collect();
        let read: Vec<_> = there.iter().filter_map(|note| Self::parse(note)).collect();
        let is_damaged = read.len() < there.len();
        if there.is_empty() {
            return Some((Self::default(), false));
        }
        Some((read.into_iter().max_by_key(|list| list.generation)?, is_damaged))
    }
}

#[cfg(test)]
mod tests {
    use oci::Algorithm;

    use super::*;

    fn list(generation: u64, names: &[&str]) -> PinList {
        let pin = |name: &&str| (name.parse().unwrap(), Digest::of(Algorithm::Sha256, name.as_bytes()));
        PinList { generation, pins: names.iter().map(pin).collect() }
    }

    #[test]
    fn pins_come_back_and_a_note_that_is_cut_short_is_none() {
        let list = list(3, &["library/alpine", "a/b"]);
        let note = list.to_bytes();
        assert_eq!(PinList::parse(&note), Some(list));
        for len in 0..note.len() - 1 {
            assert_eq!(PinList::parse(&note[..len]), None, "{len} bytes");
        }
        assert_eq!(PinList::parse(&vec![0; note.len()]), None);
        assert_eq!(PinList::parse(b"wharf-pins 2 0\nend\n"), None);
    }

    #[test]
    fn the_newer_note_counts_unless_it_is_damaged() {
        let (one, two) = (list(1, &["a"]), list(2, &["a", "b"]));
        let damaged = || Some(Bytes::from_static(b"\0\0\0"));
        let note = |list: &PinList| Some(list.to_bytes());
        assert_eq!(PinList::newest([None, None]), Some((PinList::default(), false)));
        assert_eq!(PinList::newest([note(&two), note(&one)]), Some((two.clone(), false)));
        assert_eq!(PinList::newest([damaged(), note(&one)]), Some((one.clone(), true)));
        assert_eq!(PinList::newest([damaged(), None]), None);
        assert_eq!(PinList::newest([damaged(), damaged()]), None);
        assert_ne!(one.name(), two.name());
    }
}
