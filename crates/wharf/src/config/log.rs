//! The settings of the log.

/// How the log is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Log {
    pub(crate) level: tracing::Level,
    /// `None` chooses the format by the reader: a terminal or a program.
    pub(crate) format: Option<LogFormat>,
    /// Whether each request gets a line.
    pub(crate) access: bool,
}

/// The format of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Text,
    Json,
    /// For people: the most important fields first, within the width of a screen.
    Short,
}
