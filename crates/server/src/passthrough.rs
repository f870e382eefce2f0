//! Registries whose clients pull with their own logins: takes the login from the request, and finds the
//! client's backend. The login goes nowhere else.

use std::net::IpAddr;
use std::sync::Arc;

use cache::{Backend, NotTaken, PullError, Rights};
use http::header;
use http::request;
use oci::Request;

use crate::respond::error::{AccessRefusal, FailedPull, NoAccess, PullKind, Refusal};

/// The backend of the client's own login; `None`: the registry's own backend answers.
///
/// # Errors
/// [`Refusal`]: a login that cannot be read, is wrong where only it is asked for, or comes too often; and at
/// `/v2/` a challenge, because clients log in there and send a login only where they saw one.
pub(crate) async fn backend_of(
    backend: &Backend,
    asked: Option<&Request>,
    client: IpAddr,
    head: &request::Parts,
) -> Result<Option<Arc<Backend>>, Refusal> {
    if backend.rights() != Rights::NoLogin {
        return Ok(None);
    }
    let refuse = |why| Refusal::Access(AccessRefusal { target: backend.name().to_owned(), why });
    let mut values = head.headers.get_all(header::AUTHORIZATION).iter().map(|value| value.as_bytes());
    let found = match (values.next(), values.next()) {
        (None, _) => None,
        // Whichever of them a proxy in between has read, this server does not guess.
        (Some(_), Some(_)) => return Err(refuse(NoAccess::WrongLogin)),
        (Some(header), None) => backend.for_client(header, client).map_err(|not_taken| match not_taken {
            NotTaken::Unreadable => refuse(NoAccess::WrongLogin),
            NotTaken::Paced(wait) => refuse(NoAccess::Paced(wait)),
        })?,
    };
    let is_version = asked == Some(&Request::Version);
    match found {
        None if is_version => Err(refuse(NoAccess::NoLogin)),
        None => Ok(None),
        Some(own) => {
            if is_version {
                Box::pin(own.check_login()).await.map_err(|error| refuse_login(backend, error))?;
                backend.note_client(&own);
            }
            Ok(Some(own))
        }
    }
}

fn refuse_login(backend: &Backend, error: PullError) -> Refusal {
    let registry = backend.name().to_owned();
    match error {
        PullError::Denied { .. } | PullError::Unconfirmed { .. } | PullError::NotFound { .. } => {
            Refusal::Access(AccessRefusal { target: registry, why: NoAccess::WrongLogin })
        }
        error => Refusal::Pull(Box::new(FailedPull {
            registry,
            target: String::new(),
            kind: PullKind::Catalog,
            has_login: false,
            rights: Rights::OwnLogin,
            hint: None,
            error,
        })),
    }
}
