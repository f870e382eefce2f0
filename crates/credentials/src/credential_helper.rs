//! Docker credential helpers: `docker-credential-<name> get`.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use secret::Secret;
use serde::Deserialize;

use crate::document;
use crate::failure::Failure;
use crate::login::Login;
use crate::process::{self, ProcessSettings};
use crate::registry_key::Target;
use crate::source::{Grant, Question, Source};

/// The time for which a helper's login is used before the helper is asked again. Helpers state no end, and
/// those of cloud registries renew in time before it.
pub(crate) const HELPER_RECHECK: Duration = Duration::from_secs(10 * 60);

/// The text by which helpers say that they have no login. It stands on their standard output.
const NOT_FOUND: &str = "credentials not found in native keychain";

/// A helper's answer.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: Secret<String>,
}

/// A helper that is asked about one registry.
#[derive(Debug)]
pub(crate) struct Helper {
    pub(crate) process: ProcessSettings,
    pub(crate) target: Target,
}

#[async_trait]
impl Source for Helper {
    async fn ask(&self, _: Question) -> Result<Grant, Failure> {
        let login = ask(&self.process, &self.target.helper_keys()).await?;
        Ok(Grant::until_next_look(login, HELPER_RECHECK))
    }
}

/// The program of the helper called `name`.
///
/// # Errors
/// A [`Failure`] for a name with a path in it: a `config.json` must not name any program of the machine.
pub fn program(name: &str) -> Result<PathBuf, Failure> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_plain) {
        return Err(Failure::new("names a credential helper that is no plain word"));
    }
    Ok(PathBuf::from(format!("docker-credential-{name}")))
}

/// Asks the helper for each of `keys` until it has a login; `None` if it has none.
///
/// # Errors
/// Those of the program; a [`Failure`] for an answer that cannot be used.
pub(crate) async fn ask(settings: &ProcessSettings, keys: &[String]) -> Result<Option<Login>, Failure> {
    let settings = ProcessSettings { arguments: vec!["get".to_owned()], ..settings.clone() };
    for key in keys {
        let output = process::run(&settings, key.clone().into_bytes()).await?;
        if output.status.success() {
            let answer: Answer = document::parse(output.stdout.expose(), "a helper's answer")?;
            return Login::password(&answer.username, answer.secret.expose()).map(Some);
        }
        if !String::from_utf8_lossy(output.stdout.expose()).contains(NOT_FOUND) {
            return Err(process::refusal(&settings, output.status));
        }
    }
    Ok(None)
}
