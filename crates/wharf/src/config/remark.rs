//! Remarks on a configuration: each with its place, its key, the mistake and advice.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

/// The place of a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// In the file.
    Line {
        /// Counted from 1.
        line: usize,
        /// The whole key, such as `registry[docker.io].tag_ttl`; empty if the remark concerns the file.
        key: String,
    },
    /// In the variable or the option of this name.
    Outside(String),
}

impl Place {
    /// The file itself.
    pub(crate) fn file() -> Self {
        Self::line(1)
    }

    /// A line of the file, and no key in it.
    pub(crate) fn line(line: usize) -> Self {
        Self::Line { line, key: String::new() }
    }

    /// Its name in messages.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Line { key, .. } => key,
            Self::Outside(name) => name,
        }
    }
}

/// The name and the line.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { line, key } => write!(f, "{key} (line {line})"),
            Self::Outside(name) => f.write_str(name),
        }
    }
}

/// One sentence about one place. It never contains a value of the environment or of a file, except names,
/// hosts and directories of registries that collide.
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
    /// Warnings found along with these mistakes.
    warnings: BTreeSet<Remark>,
    /// Files that the configuration names: a change of one may correct a mistake.
    files: Vec<PathBuf>,
}

impl Remarks {
    pub(crate) fn on(file: &str) -> Self {
        Self { file: file.to_owned(), remarks: BTreeSet::new(), warnings: BTreeSet::new(), files: Vec::new() }
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

    /// Each remark as `file:line: key: text`, or as `VARIABLE: text`.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        self.remarks.iter().map(|remark| self.line_of(remark))
    }

    /// The warnings found along with these mistakes, in the same form.
    pub(crate) fn warning_lines(&self) -> impl Iterator<Item = String> {
        self.warnings.iter().map(|remark| self.line_of(remark))
    }

    fn line_of(&self, remark: &Remark) -> String {
        let text = &remark.text;
        printable(&match &remark.place {
            Place::Line { line, key } if key.is_empty() => format!("{}:{line}: {text}", self.file),
            Place::Line { line, key } => format!("{}:{line}: {key}: {text}", self.file),
            Place::Outside(name) => format!("{name}: {text}"),
        })
    }

    /// These mistakes with `warnings`.
    pub(crate) fn with_warnings(mut self, warnings: Self) -> Self {
        self.warnings.extend(warnings.remarks);
        self
    }

    /// The same with the files that the configuration names.
    pub(crate) fn with_files(mut self, files: Vec<PathBuf>) -> Self {
        self.files = files;
        self
    }

    /// The files that the configuration names.
    pub(crate) fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Drops the remarks on `lines`, which have graver mistakes.
    pub(crate) fn without_lines(mut self, lines: &BTreeSet<usize>) -> Self {
        let is_on = |place: &Place| matches!(place, Place::Line { line, .. } if lines.contains(line));
        self.remarks.retain(|remark| !is_on(&remark.place));
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

/// Escapes control characters, which a quoted key may contain, for a terminal.
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
