//! The sources of one registry's logins, as the configuration describes them.

use std::fmt;
use std::path::PathBuf;

use policy::repository_pattern::RepositoryPattern;

use crate::aws::EcrSettings;
use crate::azure::AzureSettings;
use crate::google::GoogleSettings;
use crate::login::Login;
use crate::process::ProcessSettings;

/// The name of the source of a login that the configuration itself holds.
pub const CONFIGURATION: &str = "the configuration";

/// The sources of one registry: the first rule that names a repository gives its login.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The rules, in their order.
    pub rules: Vec<Rule>,
}

/// The source of the login for some repositories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The repositories; `None`: every one.
    pub pattern: Option<RepositoryPattern>,
    /// The source.
    pub source: SourceSettings,
}

/// A source of logins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceSettings {
    /// This login.
    Fixed(Login),
    /// This user name, and a file with the password.
    PasswordFile {
        /// The user name.
        user: String,
        /// The file.
        path: PathBuf,
    },
    /// A docker `config.json`, and the helpers that it names.
    DockerConfig {
        /// The file, or its directory.
        path: PathBuf,
        /// The settings to run the helpers; the program is not used.
        process: ProcessSettings,
    },
    /// A Kubernetes pull secret: `.dockerconfigjson` or `.dockercfg`.
    PullSecret {
        /// The file, or the directory where the secret is mounted.
        path: PathBuf,
    },
    /// A docker credential helper.
    Helper(ProcessSettings),
    /// A program that prints a login as JSON.
    Command(ProcessSettings),
    /// A plugin of the kubelet.
    Kubelet(ProcessSettings),
    /// A private registry of Amazon ECR.
    Ecr(EcrSettings),
    /// The public registry of Amazon ECR.
    EcrPublic(EcrSettings),
    /// Google's registries.
    Google(GoogleSettings),
    /// Azure Container Registry.
    Azure(AzureSettings),
}

impl Settings {
    /// The same rules, with patterns as they are meant in this registry.
    #[must_use]
    pub fn within(self, registry: &str) -> Self {
        let meant = |rule: Rule| Rule { pattern: rule.pattern.map(|it| it.within(registry)), ..rule };
        Self { rules: self.rules.into_iter().map(meant).collect() }
    }

    /// One login for every repository.
    pub fn of(login: Login) -> Self {
        Self { rules: vec![Rule { pattern: None, source: SourceSettings::Fixed(login) }] }
    }

    /// One user name and password for every repository.
    ///
    /// # Panics
    /// If HTTP cannot carry them. The configuration and its callers check that before.
    pub fn password(user: &str, password: &str) -> Self {
        Self::of(Login::password(user, password).expect("a login that HTTP can carry"))
    }

    /// Tells whether asking for a login may start a program.
    pub fn may_start_programs(&self) -> bool {
        self.rules.iter().any(|rule| rule.source.may_start_programs())
    }

    /// Tells whether every request goes without a login.
    pub fn is_anonymous(&self) -> bool {
        self.rules.is_empty()
    }
}

impl SourceSettings {
    fn may_start_programs(&self) -> bool {
        match self {
            Self::Fixed(_) | Self::PasswordFile { .. } | Self::PullSecret { .. } => false,
            Self::Ecr(_) | Self::EcrPublic(_) | Self::Google(_) | Self::Azure(_) => false,
            // The file may name a helper, today or after a change.
            Self::DockerConfig { .. } => true,
            Self::Helper(_) | Self::Command(_) | Self::Kubelet(_) => true,
        }
    }
}

/// The source as messages name it. It holds no secret.
impl fmt::Display for SourceSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let program = |process: &ProcessSettings| process.program.display().to_string();
        match self {
            Self::Fixed(_) => f.write_str(CONFIGURATION),
            Self::PasswordFile { path, .. } => write!(f, "password_file {}", path.display()),
            Self::DockerConfig { path, .. } => write!(f, "docker-config {}", path.display()),
            Self::PullSecret { path } => write!(f, "pull-secret {}", path.display()),
            Self::Helper(process) => write!(f, "helper {}", program(process)),
            Self::Command(process) => write!(f, "command {}", program(process)),
            Self::Kubelet(process) => write!(f, "kubelet {}", program(process)),
            Self::Ecr(_) => f.write_str("ecr"),
            Self::EcrPublic(_) => f.write_str("ecr-public"),
            Self::Google(settings) => match &settings.file {
                Some(file) => write!(f, "google {}", file.display()),
                None => f.write_str("google"),
            },
            Self::Azure(_) => f.write_str("azure"),
        }
    }
}
