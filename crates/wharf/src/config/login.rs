//! The credentials of one registry: its logins, a certificate with its key.
//!
//! Both halves come from one table: a user name in `[[registry]]` is never combined with a password of
//! `[defaults]`, nor with its `credentials`.

use std::path::PathBuf;

use credentials::{Login, Rule, Settings, SourceSettings};
use secret::Secret;

use super::keys::registry as keys;
use super::reader::{Reader, Text};
use super::table::Table;

const LOGIN: [&str; 4] =
    [keys::USERNAME.name, keys::PASSWORD.name, keys::PASSWORD_FILE.name, keys::CREDENTIALS.name];
const IDENTITY: [&str; 2] = [keys::CLIENT_CERT.name, keys::CLIENT_KEY.name];

/// Tells whether a source knows the logins of many registries, and gives each registry its own.
fn is_for_many(source: &str) -> bool {
    let kinds = ["docker-config", "pull-secret", "helper", "kubelet"];
    kinds.contains(&source.split(':').next().unwrap_or_default())
}

/// A password, or the file that holds it.
enum Password {
    Text(Secret<String>),
    File(PathBuf),
}

impl Reader<'_> {
    /// Where the logins of a registry come from: the rules of `credentials`, and then `username`.
    pub(crate) fn credentials(&mut self, table: &Table<'_>) -> Settings {
        let table = table.holding(&LOGIN);
        let mut rules = keys::CREDENTIALS.read(self, &table).unwrap_or_default();
        let has_login = LOGIN[..3].iter().any(|key| table.has(key));
        if has_login && let Some(source) = self.login(&table) {
            rules.push((self.place(&table, keys::USERNAME.name), Rule { pattern: None, source }));
        }
        let for_all = rules.iter().position(|(_, rule)| rule.pattern.is_none()).unwrap_or(rules.len());
        for (place, _) in rules.iter().skip(for_all + 1) {
            let wrong = "is never used, because the rule before it is for every repository; give that one a match, \
                         or leave one of them out";
            self.refuse(place, wrong);
        }
        Settings { rules: rules.into_iter().map(|(_, rule)| rule).collect() }
    }

    /// The user name and the password. Both empty, as `${VAR:-}` may leave them, mean anonymous.
    pub(crate) fn login(&mut self, table: &Table<'_>) -> Option<SourceSettings> {
        let username = keys::USERNAME.read(self, table).map(without_line_end);
        let password = if table.has("password_file") {
            keys::PASSWORD_FILE.read(self, table).map(Password::File)
        } else {
            let password = keys::PASSWORD.read(self, table).map(without_line_end);
            password.map(|password| {
                self.warn_of_blanks(&password.place, &password.value);
                Password::Text(Secret::new(password.value))
            })
        };
        if !self.is_whole_login(table) {
            return None;
        }
        let (username, password) = (username?, password?);
        let text = match &password {
            Password::Text(text) => Some(text.expose().as_str()),
            Password::File(_) => None,
        };
        let wrong = match (username.value.is_empty(), text.is_some_and(str::is_empty)) {
            (true, true) => return None,
            (true, false) => "is empty, but there is a password; give both, or neither",
            (false, true) => "has an empty password; give both, or neither",
            (false, false) if username.value.contains(|c: char| c == ':' || c.is_control()) => {
                "contains \":\" or a control character, which HTTP Basic credentials cannot carry; correct it"
            }
            (false, false) if text.is_some_and(|text| text.contains(char::is_control)) => {
                "has a password that contains a line end or another control character; correct the password"
            }
            (false, false) => {
                let user = username.value;
                return Some(match password {
                    Password::Text(password) => SourceSettings::Fixed(Login::Password { user, password }),
                    Password::File(path) => SourceSettings::PasswordFile { user, path },
                });
            }
        };
        self.refuse(&username.place, wrong);
        None
    }

    fn is_whole_login(&mut self, table: &Table<'_>) -> bool {
        let has_password = table.has("password") || table.has("password_file");
        if table.has("password") && table.has("password_file") {
            let place = self.place(table, "password_file");
            self.refuse(&place, "password is set as well; keep one of the two");
            return false;
        }
        if table.has("username") && !has_password {
            let place = self.place(table, "username");
            self.refuse(&place, "has no password; add password or password_file, or leave username out");
        }
        if has_password && !table.has("username") {
            let key = if table.has("password") { "password" } else { "password_file" };
            let place = self.place(table, key);
            self.refuse(&place, "has no username; add username, or leave this key out");
        }
        table.has("username") && has_password
    }

    /// The certificate and its key, both in PEM form, one after the other.
    pub(crate) fn identity(&mut self, table: &Table<'_>) -> Option<Secret<Vec<u8>>> {
        let table = table.holding(&IDENTITY);
        let certificate = keys::CLIENT_CERT.read(self, &table);
        let key = keys::CLIENT_KEY.read(self, &table);
        for (one, other) in [("client_cert", "client_key"), ("client_key", "client_cert")] {
            if table.has(one) && !table.has(other) {
                let place = self.place(&table, one);
                self.refuse(&place, format!("needs {other} as well; add it, or leave {one} out"));
            }
        }
        let (mut identity, key) = (certificate?, key?);
        identity.push(b'\n');
        identity.extend(key);
        Some(Secret::new(identity))
    }

    /// Warns of credentials in `[defaults]`, which every registry would receive.
    pub(crate) fn warn_of_shared_credentials(&mut self, defaults: &Table<'_>) {
        for key in ["username", "credentials", "client_cert"] {
            let source = defaults.peek(key).unwrap_or_default();
            if key == "credentials" && is_for_many(source) {
                continue;
            }
            if defaults.has(key) {
                let place = self.place(defaults, key);
                let text = "goes to every registry that does not set this key; \
                            move it to the [[registry]] that it belongs to";
                self.warn(&place, text);
            }
        }
    }
}

/// Removes the line end of a variable that was made from a file, such as a Kubernetes secret.
fn without_line_end(mut text: Text) -> Text {
    text.value.truncate(text.value.trim_end_matches(['\r', '\n']).len());
    text
}
