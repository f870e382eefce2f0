//! The note of the scrub: when the last whole round ended, and where the current one stands.
//!
//! It is text: a line with a version, lines of a word and a value, and an end.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use oci::Digest;
use storage::Part;

use crate::scrub_state::ScrubReport;

/// The note's name in the store.
pub(super) const NAME: &str = "scrub";

const HEAD: &str = "wharf-scrub 1";
const END: &str = "complete";

/// The state of a store's scrub.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Note {
    /// The end of the last whole round, to the second.
    pub(super) ended_at: Option<SystemTime>,
    /// The round that has begun.
    pub(super) round: Option<Round>,
    /// The counts of the last whole round.
    pub(super) last: Counts,
}

/// A round that has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Round {
    pub(super) began_at: SystemTime,
    pub(super) part: Part,
    /// The digest that was looked at last in this part.
    pub(super) after: Option<Digest>,
    pub(super) counts: Counts,
}

/// The counts of one round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Bytes that were hashed.
    pub(super) bytes: u64,
    /// Files that were damaged.
    pub(super) damaged: u64,
    /// Damaged files that were fetched again.
    pub(super) healed: u64,
}

impl Note {
    /// Begins a round.
    pub(super) fn begin(&mut self, now: SystemTime) {
        let counts = Counts::default();
        self.round = Some(Round { began_at: now, part: Part::Manifests, after: None, counts });
    }

    /// Ends the round.
    pub(super) fn end(&mut self, now: SystemTime) {
        if let Some(round) = self.round.take() {
            self.last = round.counts;
        }
        self.ended_at = Some(now);
    }

    /// The time until the next round is due, or this one goes on. An end that lies ahead, because the clock
    /// was set back, counts as now.
    pub(super) fn wait(&self, every: Duration, now: SystemTime) -> Duration {
        match (&self.round, self.ended_at) {
            (Some(_), _) | (None, None) => Duration::ZERO,
            (None, Some(ended_at)) => every.saturating_sub(now.duration_since(ended_at).unwrap_or_default()),
        }
    }

    /// The state, as an operator sees it.
    pub(super) fn report(&self) -> ScrubReport {
        let round = self.round.as_ref();
        let counts = round.map_or(self.last, |round| round.counts);
        ScrubReport {
            began_at: round.map(|round| round.began_at),
            ended_at: self.ended_at,
            bytes: counts.bytes,
            damaged: counts.damaged,
            healed: counts.healed,
        }
    }

    /// Reads a note. `None`: it is damaged, or of a version that this program does not know.
    pub(super) fn parse(note: &[u8]) -> Option<Self> {
        let mut lines = str::from_utf8(note).ok()?.lines();
        if lines.next()? != HEAD {
            return None;
        }
        let mut read = Self::default();
        loop {
            let line = lines.next()?;
            if line == END {
                return Some(read);
            }
            let (word, value) = line.split_once(' ')?;
            match word {
                "ended" => read.ended_at = Some(time(value)?),
                "last" => read.last = counts(value)?,
                "began" => read.begin(time(value)?),
                "part" => read.round.as_mut()?.part = part(value)?,
                "after" => read.round.as_mut()?.after = Some(value.parse().ok()?),
                "counts" => read.round.as_mut()?.counts = counts(value)?,
                _ => return None,
            }
        }
    }

    /// The note's text.
    pub(super) fn to_bytes(&self) -> Bytes {
        let mut text = format!("{HEAD}\n");
        if let Some(ended_at) = self.ended_at {
            push(&mut text, "ended", seconds(ended_at));
            push(&mut text, "last", self.last.text());
        }
        if let Some(round) = &self.round {
            push(&mut text, "began", seconds(round.began_at));
            push(&mut text, "part", if round.part == Part::Blobs { "blobs" } else { "manifests" });
            if let Some(after) = &round.after {
                push(&mut text, "after", after);
            }
            push(&mut text, "counts", round.counts.text());
        }
        text.push_str(END);
        text.push('\n');
        text.into()
    }
}

impl Counts {
    fn text(self) -> String {
        format!("{} {} {}", self.bytes, self.damaged, self.healed)
    }
}

fn push(text: &mut String, word: &str, value: impl std::fmt::Display) {
    writeln!(text, "{word} {value}").expect("writing to a string does not fail");
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn time(text: &str) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_secs(text.parse().ok()?))
}

fn part(text: &str) -> Option<Part> {
    match text {
        "blobs" => Some(Part::Blobs),
        "manifests" => Some(Part::Manifests),
        _ => None,
    }
}

fn counts(text: &str) -> Option<Counts> {
    let mut numbers = text.split(' ').map(|number| number.parse().ok());
    let mut next = || numbers.next().flatten();
    let counts = Counts { bytes: next()?, damaged: next()?, healed: next()? };
    numbers.next().is_none().then_some(counts)
}

#[cfg(test)]
mod tests {
    use oci::Algorithm;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn notes() -> [Note; 3] {
        let mut begun = Note::default();
        begun.begin(at(100));
        let mut further = begun.clone();
        further.end(at(200));
        further.begin(at(300));
        let round = further.round.as_mut().unwrap();
        round.part = Part::Blobs;
        round.after = Some(Digest::of(Algorithm::Sha512, b"a"));
        round.counts = Counts { bytes: u64::MAX, damaged: 2, healed: 1 };
        [Note::default(), begun, further]
    }

    #[test]
    fn a_note_comes_back_and_one_that_is_cut_short_is_none() {
        for note in notes() {
            let bytes = note.to_bytes();
            assert_eq!(Note::parse(&bytes), Some(note));
            for len in 0..bytes.len() - 1 {
                assert_eq!(Note::parse(&bytes[..len]), None, "{len} bytes");
            }
            assert_eq!(Note::parse(&vec![0; bytes.len()]), None);
        }
        for wrong in [
            "wharf-scrub 2\ncomplete\n",
            "wharf-scrub 1\npart blobs\ncomplete\n",
            "wharf-scrub 1\nx y\ncomplete\n",
        ] {
            assert_eq!(Note::parse(wrong.as_bytes()), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_round_is_due_after_its_time_and_goes_on_at_once() {
        let every = Duration::from_secs(50);
        let [new, begun, _] = notes();
        assert_eq!(new.wait(every, at(0)), Duration::ZERO);
        assert_eq!(begun.wait(every, at(0)), Duration::ZERO);
        let mut ended = begun;
        ended.end(at(200));
        for (now, wait) in [(200, 50), (230, 20), (250, 0), (1000, 0), (100, 50)] {
            assert_eq!(ended.wait(every, at(now)), Duration::from_secs(wait), "{now}");
        }
    }
}
