//! A login at a registry.

use std::fmt;

use secret::Secret;

use crate::failure::Failure;

/// A login at a registry. It does not print its secret.
#[derive(Clone)]
pub enum Login {
    /// A user name and its password.
    Password {
        /// The name, without a colon.
        user: String,
        /// The password.
        password: Secret<String>,
    },
    /// A refresh token of the registry's token service (OAuth 2.0). The registry itself does not take it.
    IdentityToken(Secret<String>),
    /// A token that the registry itself takes.
    RegistryToken(Secret<String>),
}

/// The user name by which a docker credential helper marks an identity token.
const IDENTITY_TOKEN_USER: &str = "<token>";

impl Login {
    /// A user name and its password, or an identity token if the name is `<token>`.
    ///
    /// # Errors
    /// A [`Failure`] if HTTP cannot carry them, or one of them is empty.
    pub fn password(user: &str, password: &str) -> Result<Self, Failure> {
        if user.is_empty() || password.is_empty() {
            return Err(Failure::new("gave an empty user name or an empty password"));
        }
        if user == IDENTITY_TOKEN_USER {
            return Self::identity_token(password);
        }
        // RFC 7617, section 2: the password starts behind the first colon.
        if user.contains(|c: char| c == ':' || c.is_control()) || password.contains(char::is_control) {
            return Err(Failure::new(
                "gave a user name or a password with a character that HTTP cannot carry",
            ));
        }
        Ok(Self::Password { user: user.to_owned(), password: Secret::new(password.to_owned()) })
    }

    /// An identity token.
    ///
    /// # Errors
    /// A [`Failure`] if it is no token.
    pub fn identity_token(token: &str) -> Result<Self, Failure> {
        checked(token).map(Self::IdentityToken)
    }

    /// A token for the registry itself.
    ///
    /// # Errors
    /// A [`Failure`] if it is no token.
    pub fn registry_token(token: &str) -> Result<Self, Failure> {
        checked(token).map(Self::RegistryToken)
    }
}

fn checked(token: &str) -> Result<Secret<String>, Failure> {
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Failure::new("gave a token that HTTP cannot carry"));
    }
    Ok(Secret::new(token.to_owned()))
}

/// Compares logins of this process with each other, to see whether a source gave a new one.
impl PartialEq for Login {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Password { user, password },
                Self::Password { user: other_user, password: other_password },
            ) => user == other_user && password.expose() == other_password.expose(),
            (Self::IdentityToken(one), Self::IdentityToken(other))
            | (Self::RegistryToken(one), Self::RegistryToken(other)) => one.expose() == other.expose(),
            _ => false,
        }
    }
}

impl Eq for Login {}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password { user, .. } => write!(f, "Password({user:?}, ***)"),
            Self::IdentityToken(_) => f.write_str("IdentityToken(***)"),
            Self::RegistryToken(_) => f.write_str("RegistryToken(***)"),
        }
    }
}
