//! The accounts of one registry, with what their sources need.

use std::sync::Arc;

use credentials::{Accounts, Context, Observer};

use crate::settings::Settings;
use crate::tls::Authorities;
use crate::token_services::TokenServices;

/// The accounts that give the logins of the registry. It asks no source.
pub(crate) fn accounts(settings: &Settings, authorities: &Authorities, observer: impl Observer) -> Accounts {
    let context = Context {
        registry: settings.name.clone(),
        upstream: settings.upstream.clone(),
        http: Arc::new(TokenServices::new(settings, authorities)),
        observer: Arc::new(observer),
    };
    Accounts::new(&settings.credentials, &context)
}
