//! The JSON that files and programs give: `config.json`, `.dockerconfigjson`, `.dockercfg`, and the answers
//! of helpers. No error quotes a document.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use secret::Secret;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::failure::Failure;
use crate::login::Login;
use crate::registry_key::Target;

/// Some tools write base64 without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A docker `config.json`, as far as it is about logins.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct DockerConfig {
    auths: BTreeMap<String, Entry>,
    #[serde(rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
    #[serde(rename = "credsStore")]
    store: Option<String>,
}

/// One entry of `auths`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Entry {
    /// base64 of user name, colon, password.
    auth: Option<Secret<String>>,
    username: Option<String>,
    password: Option<Secret<String>>,
    identitytoken: Option<Secret<String>>,
    registrytoken: Option<Secret<String>>,
}

/// Reads JSON.
///
/// # Errors
/// A [`Failure`] that says `what` the document should be, and nothing of it.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T, Failure> {
    // serde would accept a JSON array as the fields in their order.
    let is_object = bytes.trim_ascii_start().first() == Some(&b'{');
    let parsed = is_object.then(|| serde_json::from_slice(bytes).ok()).flatten();
    parsed.ok_or_else(|| Failure::new(format!("gave something that is not {what}")))
}

impl DockerConfig {
    /// Reads a `config.json` or `.dockerconfigjson`, or the older `.dockercfg`, which has the entries alone.
    ///
    /// # Errors
    /// A [`Failure`] for another document.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Failure> {
        let what = "a docker config.json";
        let raw: BTreeMap<String, serde_json::Value> = parse(bytes, what)?;
        let is_new = ["auths", "credHelpers", "credsStore"].iter().any(|key| raw.contains_key(*key));
        let is_legacy = !is_new && raw.values().all(serde_json::Value::is_object) && !raw.is_empty();
        if is_legacy {
            return Ok(Self { auths: parse(bytes, what)?, ..Self::default() });
        }
        parse(bytes, what)
    }

    /// The login of the entry that fits `target` best.
    ///
    /// # Errors
    /// A [`Failure`] for an entry that cannot be read.
    pub(crate) fn entry(&self, target: &Target) -> Result<Option<Login>, Failure> {
        match best(&self.auths, target) {
            Some((key, entry)) => entry.login(key),
            None => Ok(None),
        }
    }

    /// The name of the helper for `target`, and the texts by which it may know the registry.
    pub(crate) fn helper(&self, target: &Target) -> Option<(&str, Vec<String>)> {
        let named = best(&self.helpers, target);
        if let Some((key, helper)) = named.filter(|(_, helper)| !helper.is_empty()) {
            return Some((helper, vec![key.to_owned()]));
        }
        let store = self.store.as_deref().filter(|store| !store.is_empty())?;
        // The store knows the registry by the key under which the client stored its login.
        let stored = best(&self.auths, target).map(|(key, _)| key.to_owned());
        let mut keys: Vec<String> = stored.into_iter().collect();
        for key in target.helper_keys() {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        Some((store, keys))
    }
}

fn best<'m, T>(entries: &'m BTreeMap<String, T>, target: &Target) -> Option<(&'m str, &'m T)> {
    let fitting = entries.iter().filter_map(|(key, entry)| Some((target.fit(key)?, key.as_str(), entry)));
    fitting.max_by_key(|(fit, ..)| *fit).map(|(_, key, entry)| (key, entry))
}

impl Entry {
    /// The login; `None` if the entry is empty, as beside a store.
    fn login(&self, key: &str) -> Result<Option<Login>, Failure> {
        let text = |secret: &Option<Secret<String>>| {
            secret.as_ref().map(|it| it.expose().clone()).filter(|text| !text.is_empty())
        };
        let about = |failure: Failure| Failure::new(format!("has an entry {key:?} that {failure}"));
        if let Some(token) = text(&self.identitytoken) {
            return Login::identity_token(&token).map(Some).map_err(about);
        }
        if let Some(token) = text(&self.registrytoken) {
            return Login::registry_token(&token).map(Some).map_err(about);
        }
        if let Some(auth) = text(&self.auth) {
            let decoded = BASE64.decode(auth.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            // Old clients padded with NUL.
            let decoded = decoded.map(|pair| pair.trim_end_matches('\0').to_owned());
            let pair = decoded.as_deref().and_then(|pair| pair.split_once(':'));
            let (user, password) =
                pair.ok_or_else(|| about(Failure::new("has no user name and password in auth")))?;
            return Login::password(user, password).map(Some).map_err(about);
        }
        let user = self.username.clone().filter(|user| !user.is_empty());
        match (user, text(&self.password)) {
            (Some(user), Some(password)) => Login::password(&user, &password).map(Some).map_err(about),
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests;
