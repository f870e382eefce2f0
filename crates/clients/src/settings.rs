//! The settings of one client.

/// The settings of one client, in the order in which the client needs them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The files.
    pub files: Vec<File>,
    /// Commands to run once the files are in their places.
    pub commands: Vec<String>,
    /// Sentences for the user.
    pub notes: Vec<String>,
}

/// A file of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// The path on the client. A path without a slash at its start is relative to the working directory, and
    /// `~/` means the user's home.
    pub path: String,
    /// The contents, which end with a line break.
    pub contents: String,
    /// How the contents come to be at the path.
    pub placement: Placement,
}

/// How the contents of a file come to be at its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// The file is about this mirror alone and may be replaced.
    Own,
    /// A JSON object, whose keys join those of the present file.
    Json,
    /// TOML tables, which join those of the present file.
    Toml,
    /// The file has other settings too, in a format that cannot be joined safely: it may be written only if
    /// there is none.
    IfAbsent,
    /// A part for a file that the user writes; the path says which.
    Part,
}

impl Settings {
    pub(crate) fn file(&mut self, placement: Placement, path: impl Into<String>, contents: String) {
        debug_assert!(contents.ends_with('\n'), "a file ends with a line break");
        self.files.push(File { path: path.into(), contents, placement });
    }

    pub(crate) fn command(&mut self, command: impl Into<String>) {
        self.commands.push(command.into());
    }

    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// The text for people: each file below a line with its path, then the commands and the notes.
    pub fn text(&self) -> String {
        let mut parts = Vec::new();
        for file in &self.files {
            let how = match file.placement {
                Placement::Own | Placement::IfAbsent => "",
                Placement::Json => " (add these keys to those of the file)",
                Placement::Toml => " (add these lines to those of the file)",
                Placement::Part => " (a part of it)",
            };
            parts.push(format!("# {}{how}\n{}", file.path, file.contents));
        }
        if !self.commands.is_empty() {
            let lines: String = self.commands.iter().map(|line| format!("{line}\n")).collect();
            parts.push(format!("# Then run\n{lines}"));
        }
        if !self.notes.is_empty() {
            parts.push(self.notes.iter().map(|note| format!("# Note: {note}\n")).collect());
        }
        parts.join("\n")
    }
}
