//! Files of bearer tokens: one `name:token` or `name:sha256:<hex>` on each line.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::{LINE_COUNT_MAX, LineError, entries, is_name};

/// The shortest token accepted, in bytes: a token is hashed once, so it must be too long to guess.
const TOKEN_BYTES_MIN: usize = 20;

/// The longest token accepted, in bytes.
const TOKEN_BYTES_MAX: usize = 4096;

/// The advice on how to make a token.
const ADVICE: &str = "make a token with `openssl rand -hex 32`";

/// The tokens of a file, by their hashes. A comparison of hashes tells nothing of a token, however long it
/// takes.
pub struct Tokens {
    tokens: HashMap<[u8; 32], Arc<str>>,
    fingerprint: [u8; 32],
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("count", &self.tokens.len()).finish_non_exhaustive()
    }
}

impl Tokens {
    /// Parses a file.
    ///
    /// # Errors
    /// Every line that cannot be used. No text repeats a token.
    pub fn parse(text: &str) -> Result<Self, Vec<LineError>> {
        let (mut tokens, mut errors) = (HashMap::new(), Vec::new());
        for (line, entry) in entries(text) {
            match parse_line(entry) {
                Ok((name, hash)) => {
                    if let Some(other) = tokens.insert(hash, Arc::<str>::from(name)) {
                        let text = format!("{name:?} and {other:?} are the same token; {ADVICE}");
                        errors.push(LineError { line, text });
                    }
                }
                Err(text) => errors.push(LineError { line, text }),
            }
            if tokens.len() > LINE_COUNT_MAX {
                errors.push(LineError {
                    line,
                    text: format!("more than {LINE_COUNT_MAX} tokens; divide the file"),
                });
                break;
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self { tokens, fingerprint: Sha256::digest(text).into() })
    }

    /// Whether the file has no token.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    pub(crate) fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }

    /// The name of a token that the file has.
    pub(crate) fn name_of(&self, token: &[u8]) -> Option<&Arc<str>> {
        let hash: [u8; 32] = Sha256::digest(token).into();
        self.tokens.get(&hash)
    }
}

fn parse_line(line: &str) -> Result<(&str, [u8; 32]), String> {
    let Some((name, token)) = line.split_once(':') else {
        return Err(format!("there is no colon; a line reads name:token or name:sha256:<hex>; {ADVICE}"));
    };
    if !is_name(name) {
        return Err("the token's name is empty, too long, or has a control character; correct it".to_owned());
    }
    let token = token.trim_end();
    if let Some(hex) = token.strip_prefix("sha256:") {
        let hash = parse_hex(hex).ok_or_else(|| {
            let make = "`printf %s TOKEN | sha256sum` prints it";
            format!("the hash of {name:?} has not 64 digits of hexadecimal; {make}")
        })?;
        return Ok((name, hash));
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("the token {name:?} has blanks or characters beyond ASCII; {ADVICE}"));
    }
    match token.len() {
        0..TOKEN_BYTES_MIN => Err(format!(
            "the token {name:?} is shorter than {TOKEN_BYTES_MIN} characters, so it can be guessed; {ADVICE}"
        )),
        TOKEN_BYTES_MIN..=TOKEN_BYTES_MAX => Ok((name, Sha256::digest(token).into())),
        _ => Err(format!("the token {name:?} is longer than {TOKEN_BYTES_MAX} characters; {ADVICE}")),
    }
}

fn parse_hex(hex: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> =
        hex.chars().map(|c| c.to_digit(16).and_then(|it| u8::try_from(it).ok())).collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    bytes.try_into().ok().filter(|_| hex.len() == 64)
}

#[cfg(test)]
mod tests;
