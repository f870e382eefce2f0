//! The login of one client, which the client sends with each request.

use std::sync::Arc;

use credentials::{Accounts, Observer};
use http::StatusCode;
use http::header::HeaderValue;
use parking_lot::Mutex;

use super::context::RequestContext;
use super::hop::Hop;
use super::token_cache::TokenCache;
use super::{Auth, Demand, root, token};
use crate::error::{Error, ErrorKind};
use crate::location::host_of;
use crate::transport::Allowance;

impl Auth {
    /// The state of one client with this login, or none. It shares the health and the demands of the hosts,
    /// and no token and no pause.
    pub(crate) fn for_client(&self, login: Option<credentials::Login>) -> Self {
        let accounts = login
            .map(|login| Accounts::fixed(&self.registry, login, Arc::new(Unobserved)))
            .unwrap_or_default();
        let login_count = accounts.iter().len();
        Self {
            registry: self.registry.clone(),
            logins: Mutex::new(vec![None; login_count]),
            accounts,
            host: self.host.clone(),
            tokens: TokenCache::default(),
            gates: Arc::new(self.gates.for_client()),
            schemes: Arc::clone(&self.schemes),
            root_asked_at: Arc::clone(&self.root_asked_at),
            is_for_client: true,
        }
    }

    /// Whether the login is that of one client.
    pub(crate) fn is_for_client(&self) -> bool {
        self.is_for_client
    }

    /// Whether a service has accepted the login.
    pub(crate) fn has_login_worked(&self) -> bool {
        self.logins.lock().iter().flatten().any(|login| login.has_worked())
    }

    /// Logs in at `host`, the registry's `/v2/`, as its challenge demands.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] and [`ErrorKind::Unconfirmed`] for a refusal; [`ErrorKind::Invalid`] if the
    /// login may not go where the registry demands it; and errors of the requests.
    pub(crate) async fn check_login(
        &self,
        context: RequestContext<'_>,
        host: &Hop,
        allowance: &mut Allowance,
    ) -> Result<(), Error> {
        let answer = root::ask(context, context.root, None, allowance).await?;
        let demand = self.read_demand(context.transport, host, answer.headers());
        drop(answer);
        let Some(login) = &host.login else { return Ok(()) };
        let invalid = |detail: String| Err(Error::new(ErrorKind::Invalid, host_of(&host.url), detail));
        match demand {
            Demand::Unusable(error) => invalid(format!("sends an unusable challenge: {error}")),
            Demand::Bearer { realm, .. } if !realm.is_trusted => invalid(format!(
                "demands the login at {}, which does not get it; list that in trusted_hosts if it is this \
                 registry's",
                host_of(&realm.url)
            )),
            Demand::Bearer { realm, service, .. } => {
                let Some(offer) = login.for_token_services() else { return Ok(()) };
                let (realm, service) = (&realm.url, service.as_deref());
                let request = token::TokenRequest { realm, service, scope: None };
                let check = async {
                    let got =
                        token::fetch(context.transport, &self.gates, &request, Some(offer), allowance).await;
                    got.map(|_| ()).map_err(Error::from)
                };
                login.check(realm, check).await
            }
            Demand::Basic | Demand::Nothing => match login.for_registries() {
                Some(header) => login.check(context.root, check_at(context, host, header, allowance)).await,
                // The registry is open to everyone.
                None if matches!(demand, Demand::Nothing) => Ok(()),
                None => Err(Error::new(ErrorKind::Denied, host_of(&host.url), "takes no login of this kind")),
            },
        }
    }
}

/// Shows the login to the registry's `/v2/`.
///
/// # Errors
/// [`ErrorKind::Denied`], and errors of the request.
async fn check_at(
    context: RequestContext<'_>,
    host: &Hop,
    header: &HeaderValue,
    allowance: &mut Allowance,
) -> Result<(), Error> {
    let answer = root::ask(context, context.root, Some(header), allowance).await?;
    match answer.status() {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            let status = answer.status().as_u16();
            let refused = format!("answered {status}: the configured credentials were refused");
            let error = Error::new(ErrorKind::Denied, host_of(&host.url), refused);
            Err(error.with_status(status).after_login())
        }
        _ => Ok(()),
    }
}

/// The login of a client comes with its request, and no source is asked.
#[derive(Debug)]
struct Unobserved;

impl Observer for Unobserved {
    fn asked(&self, _: bool) {}

    fn failing(&self, _: bool) {}
}
