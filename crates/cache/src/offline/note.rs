//! The note that carries a registry's switch to the next process: one line of text.

use bytes::Bytes;
use policy::offline::{OrderForAll, Switch};

/// The note's name in the store.
pub(super) const NAME: &str = "offline";

const HEAD: &str = "wharf-offline 1";

/// The switch of one registry, and the last order for all registries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) own: Option<Switch>,
    pub(super) all: OrderForAll,
}

impl Note {
    /// Reads a note. `None`: it is damaged, or of a version that this program does not know.
    pub(super) fn parse(note: &[u8]) -> Option<Self> {
        let line = str::from_utf8(note).ok()?.strip_prefix(HEAD)?.strip_suffix(" end\n")?;
        let mut words = line.split_whitespace();
        let own = match words.next()?.strip_prefix("own=")? {
            "on" => Some(Switch::On),
            "off" => Some(Switch::Off),
            "default" => None,
            _ => return None,
        };
        let is_on = match words.next()?.strip_prefix("all=")? {
            "on" => true,
            "default" => false,
            _ => return None,
        };
        let at = words.next()?.strip_prefix("at=")?.parse().ok()?;
        words.next().is_none().then_some(Self { own, all: OrderForAll { is_on, at } })
    }

    /// The note's text.
    pub(super) fn to_bytes(self) -> Bytes {
        let own = match self.own {
            Some(Switch::On) => "on",
            Some(Switch::Off) => "off",
            None => "default",
        };
        let OrderForAll { is_on, at } = self.all;
        let all = if is_on { "on" } else { "default" };
        format!("{HEAD} own={own} all={all} at={at} end\n").into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_comes_back_and_no_part_of_one_is_believed() {
        for own in [None, Some(Switch::On), Some(Switch::Off)] {
            for is_on in [false, true] {
                let note = Note { own, all: OrderForAll { is_on, at: 1_764_489_600 } };
                let bytes = note.to_bytes();
                assert_eq!(Note::parse(&bytes), Some(note));
                for len in 0..bytes.len() {
                    assert_eq!(Note::parse(&bytes[..len]), None, "{len} bytes");
                }
                assert_eq!(Note::parse(&vec![0; bytes.len()]), None);
            }
        }
        assert_eq!(Note::parse(b"wharf-offline 2 own=on all=on at=1 end\n"), None);
        assert_eq!(Note::parse(b"wharf-offline 1 own=maybe all=on at=1 end\n"), None);
    }
}
