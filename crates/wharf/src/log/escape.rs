//! Text that stays on its line, and is not too long for it.

use std::fmt::Write as _;

/// The longest text of one field, in bytes. What comes from clients is cut shorter where it comes in.
const FIELD_BYTES_MAX: usize = 1024;

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
