//! A user name, and a file with its password.

use std::path::PathBuf;

use async_trait::async_trait;

use crate::failure::Failure;
use crate::files::{self, FILE_RECHECK};
use crate::login::Login;
use crate::source::{Grant, Question, Source};

/// A user name, and the file with its password, which may change at any time.
#[derive(Debug)]
pub(crate) struct PasswordFile {
    pub(crate) user: String,
    pub(crate) path: PathBuf,
}

#[async_trait]
impl Source for PasswordFile {
    async fn ask(&self, _: Question) -> Result<Grant, Failure> {
        let password = files::read_line(&self.path).await?;
        let login = Login::password(&self.user, &password)?;
        Ok(Grant::until_next_look(Some(login), FILE_RECHECK))
    }
}
