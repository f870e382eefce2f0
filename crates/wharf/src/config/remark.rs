//! What is said about a configuration: where, which key, what is wrong and what to do.

use std::collections::BTreeSet;
use std::fmt;

/// Where a key stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Counted from 1.
    pub(crate) line: usize,
    /// The whole key, such as `registry[docker.io].tag_ttl`; empty when the remark is on the file itself.
    pub(crate) key: String,
}

/// One sentence about one place. It never holds a value that came from the environment or from a file, save the
/// names, hosts and directories of registries that collide.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Remark {
    pub(crate) place: Place,
    pub(crate) text: String,
}

/// Remarks in the order of the file, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remarks {
    file: String,
    remarks: BTreeSet<Remark>,
    /// What is allowed but risky, where these are mistakes.
    warnings: BTreeSet<Remark>,
}

impl Remarks {
    pub(crate) fn on(file: &str) -> Self {
        Self { file: file.to_owned(), remarks: BTreeSet::new(), warnings: BTreeSet::new() }
    }

    pub(crate) fn add(&mut self, place: Place, text: impl Into<String>) {
        self.remarks.insert(Remark { place, text: text.into() });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.remarks.is_empty()
    }

    pub(crate) fn count(&self) -> usize {
        self.remarks.len()
    }

    /// Each remark as `file:line: key: text`.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        self.remarks.iter().map(|remark| self.line_of(remark))
    }

    /// The warnings beside these mistakes, in the same form.
    pub(crate) fn warning_lines(&self) -> impl Iterator<Item = String> {
        self.warnings.iter().map(|remark| self.line_of(remark))
    }

    fn line_of(&self, remark: &Remark) -> String {
        let Place { line, key } = &remark.place;
        let colon = if key.is_empty() { "" } else { ": " };
        printable(&format!("{}:{line}: {key}{colon}{}", self.file, remark.text))
    }

    /// These mistakes, with the `warnings` that were found beside them.
    pub(crate) fn with_warnings(mut self, warnings: Self) -> Self {
        self.warnings.extend(warnings.remarks);
        self
    }

    /// Drops the remarks on `lines`, where something graver was said already.
    pub(crate) fn without_lines(mut self, lines: &BTreeSet<usize>) -> Self {
        self.remarks.retain(|remark| !lines.contains(&remark.place.line));
        self
    }

    pub(crate) fn append(&mut self, other: Self) {
        self.remarks.extend(other.remarks);
    }
}

impl fmt::Display for Remarks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, line) in self.lines().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            f.write_str(&line)?;
        }
        Ok(())
    }
}

/// A quoted key can hold any character; a terminal gets to see none of those that control it.
fn printable(line: &str) -> String {
    let mut printable = String::with_capacity(line.len());
    for c in line.chars() {
        if c.is_control() {
            printable.extend(c.escape_default());
        } else {
            printable.push(c);
        }
    }
    printable
}
