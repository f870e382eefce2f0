//! The account at the authority (RFC 8555, section 7.3).

use std::sync::Arc;

use http::Uri;
use instant_acme::{Account, AccountCredentials, Error, ExternalAccountKey, NewAccount};

use crate::client::{Client, Transport};
use crate::problem::{self, Failure};
use crate::settings::Settings;
use crate::state::AuthorityState;

/// An account that is ready for requests.
pub(crate) struct Ready {
    pub(crate) account: Account,
    pub(crate) client: Client,
}

/// Opens the stored account, or makes one and stores it.
///
/// # Errors
/// A [`Failure`], with the pause that the authority asked for.
pub(crate) async fn open(
    settings: &Settings,
    state: &AuthorityState,
    transport: &Arc<dyn Transport>,
) -> Result<Ready, (Failure, Client)> {
    let client = Client::new(Arc::clone(transport));
    let stored = state.account(parse);
    let opened = match stored {
        Some(stored) => restore(stored, settings, &client).await,
        None => make(settings, state, &client).await,
    };
    match opened {
        Ok(account) => Ok(Ready { account, client }),
        Err(failure) => Err((failure, client)),
    }
}

/// The account in a file; `None` if there is none.
fn parse(text: &[u8]) -> Option<AccountCredentials> {
    let document: serde_json::Value = serde_json::from_slice(text).ok()?;
    // The library takes for granted that the directory is an address.
    document["directory"].as_str()?.parse::<Uri>().ok()?;
    serde_json::from_slice(text).ok()
}

async fn restore(
    stored: AccountCredentials,
    settings: &Settings,
    client: &Client,
) -> Result<Account, Failure> {
    let restored = Account::builder_with_http(Box::new(client.clone())).from_credentials(stored).await;
    restored.map_err(|error| unusable(settings, &error))
}

async fn make(settings: &Settings, state: &AuthorityState, client: &Client) -> Result<Account, Failure> {
    let contact: Vec<String> = settings.contact.iter().map(|mail| format!("mailto:{mail}")).collect();
    let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
    let binding = settings.binding.as_ref();
    let binding =
        binding.map(|binding| ExternalAccountKey::new(binding.key_id.clone(), binding.key.expose()));
    let new = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
    let made = Account::builder_with_http(Box::new(client.clone()))
        .create(&new, settings.directory.to_string(), binding.as_ref())
        .await;
    let (account, credentials) = made.map_err(|error| match error {
        Error::Api(_) => Failure::of_request("make an account", &error, &[]),
        error => unusable(settings, &error),
    })?;
    let text = serde_json::to_vec(&credentials).expect("an account can be written as JSON");
    state.store_account(&text).map_err(|error| Failure::new(format!("cannot store the account: {error}")))?;
    tracing::info!("made an account at {}", settings.directory);
    Ok(account)
}

fn unusable(settings: &Settings, error: &Error) -> Failure {
    let why = match error {
        Error::Json(_) => "what it answers is no directory of ACME; check the URL".to_owned(),
        error => problem::shown(&error.to_string()),
    };
    Failure::new(format!("cannot use {}: {why}", settings.directory))
}
