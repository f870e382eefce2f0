//! Reads `Authorization` (RFC 9110, section 11.6.2): Basic (RFC 7617) and Bearer (RFC 6750).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secret::Secret;

/// The longest header that is read, in bytes.
pub(crate) const HEADER_BYTES_MAX: usize = 8 * 1024;

/// What a client presents.
#[derive(Debug)]
pub(crate) enum Presented {
    /// Nothing. Some clients send an empty user and password where they have none.
    Nothing,
    /// A user's name and password.
    Basic { user: Vec<u8>, password: Secret<Vec<u8>> },
    /// A bearer token.
    Bearer(Secret<Vec<u8>>),
    /// Something that cannot be read.
    Unreadable,
}

impl Presented {
    /// Reads the value of the header.
    pub(crate) fn read(header: &[u8]) -> Self {
        if header.len() > HEADER_BYTES_MAX {
            return Self::Unreadable;
        }
        let header = header.trim_ascii();
        if header.is_empty() {
            return Self::Nothing;
        }
        let Some(space) = header.iter().position(|byte| *byte == b' ') else { return Self::Unreadable };
        let (scheme, value) = (&header[..space], header[space..].trim_ascii());
        if scheme.eq_ignore_ascii_case(b"bearer") {
            return Self::Bearer(Secret::new(value.to_vec()));
        }
        if !scheme.eq_ignore_ascii_case(b"basic") {
            return Self::Unreadable;
        }
        let Ok(decoded) = STANDARD.decode(value) else { return Self::Unreadable };
        let Some(colon) = decoded.iter().position(|byte| *byte == b':') else { return Self::Unreadable };
        let (user, password) = (&decoded[..colon], &decoded[colon + 1..]);
        if user.is_empty() && password.is_empty() {
            return Self::Nothing;
        }
        Self::Basic { user: user.to_vec(), password: Secret::new(password.to_vec()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was read, in words.
    fn read(header: &[u8]) -> String {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match Presented::read(header) {
            Presented::Nothing => "nothing".to_owned(),
            Presented::Basic { user, password } => {
                format!("basic {} {}", text(&user), text(password.expose()))
            }
            Presented::Bearer(token) => format!("bearer {}", text(token.expose())),
            Presented::Unreadable => "unreadable".to_owned(),
        }
    }

    #[test]
    fn basic_and_bearer_are_read_and_all_else_is_unreadable() {
        let table: [(&[u8], &str); 14] = [
            (b"Basic YWxpY2U6cmlnaHQ=", "basic alice right"),
            (b"basic  YWxpY2U6cmlnaHQ= ", "basic alice right"),
            (b"BASIC YWxpY2U6YTpi", "basic alice a:b"),
            (b"Bearer abc.def", "bearer abc.def"),
            (b"bearer abc", "bearer abc"),
            // podman and skopeo send this where they have no login.
            (b"Basic Og==", "nothing"),
            (b"", "nothing"),
            (b"Basic OnJpZ2h0", "basic  right"),
            (b"Basic", "unreadable"),
            (b"Basic YWxpY2U", "unreadable"),
            (b"Basic YWxpY2U=", "unreadable"),
            (b"Basic !!!!", "unreadable"),
            (b"Digest username=\"alice\"", "unreadable"),
            (b"YWxpY2U6cmlnaHQ=", "unreadable"),
        ];
        for (header, expected) in table {
            assert_eq!(read(header), expected, "{}", String::from_utf8_lossy(header));
        }
        assert_eq!(read(&[&b"Bearer "[..], &[b'x'; HEADER_BYTES_MAX]].concat()), "unreadable");
    }

    #[test]
    fn s28_debug_output_shows_no_password_and_no_token() {
        for header in [&b"Basic YWxpY2U6cmlnaHQ="[..], b"Bearer right"] {
            let shown = format!("{:?}", Presented::read(header));
            assert!(!shown.contains("right") && !shown.contains("114"), "{shown}");
        }
    }
}
