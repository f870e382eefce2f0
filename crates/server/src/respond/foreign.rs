//! Text of a client's in a message to people: bounded, and nothing in it acts on a terminal or ends a quotation.

/// The longest text that a message repeats, in bytes.
const BYTES_MAX: usize = 120;

/// The text in backticks: visible ASCII, anything else as `?`, cut where it is long.
pub fn foreign(text: &str) -> String {
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
    fn what_is_repeated_is_short_and_harmless() {
        assert_eq!(foreign("nvcr.io:5000"), "`nvcr.io:5000`");
        assert_eq!(foreign(""), "``");
        assert_eq!(foreign("a b`c\x1b[31m\u{202e}\r\n"), "`a?b?c?[31m?????`");
        let long = "x".repeat(BYTES_MAX + 1);
        assert_eq!(foreign(&long), format!("`{}...`", &long[1..]));
        assert_eq!(foreign(&long[1..]).len(), BYTES_MAX + 2);
    }
}
