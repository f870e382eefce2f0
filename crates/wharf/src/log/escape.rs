//! Keeps a text on its line and within its bound.

use std::fmt::Write as _;

/// The bound on the text of one field, in bytes. Texts of clients were cut to less before.
const FIELD_BYTES_MAX: usize = 1024;

/// Escapes a text as JSON does (RFC 8259, section 7), and every other control character as well. Leaves
/// quotes and backslashes unescaped if the text has no quotes around it.
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

/// The start of `text` within the bound.
pub(super) fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(FIELD_BYTES_MAX)]
}
