//! How one event becomes one line.
//!
//! Text: `2026-01-31T12:00:00.000000Z  INFO access: request outcome=hit status=200 user_agent="curl 8"`. JSON: an
//! object with `time`, `level`, `module` and the event's fields. Short: see [`short`]. Control characters are escaped
//! in all, and no field is longer than [`FIELD_BYTES_MAX`].

use std::fmt::{self, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::short;
use crate::config::LogFormat;

/// The longest text of one field, in bytes. What comes from clients is cut shorter where it comes in.
const FIELD_BYTES_MAX: usize = 1024;

/// The shape of every line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    format: LogFormat,
    /// Whether the short form may have colours.
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

/// The fields of one event, written as they come; the message goes in front of the others.
pub(super) struct Fields {
    format: LogFormat,
    message: String,
    rest: String,
}

impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.message, self.rest)
    }
}

impl Fields {
    pub(super) fn new(format: LogFormat) -> Self {
        Self { format, message: String::new(), rest: String::new() }
    }

    fn put_text(&mut self, field: &Field, text: &str) {
        let is_message = field.name() == "message";
        let out = if is_message { &mut self.message } else { &mut self.rest };
        match self.format {
            LogFormat::Text | LogFormat::Short if is_message => escape(out, cut(text), false),
            LogFormat::Text | LogFormat::Short => {
                out.push(' ');
                out.push_str(field.name());
                out.push('=');
                if is_plain(text) { out.push_str(cut(text)) } else { quote(out, text) }
            }
            LogFormat::Json => {
                out.push(',');
                quote(out, field.name());
                out.push(':');
                quote(out, text);
            }
        }
    }

    /// Numbers and flags need no quotes in either format.
    fn put_plain(&mut self, field: &Field, value: &dyn fmt::Display) {
        // Writing to a string does not fail.
        let _ = match self.format {
            LogFormat::Text | LogFormat::Short => write!(self.rest, " {}={value}", field.name()),
            LogFormat::Json => write!(self.rest, ",\"{}\":{value}", field.name()),
        };
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put_text(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put_text(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put_text(field, &value.to_string());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put_plain(field, &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put_plain(field, &value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put_plain(field, &value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.put_plain(field, &value);
        } else {
            self.put_plain(field, &"null");
        }
    }
}

/// Whether a value reads as one word.
fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|c| !c.is_control() && !c.is_whitespace() && !matches!(c, '"' | '=' | '\\'))
}

fn quote(out: &mut String, text: &str) {
    out.push('"');
    escape(out, cut(text), true);
    out.push('"');
}

/// Escapes as JSON does (RFC 8259, section 7), and beyond it every other control character. Without quotes
/// around it, a text keeps its quotes as they are.
pub(super) fn escape(out: &mut String, text: &str, is_quoted: bool) {
    for c in text.chars() {
        match c {
            '"' if is_quoted => out.push_str("\\\""),
            '\\' if is_quoted => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                // Every control character has at most 16 bits. Writing to a string does not fail.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
}

/// The longest beginning of `text` within the bound.
pub(super) fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(FIELD_BYTES_MAX)]
}
