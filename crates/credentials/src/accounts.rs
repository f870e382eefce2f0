//! The accounts of one registry.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use oci::Repository;
use policy::repository_pattern::RepositoryPattern;
use url::Url;

use crate::account::{Account, Observer, Status};
use crate::aws::Ecr;
use crate::azure::Azure;
use crate::command::LoginCommand;
use crate::credential_helper::Helper;
use crate::docker_config::DockerConfigFile;
use crate::failure::Failure;
use crate::google::Google;
use crate::http::{HttpClient, host_of};
use crate::kubelet::KubeletPlugin;
use crate::login::Login;
use crate::password_file::PasswordFile;
use crate::registry_key::Target;
use crate::settings::{Rule, Settings, SourceSettings};
use crate::source::{Grant, Question, Source};

/// A login of the configuration does not change before a reload.
const FIXED_RECHECK: Duration = Duration::from_secs(365 * 24 * 3600);

/// The needs of sources beside their settings.
#[derive(Clone, Debug)]
pub struct Context {
    /// The registry's name, for the log.
    pub registry: String,
    /// The upstream's address. Sources know the registry by its host.
    pub upstream: Url,
    /// Sends the requests of sources to token services.
    pub http: Arc<dyn HttpClient>,
    /// Learns of the questions.
    pub observer: Arc<dyn Observer>,
}

/// The accounts of one registry, in the order of their rules.
#[derive(Debug, Default)]
pub struct Accounts(Vec<(Option<RepositoryPattern>, Account)>);

impl Accounts {
    /// The accounts that `settings` describe. It asks no source.
    pub fn new(settings: &Settings, context: &Context) -> Self {
        let account = |rule: &Rule| {
            let path = rule.pattern.as_ref().map_or("", RepositoryPattern::path);
            let source = source(&rule.source, Target::new(&host_of(&context.upstream), path), context);
            let pattern = rule.pattern.as_ref().map(ToString::to_string);
            let observer = Arc::clone(&context.observer);
            let account = Account::new(&context.registry, pattern, rule.source.to_string(), source, observer);
            (rule.pattern.clone(), account)
        };
        Self(settings.rules.iter().map(account).collect())
    }

    /// One account for all repositories, with a login that does not change.
    pub fn fixed(registry: &str, login: Login, observer: Arc<dyn Observer>) -> Self {
        let name = SourceSettings::Fixed(login.clone()).to_string();
        Self(vec![(None, Account::new(registry, None, name, Box::new(Fixed(login)), observer))])
    }

    /// The account for a repository, with its position among all.
    pub fn of(&self, repository: &Repository) -> Option<(usize, &Account)> {
        let is_for = |(pattern, _): &(Option<RepositoryPattern>, Account)| {
            pattern.as_ref().is_none_or(|pattern| pattern.names(repository.as_str()))
        };
        let index = self.0.iter().position(is_for)?;
        Some((index, &self.0[index].1))
    }

    /// All accounts.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Account> {
        self.0.iter().map(|(_, account)| account)
    }

    /// The accounts as operators see them.
    pub fn statuses(&self) -> Vec<Status> {
        self.iter().map(Account::status).collect()
    }
}

fn source(settings: &SourceSettings, target: Target, context: &Context) -> Box<dyn Source> {
    let http = Arc::clone(&context.http);
    let host = || Some(host_of(&context.upstream));
    match settings.clone() {
        SourceSettings::Fixed(login) => Box::new(Fixed(login)),
        SourceSettings::PasswordFile { user, path } => Box::new(PasswordFile { user, path }),
        SourceSettings::DockerConfig { path, process } => {
            Box::new(DockerConfigFile::new(path, target, Some(process)))
        }
        SourceSettings::PullSecret { path } => Box::new(DockerConfigFile::new(path, target, None)),
        SourceSettings::Helper(process) => Box::new(Helper { process, target }),
        SourceSettings::Command(process) => Box::new(LoginCommand { process }),
        SourceSettings::Kubelet(process) => Box::new(KubeletPlugin { process, target }),
        SourceSettings::Ecr(settings) => Box::new(Ecr::new(settings, host(), http)),
        SourceSettings::EcrPublic(settings) => Box::new(Ecr::new(settings, None, http)),
        SourceSettings::Google(settings) => Box::new(Google { settings, http }),
        SourceSettings::Azure(settings) => {
            Box::new(Azure { settings, upstream: context.upstream.clone(), http })
        }
    }
}

/// A login of the configuration.
#[derive(Debug)]
struct Fixed(Login);

#[async_trait]
impl Source for Fixed {
    async fn ask(&self, _: Question) -> Result<Grant, Failure> {
        Ok(Grant::until_next_look(Some(self.0.clone()), FIXED_RECHECK))
    }
}
