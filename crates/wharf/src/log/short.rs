//! Formats one event as one line for a person at a terminal.
//!
//! A request: `11:30:55Z hit          200 GET docker.io/library/alpine@sha256:fb25670cf427  1.1 MB in 1 ms
//! 192.168.1.20`. Other events: the time, the level from WARN up, the message and its fields, without the
//! module.

use std::fmt::{self, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use super::escape::{cut, escape};
use super::fields::Fields;
use crate::config::LogFormat;

/// The target of access lines, one for each request.
pub(super) const ACCESS: &str = "access";

/// The number of a digest's hex digits in a line: as many as Docker shows of an image's.
const DIGEST_SHOWN_COUNT: usize = 12;

/// The width of the longest outcome that is not a refusal.
const OUTCOME_WIDTH: usize = 11;

/// The colours of a terminal (ECMA-48, 8.3.117).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Colour {
    None,
    Red,
    Green,
    Yellow,
    Cyan,
    Dim,
}

impl Colour {
    fn code(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Red => "\u{1b}[31m",
            Self::Green => "\u{1b}[32m",
            Self::Yellow => "\u{1b}[33m",
            Self::Cyan => "\u{1b}[36m",
            Self::Dim => "\u{1b}[2m",
        }
    }
}

/// The line for `event`, which happened at `time`.
pub(super) fn write(writer: &mut dyn Write, event: &Event<'_>, time: &str, is_coloured: bool) -> fmt::Result {
    let paint = |colour: Colour, text: &str| match (is_coloured, colour) {
        (true, colour) if colour != Colour::None => format!("{}{text}\u{1b}[0m", colour.code()),
        _ => text.to_owned(),
    };
    write!(writer, "{} ", paint(Colour::Dim, time))?;
    if event.metadata().target() == ACCESS {
        let mut request = Request::default();
        event.record(&mut request);
        let outcome = format!("{:<OUTCOME_WIDTH$}", request.outcome);
        return writeln!(writer, "{} {request}", paint(request.colour(), &outcome));
    }
    let (name, colour) = match *event.metadata().level() {
        Level::ERROR => ("ERROR ", Colour::Red),
        Level::WARN => ("WARN ", Colour::Yellow),
        Level::INFO => ("", Colour::None),
        Level::DEBUG => ("DEBUG ", Colour::Dim),
        Level::TRACE => ("TRACE ", Colour::Dim),
    };
    let mut fields = Fields::new(LogFormat::Text);
    event.record(&mut fields);
    writeln!(writer, "{}{fields}", paint(colour, name))
}

/// The shown fields of one request.
#[derive(Debug, Default)]
struct Request {
    outcome: String,
    status: u64,
    method: String,
    registry: String,
    kind: String,
    repository: String,
    reference: String,
    path: String,
    bytes: u64,
    duration_ms: f64,
    end: String,
    client: String,
    detail: String,
    is_lost: bool,
}

impl Request {
    fn colour(&self) -> Colour {
        match (self.status, self.outcome.as_str()) {
            (499, _) => Colour::Dim,
            (400.., _) => Colour::Red,
            (_, "hit" | "revalidated") => Colour::Green,
            (_, "stale" | "bypass") => Colour::Yellow,
            (_, "miss" | "join") => Colour::Cyan,
            _ => Colour::None,
        }
    }

    /// The requested image or path, as a person would write it.
    fn subject(&self) -> String {
        if self.repository.is_empty() {
            return if self.path.is_empty() { self.registry.clone() } else { self.path.clone() };
        }
        let name = format!("{}/{}", self.registry, self.repository);
        let listed = match self.kind.as_str() {
            kind @ ("tags" | "referrers") => format!(" ({kind})"),
            _ => String::new(),
        };
        match self.reference.split_once(':') {
            Some((algorithm, hex)) => {
                let end = hex.floor_char_boundary(DIGEST_SHOWN_COUNT);
                format!("{name}@{algorithm}:{}{listed}", &hex[..end])
            }
            None if self.reference.is_empty() => format!("{name}{listed}"),
            None => format!("{name}:{}", self.reference),
        }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.status, self.method, self.subject())?;
        if self.bytes > 0 {
            write!(f, "  {}", size(self.bytes))?;
        }
        write!(f, " in {}", milliseconds(self.duration_ms))?;
        let ip = self.client.rsplit_once(':').map_or(self.client.as_str(), |(ip, _)| ip);
        write!(f, "  {ip}")?;
        if !matches!(self.end.as_str(), "complete" | "") && self.status != 499 {
            write!(f, "  {}", self.end)?;
        }
        if self.is_lost {
            f.write_str("  not kept")?;
        }
        if !self.detail.is_empty() {
            write!(f, "  {}", self.detail)?;
        }
        Ok(())
    }
}

/// The size in a unit for people.
fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 1000.0 {
            let digits = usize::from(unit != "B" && value < 10.0);
            return format!("{value:.digits$} {unit}");
        }
        value /= 1000.0;
    }
    format!("{value:.1} TB")
}

fn milliseconds(count: f64) -> String {
    if count < 9999.5 { format!("{count:.0} ms") } else { format!("{:.0} s", count / 1000.0) }
}

impl Visit for Request {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let place = match field.name() {
            "outcome" => &mut self.outcome,
            "method" => &mut self.method,
            "registry" => &mut self.registry,
            "kind" => &mut self.kind,
            "repository" => &mut self.repository,
            "reference" => &mut self.reference,
            "path" => &mut self.path,
            "end" => &mut self.end,
            "client" => &mut self.client,
            "detail" => &mut self.detail,
            _ => return,
        };
        place.clear();
        escape(place, cut(value), false);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "status" => self.status = value,
            "bytes" => self.bytes = value,
            _ => {}
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.record_u64(field, u64::try_from(value).unwrap_or_default());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if field.name() == "duration_ms" {
            self.duration_ms = value;
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        if field.name() == "kept" {
            self.is_lost = !value;
        }
    }
}
