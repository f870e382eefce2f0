//! The variables that sources read, and that programs get.

use std::collections::BTreeMap;
use std::fmt;

use secret::Secret;

/// Variables by name. Their values do not print, because some are secrets.
#[derive(Clone, Default)]
pub struct Variables(BTreeMap<String, Secret<String>>);

/// The variables that every program gets if they are set: to find other programs, its own files, and the
/// network.
const OF_PROGRAMS: [&str; 14] = [
    "PATH",
    "HOME",
    "USER",
    "TMPDIR",
    "LANG",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "XDG_CONFIG_HOME",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

/// The variables of Amazon's and Google's tools, and some of Azure's.
const CLOUD_VARIABLES: [&str; 24] = [
    "HOME",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_PROFILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_ENDPOINT_URL_ECR",
    "AWS_ENDPOINT_URL_ECR_PUBLIC",
    "AWS_ENDPOINT_URL_STS",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GCE_METADATA_HOST",
    "AZURE_TENANT_ID",
    "AZURE_CLIENT_ID",
];

/// The others of Azure's tools.
const AZURE_VARIABLES: [&str; 4] = [
    "AZURE_CLIENT_SECRET",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_AUTHORITY_HOST",
    "AZURE_POD_IDENTITY_AUTHORITY_HOST",
];

impl Variables {
    /// The variables of the clouds' own tools that `read` knows.
    pub fn of_clouds(read: impl Fn(&str) -> Option<String>) -> Self {
        Self::of(CLOUD_VARIABLES.into_iter().chain(AZURE_VARIABLES), read)
    }

    /// The variables of these names that `read` knows.
    pub fn of<'n>(names: impl IntoIterator<Item = &'n str>, read: impl Fn(&str) -> Option<String>) -> Self {
        let known = names.into_iter().filter_map(|name| Some((name.to_owned(), Secret::new(read(name)?))));
        Self(known.collect())
    }

    /// The variables for a program: those that every program gets, and `further` ones.
    pub fn of_a_program<'n>(
        further: impl IntoIterator<Item = &'n str>,
        read: impl Fn(&str) -> Option<String>,
    ) -> Self {
        Self::of(OF_PROGRAMS.into_iter().chain(further), read)
    }

    /// The value of a variable that is not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.expose().as_str()).filter(|value| !value.is_empty())
    }

    /// Sets a variable.
    pub fn set(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), Secret::new(value.to_owned()));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.expose().as_str()))
    }
}

impl PartialEq for Variables {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Variables {}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
