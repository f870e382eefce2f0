//! Logins of a docker `config.json`, and of Kubernetes pull secrets, which have the same form.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use aws_lc_rs::digest::{Digest, SHA256, digest};
use parking_lot::Mutex;
use policy::renewal::REFUSAL_INTERVAL;
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
    /// The settings to run the helpers that the file names; `None` for a pull secret, which must not start
    /// programs.
    pub(crate) helpers: Option<ProcessSettings>,
    asked: Mutex<Asked>,
}

/// The questions to helpers so far.
#[derive(Debug, Default)]
struct Asked {
    answer: Option<HelperAnswer>,
    /// The time of the last start of a helper.
    run_at: Option<Instant>,
}

/// The last answer of a helper.
#[derive(Debug)]
struct HelperAnswer {
    /// The hash of the file that named the helper.
    file: Digest,
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

    /// The login of a helper. The same file within [`HELPER_RECHECK`] gets the same answer, and after a
    /// refusal within [`REFUSAL_INTERVAL`]: the file is cheap to read, and a helper is a program.
    async fn ask_helper(
        &self,
        file: &[u8],
        question: Question,
        settings: &ProcessSettings,
        keys: &[String],
    ) -> Result<Option<Login>, Failure> {
        let file = digest(&SHA256, file);
        {
            let mut asked = self.asked.lock();
            let is_current = |answer: &&HelperAnswer| {
                let is_recent = match question {
                    Question::Due => answer.at.elapsed() < HELPER_RECHECK,
                    Question::Refused => asked.run_at.is_some_and(|at| at.elapsed() < REFUSAL_INTERVAL),
                };
                answer.file.as_ref() == file.as_ref() && is_recent
            };
            if let Some(answer) = asked.answer.as_ref().filter(is_current) {
                return Ok(answer.login.clone());
            }
            asked.run_at = Some(Instant::now());
        }
        let login = credential_helper::ask(settings, keys).await?;
        self.asked.lock().answer = Some(HelperAnswer { file, login: login.clone(), at: Instant::now() });
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
            login = self.ask_helper(&file, question, &settings, &keys).await?;
        }
        if login.is_none() {
            login = config.entry(&self.target)?;
        }
        Ok(Grant::until_next_look(login, FILE_RECHECK))
    }
}

#[cfg(test)]
mod tests;
