//! Logins of a docker `config.json`, and of Kubernetes pull secrets, which have the same form.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use parking_lot::Mutex;
use secret::Secret;
use tokio::time::Instant;

use crate::credential_helper::{self, HELPER_RECHECK};
use crate::document::DockerConfig;
use crate::failure::Failure;
use crate::files::{self, FILE_RECHECK};
use crate::login::Login;
use crate::process::ProcessSettings;
use crate::registry_key::Target;
use crate::source::{Grant, Question, Source};

/// The names of the file in a mounted pull secret, and in a docker configuration directory.
const NAMES: [&str; 3] = [".dockerconfigjson", ".dockercfg", "config.json"];

/// A file of logins, which may change at any time.
#[derive(Debug)]
pub(crate) struct DockerConfigFile {
    /// The file, or the directory that holds it.
    pub(crate) path: PathBuf,
    pub(crate) target: Target,
    /// How to run the helpers that the file names; `None` for a pull secret, which must not start programs.
    pub(crate) helpers: Option<ProcessSettings>,
    /// The last answer of a helper.
    asked: Mutex<Option<HelperAnswer>>,
}

#[derive(Clone, Debug)]
struct HelperAnswer {
    /// The file that named the helper.
    file: Secret<Vec<u8>>,
    login: Option<Login>,
    at: Instant,
}

impl DockerConfigFile {
    pub(crate) fn new(path: PathBuf, target: Target, helpers: Option<ProcessSettings>) -> Self {
        Self { path, target, helpers, asked: Mutex::default() }
    }

    async fn read(&self) -> Result<Vec<u8>, Failure> {
        let path = self.path.clone();
        let within = |path: &Path| NAMES.iter().map(|name| path.join(name)).find(|path| path.is_file());
        let found = tokio::task::spawn_blocking(move || match path.is_dir() {
            true => within(&path).ok_or_else(|| {
                Failure::new(format!("the directory {} has no {}", path.display(), NAMES.join(", no ")))
            }),
            false => Ok(path),
        });
        let path = found.await.unwrap_or_else(|_| Err(Failure::new("could not be read")))?;
        files::read(&path).await
    }

    /// The login of a helper. The same file within [`HELPER_RECHECK`] gets the same answer, unless the
    /// registry refused that.
    async fn ask_helper(
        &self,
        file: Vec<u8>,
        question: Question,
        settings: &ProcessSettings,
        keys: &[String],
    ) -> Result<Option<Login>, Failure> {
        let kept = self.asked.lock().clone();
        let is_same = |kept: &HelperAnswer| {
            *kept.file.expose() == file && kept.at.elapsed() < HELPER_RECHECK && question == Question::Due
        };
        if let Some(kept) = kept.filter(is_same) {
            return Ok(kept.login);
        }
        let login = credential_helper::ask(settings, keys).await?;
        let answer = HelperAnswer { file: Secret::new(file), login: login.clone(), at: Instant::now() };
        *self.asked.lock() = Some(answer);
        Ok(login)
    }
}

#[async_trait]
impl Source for DockerConfigFile {
    async fn ask(&self, question: Question) -> Result<Grant, Failure> {
        let file = self.read().await?;
        let config = DockerConfig::read(&file)?;
        let mut login = None;
        if let Some(settings) = &self.helpers
            && let Some((name, keys)) = config.helper(&self.target)
        {
            let settings = ProcessSettings { program: credential_helper::program(name)?, ..settings.clone() };
            login = self.ask_helper(file, question, &settings, &keys).await?;
        }
        if login.is_none() {
            login = config.entry(&self.target)?;
        }
        Ok(Grant::until_next_look(login, FILE_RECHECK))
    }
}

#[cfg(test)]
mod tests;
