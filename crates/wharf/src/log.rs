//! The log: one line for each event on standard error, written by a separate thread.
//!
//! A request never waits for the reader of the log: lines that cannot be written are dropped and counted.
//! Text of clients and upstreams cannot start another line or control a terminal.

mod escape;
mod fields;
mod line;
mod short;

use std::io::{self, IsTerminal};
use std::panic::PanicHookInfo;

use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Registry, reload};

use self::line::Line;
use self::short::ACCESS;
use crate::config::{Log, LogFormat};

/// The most lines that wait for a slow reader, a few megabytes in all.
const WAITING_LINE_COUNT_MAX: usize = 8192;

/// wharf's crates. Libraries log from level warn up only: at finer levels they would print requests with
/// their credentials.
const OWN_TARGETS: [&str; 10] = [
    "wharf",
    "acme",
    "admin",
    "archive",
    "server",
    "cache",
    "credentials",
    "inventory",
    "storage",
    "upstream",
];

/// The log in use. Dropping it writes the waiting lines, unless the reader blocks.
#[must_use]
pub(crate) struct RunningLog {
    errors: ErrorCounter,
    levels: Levels,
    _writer: WorkerGuard,
}

/// Changes the levels of the running log.
#[derive(Clone)]
pub(crate) struct Levels(reload::Handle<Targets, Registry>);

impl Levels {
    /// Logs at the levels of `settings` from now on. The format of lines stays.
    pub(crate) fn set(&self, settings: &Log) {
        // It fails only after the log has ended.
        let _ = self.0.reload(targets(settings));
    }
}

impl RunningLog {
    /// Returns a function that returns the number of lines dropped so far.
    pub(crate) fn dropped_lines(&self) -> impl Fn() -> u64 + Send + Sync + 'static {
        let errors = self.errors.clone();
        move || errors.dropped_lines() as u64
    }

    /// Returns the handle that changes the levels.
    pub(crate) fn levels(&self) -> Levels {
        self.levels.clone()
    }
}

/// The format of this process's lines: as set, else one for people on a terminal, and elsewhere one for
/// programs.
pub(crate) fn format_of(settings: &Log) -> LogFormat {
    settings.format.unwrap_or(if io::stderr().is_terminal() { LogFormat::Short } else { LogFormat::Text })
}

/// Whether to use colours: on a terminal that has them, unless the user declines (no-color.org).
fn is_coloured(is_terminal: bool, variable: impl Fn(&str) -> Option<String>) -> bool {
    let is_set = |name: &str| variable(name).is_some_and(|value| !value.is_empty());
    is_terminal && !is_set("NO_COLOR") && variable("TERM").is_none_or(|term| term != "dumb")
}

/// Starts the process's log.
///
/// # Panics
/// If the log has been started already.
pub(crate) fn start(settings: &Log) -> RunningLog {
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(WAITING_LINE_COUNT_MAX)
        .thread_name("wharf-log")
        .finish(io::stderr());
    let errors = writer.error_counter();
    let is_coloured = is_coloured(io::stderr().is_terminal(), |name| std::env::var(name).ok());
    let line = Line::new(format_of(settings), is_coloured);
    let (subscriber, levels) = subscriber(settings, line, move || NonBlocking::clone(&writer));
    tracing::subscriber::set_global_default(subscriber).expect("the log is started once");
    std::panic::set_hook(Box::new(log_panic));
    RunningLog { errors, levels, _writer: guard }
}

/// Logs a panic like any other line: a direct write to standard error could block.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("without a message");
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(target: "wharf", place, "panic, which is a bug: {message}");
}

fn subscriber<W, M>(
    settings: &Log,
    line: Line,
    writer: M,
) -> (impl tracing::Subscriber + Send + Sync + use<W, M>, Levels)
where
    W: io::Write,
    M: Fn() -> W + Send + Sync + 'static,
{
    let (targets, handle) = reload::Layer::new(targets(settings));
    let layer = tracing_subscriber::fmt::layer().event_format(line).with_ansi(false).with_writer(writer);
    (tracing_subscriber::registry().with(targets).with(layer), Levels(handle))
}

/// The levels of these settings, by target.
fn targets(settings: &Log) -> Targets {
    let level = LevelFilter::from_level(settings.level);
    Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_targets(OWN_TARGETS.map(|target| (target, level)))
        .with_target(ACCESS, if settings.access { LevelFilter::INFO } else { LevelFilter::OFF })
}

#[cfg(test)]
mod tests;
