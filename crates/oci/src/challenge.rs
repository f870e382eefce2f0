//! Authentication challenges (RFC 9110, section 11.6.1): the value of `WWW-Authenticate`.
//!
//! Upstreams write them loosely: several challenges in one header, odd spacing, schemes in any case. The
//! parser skips text that it cannot read and uses the rest.

/// The most challenges read from one header; an upstream has at most three in practice.
const CHALLENGE_COUNT_MAX: usize = 16;

/// A challenge of a scheme that wharf can answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// `Basic` (RFC 7617).
    Basic {
        /// The protection space, for people to read.
        realm: Option<String>,
    },
    /// `Bearer`, as registries use it: a token is fetched from `realm`.
    Bearer {
        /// URL of the token service, as written. It is foreign text: `policy::realm` decides whether
        /// credentials may go there.
        realm: String,
        /// The `service` to name in the token request.
        service: Option<String>,
        /// The `scope` to name in the token request.
        scope: Option<String>,
        /// Why the last token was refused, such as `invalid_token` or `insufficient_scope` (RFC 6750, section
        /// 3).
        error: Option<String>,
    },
}

impl Challenge {
    /// Returns every challenge in `header` that wharf can answer, in the order written. It skips other
    /// schemes, a `Bearer` without a realm, and text outside the grammar.
    pub fn parse_all(header: &str) -> Vec<Self> {
        let mut reader = Reader { rest: header };
        let mut challenges = Vec::new();
        while challenges.len() < CHALLENGE_COUNT_MAX {
            reader.skip_separators();
            if reader.rest.is_empty() {
                break;
            }
            match reader.read_token() {
                Some(scheme) => {
                    challenges.extend(reader.read_parameters().and_then(|it| it.challenge(scheme)))
                }
                None => reader.skip_element(),
            }
        }
        challenges
    }
}

/// The parameters of one challenge that matter here; the first of each name counts.
#[derive(Default)]
struct Parameters {
    realm: Option<String>,
    service: Option<String>,
    scope: Option<String>,
    error: Option<String>,
}

impl Parameters {
    fn set(&mut self, name: &str, value: String) {
        let slot = match name.to_ascii_lowercase().as_str() {
            "realm" => &mut self.realm,
            "service" => &mut self.service,
            "scope" => &mut self.scope,
            "error" => &mut self.error,
            _ => return,
        };
        slot.get_or_insert(value);
    }

    fn challenge(self, scheme: &str) -> Option<Challenge> {
        if scheme.eq_ignore_ascii_case("basic") {
            Some(Challenge::Basic { realm: self.realm })
        } else if scheme.eq_ignore_ascii_case("bearer") {
            let realm = self.realm?;
            Some(Challenge::Bearer { realm, service: self.service, scope: self.scope, error: self.error })
        } else {
            None
        }
    }
}

/// A cursor over the header.
struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    fn skip_separators(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', ',']);
    }

    /// Skips the rest of this list element, up to the next comma.
    fn skip_element(&mut self) {
        self.rest = self.rest.find(',').map_or("", |comma| &self.rest[comma..]);
    }

    fn read_while(&mut self, is_wanted: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|character| !is_wanted(character)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn read_token(&mut self) -> Option<&'a str> {
        Some(self.read_while(is_token)).filter(|token| !token.is_empty())
    }

    /// Reads the parameters behind a scheme. `None` means that they are outside the grammar and the challenge
    /// is dropped. (The bare value of `Negotiate` and similar schemes reads as an unknown parameter or
    /// scheme.)
    fn read_parameters(&mut self) -> Option<Parameters> {
        let mut parameters = Parameters::default();
        loop {
            let before = self.rest;
            self.skip_separators();
            let Some(name) = self.read_token() else {
                if self.rest.is_empty() {
                    return Some(parameters);
                }
                self.skip_element();
                return None;
            };
            self.skip_blanks();
            let Some(value) = self.rest.strip_prefix('=') else {
                // A token without a value is the scheme of the next challenge.
                self.rest = before;
                return Some(parameters);
            };
            self.rest = value;
            self.skip_blanks();
            // A value that runs into other text has lost a quote: skip everything up to the next comma.
            let value =
                self.read_value().filter(|_| self.rest.is_empty() || self.rest.starts_with([' ', '\t', ',']));
            let Some(value) = value else {
                self.skip_element();
                return None;
            };
            parameters.set(name, value);
        }
    }

    fn read_value(&mut self) -> Option<String> {
        let Some(quoted) = self.rest.strip_prefix('"') else {
            // Realms are URLs, and some upstreams write them without the quotes that the grammar asks for.
            let value = self.read_while(|character| !matches!(character, ' ' | '\t' | ',' | '"'));
            return Some(value.to_owned()).filter(|value| !value.is_empty());
        };
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        while let Some((index, character)) = characters.next() {
            match character {
                '"' => {
                    self.rest = &quoted[index + 1..];
                    return Some(value);
                }
                '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
                other => value.push(other),
            }
        }
        // The quote never closes, so a comma behind it need not separate two challenges.
        self.rest = "";
        None
    }
}

/// `tchar` (RFC 9110, section 5.6.2).
fn is_token(character: char) -> bool {
    character.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(character)
}

#[cfg(test)]
mod tests;
