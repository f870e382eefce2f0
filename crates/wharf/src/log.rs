//! The log: one line per event on standard error, written by a thread of its own.
//!
//! Whoever serves a request never waits for whoever reads the log: lines that cannot be written are dropped
//! and counted. Whatever a client or an upstream sends stays within one line and without power over a
//! terminal.

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

/// Lines that wait for a slow reader, a few megabytes at most.
const WAITING_LINE_COUNT_MAX: usize = 8192;

/// Our own crates. Others are heard from level warn up only: at a finer one they would print requests with
/// what authorises them.
const OWN_TARGETS: [&str; 5] = ["wharf", "server", "cache", "storage", "upstream"];

/// The log in use. Dropping it writes what waits, as far as somebody reads.
#[must_use]
pub(crate) struct RunningLog {
    errors: ErrorCounter,
    levels: Levels,
    _writer: WorkerGuard,
}

/// Changes which lines the running log takes.
#[derive(Clone)]
pub(crate) struct Levels(reload::Handle<Targets, Registry>);

impl Levels {
    /// Takes the lines that `settings` want from now on. The shape of lines stays.
    pub(crate) fn set(&self, settings: &Log) {
        // It fails only when there is no log any more.
        let _ = self.0.reload(targets(settings));
    }
}

impl RunningLog {
    /// What tells how many lines were dropped so far.
    pub(crate) fn dropped_lines(&self) -> impl Fn() -> u64 + Send + Sync + 'static {
        let errors = self.errors.clone();
        move || errors.dropped_lines() as u64
    }

    /// What changes which lines are written.
    pub(crate) fn levels(&self) -> Levels {
        self.levels.clone()
    }
}

/// The shape of the lines that this process writes: as set, else one for people on a terminal, and one that programs
/// can take apart elsewhere.
pub(crate) fn format_of(settings: &Log) -> LogFormat {
    settings.format.unwrap_or(if io::stderr().is_terminal() { LogFormat::Short } else { LogFormat::Text })
}

/// Whether colours may be used: on a terminal that has them, for somebody who wants them (no-color.org).
fn is_coloured(is_terminal: bool, variable: impl Fn(&str) -> Option<String>) -> bool {
    let is_set = |name: &str| variable(name).is_some_and(|value| !value.is_empty());
    is_terminal && !is_set("NO_COLOR") && variable("TERM").is_none_or(|term| term != "dumb")
}

/// Starts the process's log.
///
/// # Panics
/// When there is one already.
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

/// A panic goes the way of every other line: written straight to standard error, it could wait for a reader.
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

/// The lines that these settings want.
fn targets(settings: &Log) -> Targets {
    let level = LevelFilter::from_level(settings.level);
    Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_targets(OWN_TARGETS.map(|target| (target, level)))
        .with_target(ACCESS, if settings.access { LevelFilter::INFO } else { LevelFilter::OFF })
}

#[cfg(test)]
mod tests;
