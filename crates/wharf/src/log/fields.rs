//! The fields of one event.

use std::fmt::{self, Write as _};

use telemetry::error_chain;
use tracing::field::{Field, Visit};

use super::escape::{cut, escape};
use crate::config::LogFormat;

/// The fields of one event in the order of the event, with the message in front.
pub(super) struct Fields {
    format: LogFormat,
    pub(super) message: String,
    pub(super) rest: String,
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
        self.put_text(field, &error_chain(value));
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

/// Whether a value needs no quotes.
fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|c| !c.is_control() && !c.is_whitespace() && !matches!(c, '"' | '=' | '\\'))
}

fn quote(out: &mut String, text: &str) {
    out.push('"');
    escape(out, cut(text), true);
    out.push('"');
}
