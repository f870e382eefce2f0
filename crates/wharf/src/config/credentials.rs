//! What one registry shows to its upstream: a user name with its password, a certificate with its key.
//!
//! Halves are taken from one table only: a user name in `[[registry]]` never meets a password of
//! `[defaults]`.

use secret::Secret;

use super::keys::registry as keys;
use super::reader::{Reader, Text};
use super::table::Table;

const LOGIN: [&str; 3] = [keys::USERNAME.name, keys::PASSWORD.name, keys::PASSWORD_FILE.name];
const IDENTITY: [&str; 2] = [keys::CLIENT_CERT.name, keys::CLIENT_KEY.name];

impl Reader<'_> {
    /// The user name and the password. Both empty, as `${VAR:-}` can leave them, mean anonymous.
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
                "holds \":\" or a control character, which no registry can tell from the password; correct it"
            }
            (false, false) if password.expose().contains(char::is_control) => {
                "has a password with a line end or another control character in it; correct the password"
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
            self.refuse(&place, "password is given as well; keep one of the two");
            return false;
        }
        if table.has("username") && !has_password {
            let place = self.place(table, "username");
            self.refuse(&place, "has no password beside it; add password or password_file, or leave it out");
        }
        if has_password && !table.has("username") {
            let key = if table.has("password") { "password" } else { "password_file" };
            let place = self.place(table, key);
            self.refuse(&place, "has no username beside it; add username, or leave it out");
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
                self.refuse(&place, format!("has no {other} beside it; add it, or leave {one} out"));
            }
        }
        let (mut identity, key) = (certificate?, key?);
        identity.push(b'\n');
        identity.extend(key);
        Some(Secret::new(identity))
    }

    /// Warns of what in `[defaults]` would be shown to every registry.
    pub(crate) fn warn_of_shared_credentials(&mut self, defaults: &Table<'_>) {
        for key in ["username", "client_cert"] {
            if defaults.has(key) {
                let place = self.place(defaults, key);
                let text = "goes to every registry that sets none of its own; \
                            move it to the [[registry]] that it belongs to";
                self.warn(&place, text);
            }
        }
    }
}

/// A variable that was made from a file, as a secret of Kubernetes is, often ends as the file does.
fn without_line_end(mut text: Text) -> Text {
    text.value.truncate(text.value.trim_end_matches(['\r', '\n']).len());
    text
}
