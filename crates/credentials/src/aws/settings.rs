//! The settings of a login at Amazon ECR.

use std::path::PathBuf;

use url::Url;

use crate::environment::Variables;

/// A login at Amazon ECR.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EcrSettings {
    /// The region; `None`: that of the registry's host, or of the variables.
    pub region: Option<String>,
    /// The profile of the shared credentials file.
    pub profile: Option<String>,
    /// The shared credentials file.
    pub file: Option<PathBuf>,
    /// The role to take with a web identity.
    pub role: Option<String>,
    /// The file with the token of the web identity.
    pub token_file: Option<PathBuf>,
    /// The API's address in place of Amazon's own.
    pub endpoint: Option<Url>,
    /// The variables of the cloud's own tools.
    pub variables: Variables,
}

/// The domain of Amazon's services in a region.
pub(super) fn suffix_of(region: &str) -> &'static str {
    if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" }
}
