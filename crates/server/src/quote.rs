//! Quotes a client's text in messages: bounded, and without characters that drive a terminal or end the
//! quote.

/// The longest quoted text, in bytes.
const BYTES_MAX: usize = 120;

/// Returns the text in backticks. Anything but visible ASCII becomes `?`, and a long text is cut.
pub fn quoted(text: &str) -> String {
    let is_plain = |byte: &u8| byte.is_ascii_graphic() && *byte != b'`';
    let shown: String = text
        .bytes()
        .take(BYTES_MAX)
        .map(|byte| if is_plain(&byte) { char::from(byte) } else { '?' })
        .collect();
    let mark = if text.len() > BYTES_MAX { "..." } else { "" };
    format!("`{shown}{mark}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_text_is_short_and_harmless() {
        assert_eq!(quoted("nvcr.io:5000"), "`nvcr.io:5000`");
        assert_eq!(quoted(""), "``");
        assert_eq!(quoted("a b`c\x1b[31m\u{202e}\r\n"), "`a?b?c?[31m?????`");
        let long = "x".repeat(BYTES_MAX + 1);
        assert_eq!(quoted(&long), format!("`{}...`", &long[1..]));
        assert_eq!(quoted(&long[1..]).len(), BYTES_MAX + 2);
    }
}
