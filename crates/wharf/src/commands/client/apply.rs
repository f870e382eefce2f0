//! `wharf client --apply`: writes the settings on this machine. It finds out what to write before it writes
//! anything, keeps a copy of each file before its first change, and changes nothing a second time.

use std::io;
use std::path::{Path, PathBuf};

use clients::{File, Placement, Settings, Tool};

use super::merge;
use crate::commands::files::{self, Permissions};

/// Ends the name of the copy of a file before its first change. No client reads a file with this ending.
const COPY: &str = ".before-wharf";

/// The bound on a present file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The machine, or an image of one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Machine<'a> {
    /// The directory in place of `/` and of the working directory.
    pub(super) root: Option<&'a Path>,
    /// The user's home.
    pub(super) home: Option<&'a Path>,
}

/// One file that is to be written.
struct Change {
    path: PathBuf,
    text: String,
    /// A file is there.
    replaces: bool,
}

/// Writes the settings, and returns the report.
///
/// # Errors
/// A line for the user. If a file cannot be joined with the settings, nothing is written.
pub(super) fn apply(tool: &Tool, settings: &Settings, machine: Machine<'_>) -> Result<String, String> {
    let mut changes = Vec::new();
    let mut report = String::new();
    for file in &settings.files {
        let path = machine.place(tool, file)?;
        match change(tool, file, &path)? {
            Some(change) => changes.push(change),
            None => report.push_str(&format!("{}: unchanged\n", path.display())),
        }
    }
    if changes.is_empty() {
        report.push_str("nothing changed: these settings are in place\n");
        return Ok(report);
    }
    for change in &changes {
        report.push_str(&write(change)?);
    }
    if !settings.commands.is_empty() {
        report.push_str("\nnow run\n");
        report.extend(settings.commands.iter().map(|command| format!("{command}\n")));
    }
    report.extend(settings.notes.iter().map(|note| format!("\nnote: {note}\n")));
    Ok(report)
}

impl Machine<'_> {
    /// The path of the file on this machine.
    fn place(self, tool: &Tool, file: &File) -> Result<PathBuf, String> {
        if file.placement == Placement::Part {
            return Err(format!(
                "wharf cannot write the settings of {} by itself: they are a part of {}; print them without --apply",
                tool.name, file.path
            ));
        }
        let path = match file.path.strip_prefix("~/") {
            None => PathBuf::from(&file.path),
            Some(rest) => match self.home {
                Some(home) => home.join(rest),
                None => return Err(format!("HOME is not set, so the place of {} is unknown", file.path)),
            },
        };
        let Some(root) = self.root else { return Ok(path) };
        let path = root.join(path.strip_prefix("/").unwrap_or(&path));
        // A link of the image could lead to the machine's own files.
        let real_root = root.canonicalize().map_err(|error| describe("find", root, &error))?;
        let present = path.ancestors().find(|ancestor| ancestor.symlink_metadata().is_ok()).unwrap_or(root);
        let real = present.canonicalize().map_err(|error| describe("find", present, &error))?;
        if !real.starts_with(&real_root) {
            return Err(format!("{} leads out of {} by a link", path.display(), root.display()));
        }
        Ok(path)
    }
}

/// The change that the file needs; `None`: it needs none.
fn change(tool: &Tool, file: &File, path: &Path) -> Result<Option<Change>, String> {
    let present = match read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Some(Change { path: path.to_owned(), text: file.contents.clone(), replaces: false }));
        }
        Err(error) => return Err(describe("read", path, &error)),
    };
    if present == file.contents {
        return Ok(None);
    }
    let by_hand = format!("add by hand what `wharf client {}` prints; nothing was written", tool.name);
    let refuse = |why: &dyn std::fmt::Display| format!("{} {why}: {by_hand}", path.display());
    let text = match file.placement {
        Placement::Json => merge::json(&present, &file.contents).map_err(|error| refuse(&error))?,
        Placement::Toml => merge::toml(&present, &file.contents).map_err(|error| refuse(&error))?,
        Placement::Own if is_hosts_file(path) && merge::is_extended(&present, &file.contents) => None,
        Placement::Own if has_login(&present) => {
            return Err(refuse(&"holds a login, which would be lost"));
        }
        Placement::Own => Some(file.contents.clone()),
        Placement::IfAbsent | Placement::Part => {
            return Err(refuse(&"has settings of its own, in a format that wharf cannot join safely"));
        }
    };
    Ok(text.map(|text| Change { path: path.to_owned(), text, replaces: true }))
}

fn is_hosts_file(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "hosts.toml")
}

/// Tells whether a line that is no comment holds a login.
fn has_login(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim_start).filter(|line| !line.starts_with('#'));
    lines.any(|line| {
        let key = line.trim_start_matches(['"', '\'']).to_ascii_lowercase();
        key.starts_with("authorization") || key.starts_with("password")
    })
}

fn read(path: &Path) -> io::Result<String> {
    let length = path.metadata()?.len();
    if length > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it has more than 1 MiB"));
    }
    std::fs::read_to_string(path)
}

/// Writes the file, and returns a line of the report.
fn write(change: &Change) -> Result<String, String> {
    let Change { path, text, replaces } = change;
    files::make_directory(path)?;
    if !replaces {
        files::write_new(path, text, Permissions::Public)?;
        return Ok(format!("{}: written\n", path.display()));
    }
    // A link stays one.
    let real = path.canonicalize().map_err(|error| describe("find", path, &error))?;
    let mut copy = path.clone().into_os_string();
    copy.push(COPY);
    let copy = PathBuf::from(copy);
    if copy.symlink_metadata().is_err() {
        std::fs::copy(&real, &copy).map_err(|error| describe("write", &copy, &error))?;
    }
    files::replace(&real, text, Permissions::Public)?;
    Ok(format!("{}: changed; {} is the file before the first change\n", path.display(), copy.display()))
}

fn describe(what: &str, path: &Path, error: &io::Error) -> String {
    format!("cannot {what} {}: {error}", path.display())
}

#[cfg(test)]
mod tests;
