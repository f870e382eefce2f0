//! Formats one event as one line.
//!
//! Text: `2026-01-31T12:00:00.000000Z  INFO access: request outcome=hit status=200 user_agent="curl 8"`.
//! JSON: an object with `time`, `level`, `module` and the event's fields. Short: see [`short`]. Every format
//! escapes control characters and cuts fields at `FIELD_BYTES_MAX`.

use std::fmt;

use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::fields::Fields;
use super::short;
use crate::config::LogFormat;

/// The format of every line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    format: LogFormat,
    /// Whether the short format uses colours.
    is_coloured: bool,
}

impl Line {
    pub(super) fn new(format: LogFormat, is_coloured: bool) -> Self {
        Self { format, is_coloured }
    }
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let about = event.metadata();
        let mut fields = Fields::new(self.format);
        match self.format {
            LogFormat::Short => {
                let mut time = String::new();
                SystemTime.format_time(&mut Writer::new(&mut time))?;
                short::write(&mut writer, event, &time_of_day(&time), self.is_coloured)
            }
            LogFormat::Text => {
                event.record(&mut fields);
                SystemTime.format_time(&mut writer)?;
                writeln!(writer, " {:>5} {}: {fields}", about.level(), about.target())
            }
            LogFormat::Json => {
                event.record(&mut fields);
                writer.write_str("{\"time\":\"")?;
                SystemTime.format_time(&mut writer)?;
                let level = about.level().as_str().to_ascii_lowercase();
                write!(writer, "\",\"level\":\"{level}\",\"module\":\"{}\"", about.target())?;
                writeln!(writer, "{}{}}}", fields.message, fields.rest)
            }
        }
    }
}

/// `12:00:00Z` of `2026-01-31T12:00:00.000000Z`.
fn time_of_day(time: &str) -> String {
    let clock = time.split_once('T').map_or(time, |(_, clock)| clock);
    format!("{}Z", clock.split(['.', 'Z']).next().unwrap_or(clock))
}
