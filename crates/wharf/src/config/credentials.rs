//! The credentials of one registry: a user name with its password, a certificate with its key.
//!
//! Both halves come from one table: a user name in `[[registry]]` is never combined with a password of
//! `[defaults]`.

use secret::Secret;

use super::keys::registry as keys;
use super::reader::{Reader, Text};
use super::table::Table;

const LOGIN: [&str; 3] = [keys::USERNAME.name, keys::PASSWORD.name, keys::PASSWORD_FILE.name];
const IDENTITY: [&str; 2] = [keys::CLIENT_CERT.name, keys::CLIENT_KEY.name];

impl Reader<'_> {
    /// The user name and the password. Both empty, as `${VAR:-}` may leave them, mean anonymous.
    pub(crate) fn login(&mut self, table: &Table<'_>) -> Option<(String, Secret<String>)> {
        let table = table.holding(&LOGIN);
        let username = keys::USERNAME.read(self, &table).map(without_line_end);
        let password = if table.has("password_file") {
            keys::PASSWORD_FILE.read(self, &table)
        } else {
            let password = keys::PASSWORD.read(self, &table).map(without_line_end);
            password.map(|password| {
                self.warn_of_blanks(&password.place, &password.value);
                Secret::new(password.value)
            })
        };
        if !self.is_whole_login(&table) {
            return None;
        }
        let (username, password) = (username?, password?);
        let wrong = match (username.value.is_empty(), password.expose().is_empty()) {
            (true, true) => return None,
            (true, false) => "is empty, but there is a password; give both, or neither",
            (false, true) => "has an empty password; give both, or neither",
            (false, false) if username.value.contains(|c: char| c == ':' || c.is_control()) => {
                "contains \":\" or a control character, which HTTP Basic credentials cannot carry; correct it"
            }
            (false, false) if password.expose().contains(char::is_control) => {
                "has a password that contains a line end or another control character; correct the password"
            }
            (false, false) => return Some((username.value, password)),
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
        for key in ["username", "client_cert"] {
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
