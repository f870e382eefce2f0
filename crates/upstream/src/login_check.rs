//! Asks whether a client's login is right, without a repository: clients log in before they pull.

use oci::Repository;

use crate::auth::context::RequestContext;
use crate::auth::hop::{Hop, HopRole};
use crate::auth::scope::Need;
use crate::error::Error;
use crate::registry::Registry;
use crate::transport::Allowance;

/// Requests the registry's `/v2/`, and logs in as its challenge demands. A registry that does not challenge
/// gets the login with a second request.
///
/// # Errors
/// [`Error`].
pub(crate) async fn check(registry: &Registry) -> Result<(), Error> {
    let nobody: Repository = "wharf/login".parse().expect("it is a name");
    let mut allowance = Allowance::until(registry.deadline());
    let likely = &registry.base_locator.likely().root;
    let context = RequestContext { transport: &registry.transport, gates: &registry.gates, root: likely };
    let base = registry.base_locator.find(context, &mut allowance).await?;
    let context = RequestContext { root: &base.root, ..context };
    let Some(login) = registry.auth.login(&nobody, allowance.deadline).await? else { return Ok(()) };
    let host = Hop {
        url: base.root.clone(),
        role: HopRole::Home,
        repository: nobody,
        need: Need::Content,
        login: Some(login),
    };
    let checked = registry.auth.check_login(context, &host, &mut allowance).await;
    checked.map_err(Error::of_client_login)
}
