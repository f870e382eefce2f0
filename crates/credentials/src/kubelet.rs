//! Plugins of the kubelet, which speak `credentialprovider.kubelet.k8s.io/v1`: one request as JSON on their
//! standard input, one response on their standard output.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use secret::Secret;
use serde::Deserialize;
use serde_json::json;

use crate::document;
use crate::failure::Failure;
use crate::login::Login;
use crate::process::{self, ProcessSettings};
use crate::registry_key::Target;
use crate::source::{Grant, Question, Source};

const API_VERSION: &str = "credentialprovider.kubelet.k8s.io/v1";

/// The time for which a login is used if the plugin states none.
const CACHE_DURATION_DEFAULT: Duration = Duration::from_secs(10 * 60);
/// The shortest time between two runs of a plugin, whatever it says: a plugin may forbid any caching.
const CACHE_DURATION_MIN: Duration = Duration::from_secs(10);
/// The longest time that a plugin may claim.
const CACHE_DURATION_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    api_version: String,
    kind: String,
    cache_duration: Option<String>,
    auth: Option<BTreeMap<String, AuthConfig>>,
}

#[derive(Deserialize)]
struct AuthConfig {
    #[serde(default)]
    username: String,
    password: Option<Secret<String>>,
}

/// A plugin that is asked about one registry.
#[derive(Debug)]
pub(crate) struct KubeletPlugin {
    pub(crate) process: ProcessSettings,
    pub(crate) target: Target,
}

impl KubeletPlugin {
    /// The image that the plugin is asked about: plugins read the registry out of it.
    fn image(&self) -> String {
        let path = if self.target.path.is_empty() { "image" } else { &self.target.path };
        format!("{}/{path}", self.target.host())
    }
}

#[async_trait]
impl Source for KubeletPlugin {
    async fn ask(&self, _: Question) -> Result<Grant, Failure> {
        let request =
            json!({ "apiVersion": API_VERSION, "kind": "CredentialProviderRequest", "image": self.image() });
        let output = process::run_to_success(&self.process, request.to_string().into_bytes()).await?;
        read(output.expose(), &self.target)
    }
}

fn read(output: &[u8], target: &Target) -> Result<Grant, Failure> {
    let response: Response = document::parse(output, "a CredentialProviderResponse")?;
    if response.api_version != API_VERSION || response.kind != "CredentialProviderResponse" {
        return Err(Failure::new(format!("gave no CredentialProviderResponse of {API_VERSION}")));
    }
    let auth = response.auth.unwrap_or_default();
    let fitting = auth.iter().filter_map(|(key, entry)| Some((target.fit(key)?, entry)));
    let Some((_, entry)) = fitting.max_by_key(|(fit, _)| *fit) else {
        return Ok(Grant::until_next_look(None, CACHE_DURATION_DEFAULT));
    };
    let password = entry.password.as_ref().map_or("", |password| password.expose());
    let login = Login::password(&entry.username, password)?;
    let stated = match &response.cache_duration {
        None => CACHE_DURATION_DEFAULT,
        Some(text) => parse_duration(text)
            .ok_or_else(|| Failure::new("gave a cacheDuration that is no time such as 6h0m0s"))?,
    };
    let recheck_after = stated.clamp(CACHE_DURATION_MIN, CACHE_DURATION_MAX);
    // The time says how long the kubelet would keep the login, and not when it ends.
    Ok(Grant::until_next_look(Some(login), recheck_after))
}

/// Reads a time as Go writes it: `6h0m0s`, `1.5h`, `300ms`, `0`, `0s`.
fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (mut rest, mut seconds) = (text, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        let unit = rest[digits..].find(|c: char| c.is_ascii_digit() || c == '.');
        let end = unit.map_or(rest.len(), |length| digits + length);
        seconds += number
            * match &rest[digits..end] {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" => 1e-6,
                "ns" => 1e-9,
                _ => return None,
            };
        rest = &rest[end..];
    }
    (!text.is_empty()).then_some(())?;
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests;
