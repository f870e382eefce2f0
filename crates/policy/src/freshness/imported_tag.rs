//! Decides what an import does with a tag that the store may know already.

use std::time::SystemTime;

use oci::Digest;

use super::TagRecord;

/// Which records the record of an archive replaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Replace {
    /// Those that are older.
    #[default]
    Older,
    /// All, because the operator says so.
    All,
}

/// The outcome of an import of a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportedTag {
    /// It names the archive's manifest from now on.
    Stored,
    /// It named that manifest already.
    Same,
    /// The store knows something newer: another manifest, or `None`: the registry no longer has the tag.
    Kept(Option<Digest>),
}

/// Whether a tag stays as it is, and `None` if the `record` of an archive is to be stored. `held` is the
/// store's record. The registry said at `gone_at` that it no longer has the tag, if that is its newest word.
pub fn import_of(
    record: &TagRecord,
    held: Option<&TagRecord>,
    gone_at: Option<SystemTime>,
    replace: Replace,
) -> Option<ImportedTag> {
    match held {
        Some(held) if held.digest == record.digest => Some(ImportedTag::Same),
        _ if replace == Replace::All => None,
        Some(held) if held.checked_at >= record.checked_at => {
            Some(ImportedTag::Kept(Some(held.digest.clone())))
        }
        Some(_) => None,
        None => gone_at.filter(|gone_at| *gone_at >= record.checked_at).map(|_| ImportedTag::Kept(None)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use oci::Algorithm;

    use super::*;

    fn record(content: &str, hour: u64) -> TagRecord {
        TagRecord {
            digest: Digest::of(Algorithm::Sha256, content.as_bytes()),
            media_type: "application/vnd.oci.image.manifest.v1+json".parse().unwrap(),
            size: 5,
            checked_at: at(hour),
        }
    }

    fn at(hour: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(3600 * hour)
    }

    #[test]
    fn a_newer_word_stays_unless_the_operator_replaces_it() {
        use ImportedTag::{Kept, Same};
        let archive = record("a", 5);
        let other = |hour| Some(record("b", hour));
        let kept = Some(Kept(other(0).map(|held| held.digest)));
        let table = [
            (None, None, None, None),
            (None, Some(4), None, None),
            (None, Some(5), Some(Kept(None)), None),
            (Some(record("a", 1)), None, Some(Same), Some(Same)),
            (Some(record("a", 9)), None, Some(Same), Some(Same)),
            (other(4), None, None, None),
            (other(5), None, kept.clone(), None),
            (other(9), None, kept, None),
        ];
        for (held, gone, older, all) in table {
            for (replace, expected) in [(Replace::Older, older), (Replace::All, all)] {
                let found = import_of(&archive, held.as_ref(), gone.map(at), replace);
                assert_eq!(found, expected, "{held:?} {gone:?} {replace:?}");
            }
        }
    }
}
