//! Reads `Authorization` (RFC 9110, section 11.6.2): Basic (RFC 7617) and Bearer (RFC 6750).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secret::Secret;

/// The longest header that is read, in bytes.
pub(crate) const HEADER_BYTES_MAX: usize = 8 * 1024;

/// A client's login as the header has it.
#[derive(Debug)]
pub(crate) enum Presented<'a> {
    /// Nothing. Some clients send an empty user and password where they have none.
    Nothing,
    /// A user's name and password.
    Basic(UserPass),
    /// A bearer token.
    Bearer(Secret<&'a [u8]>),
    /// Something that cannot be read.
    Unreadable,
}

/// A user's name and password, as `user:password`.
#[derive(Debug)]
pub(crate) struct UserPass {
    text: Secret<Vec<u8>>,
    /// The position of the first colon: a name has none.
    colon: usize,
}

impl UserPass {
    /// `None` without a colon, and with a NUL: bcrypt ends a password there, so one password would have many
    /// forms, and RFC 7617 (section 2) forbids it.
    fn read(text: Vec<u8>) -> Option<Self> {
        let colon = text.iter().position(|byte| *byte == b':')?;
        (!text.contains(&0)).then(|| Self { text: Secret::new(text), colon })
    }

    pub(crate) fn user(&self) -> &[u8] {
        &self.text.expose()[..self.colon]
    }

    pub(crate) fn password(&self) -> &[u8] {
        &self.text.expose()[self.colon + 1..]
    }

    /// The same for every form in which a client can send this login: `user:password`, with at most
    /// `password_bytes_max` of the password.
    pub(crate) fn canonical(&self, password_bytes_max: usize) -> &[u8] {
        let text = self.text.expose();
        &text[..text.len().min(self.colon + 1 + password_bytes_max)]
    }
}

impl<'a> Presented<'a> {
    /// Reads the value of the header.
    pub(crate) fn read(header: &'a [u8]) -> Self {
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
            return Self::Bearer(Secret::new(value));
        }
        if !scheme.eq_ignore_ascii_case(b"basic") {
            return Self::Unreadable;
        }
        match STANDARD.decode(value).ok().and_then(UserPass::read) {
            Some(login) if login.user().is_empty() && login.password().is_empty() => Self::Nothing,
            Some(login) => Self::Basic(login),
            None => Self::Unreadable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads the header and puts the result in words.
    fn read(header: &[u8]) -> String {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match Presented::read(header) {
            Presented::Nothing => "nothing".to_owned(),
            Presented::Basic(login) => format!("basic {} {}", text(login.user()), text(login.password())),
            Presented::Bearer(token) => format!("bearer {}", text(token.expose())),
            Presented::Unreadable => "unreadable".to_owned(),
        }
    }

    #[test]
    fn basic_and_bearer_are_read_and_all_else_is_unreadable() {
        let table: [(&[u8], &str); 16] = [
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
            // `right`, NUL, `right`: bcrypt takes it for `right`.
            (b"Basic YWxpY2U6cmlnaHQAcmlnaHQ=", "unreadable"),
            (b"Basic AAAA", "unreadable"),
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
