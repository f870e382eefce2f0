//! Sends the configured credentials, and withholds them from services that refused them.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http::header::HeaderValue;
use parking_lot::{Mutex, MutexGuard};
use policy::login::{Advice, LoginState};
use policy::lru::LruMap;
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;
use tracing::warn;
use url::Url;

use crate::error::{Error, ErrorKind};
use crate::location::host_of;

/// The most services whose state is remembered. A registry has one or two.
const PLACE_COUNT_MAX: usize = 16;
/// The longest wait for another request that checks the credentials.
const TURN_WAIT_MAX: Duration = Duration::from_secs(2);

/// The credentials of one registry.
#[derive(Debug)]
pub(super) struct Login {
    registry: String,
    /// The value of a Basic `Authorization`, marked sensitive.
    pub(super) basic: HeaderValue,
    places: Mutex<LruMap<Url, Arc<Place>>>,
}

/// The state of one service that gets the credentials: a token service, or a registry.
#[derive(Debug, Default)]
pub(super) struct Place {
    standing: Mutex<LoginState>,
    /// The last refusal.
    refusal: Mutex<Option<Error>>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// Permission to send the credentials once. Until they are known to be right, one request has it at a time.
#[derive(Debug)]
pub(super) struct LoginPermit {
    place: Arc<Place>,
    _turn: Option<OwnedMutexGuard<()>>,
}

impl Login {
    pub(super) fn new(registry: &str, basic: HeaderValue) -> Self {
        Self { registry: registry.to_owned(), basic, places: Mutex::new(LruMap::new(PLACE_COUNT_MAX)) }
    }

    /// Returns permission to send the credentials to `url`. `check` sends them there without requesting a
    /// resource; it is awaited only if there is doubt.
    ///
    /// # Errors
    /// The last refusal, while the credentials are withheld; errors of `check`.
    pub(super) async fn show(
        &self,
        url: &Url,
        check: impl Future<Output = Result<(), Error>>,
    ) -> Result<LoginPermit, Error> {
        let place = self.place(url);
        match place.advise() {
            Advice::Send => return Ok(LoginPermit { place, _turn: None }),
            Advice::Wait(_) => return Err(place.why(url)),
            Advice::SendAlone | Advice::Check => {}
        }
        let turn = tokio::time::timeout(TURN_WAIT_MAX, place.turn.clone().lock_owned()).await.ok();
        match place.advise() {
            Advice::Send => Ok(LoginPermit { place, _turn: None }),
            Advice::Wait(_) => Err(place.why(url)),
            Advice::SendAlone => Ok(LoginPermit { place, _turn: turn }),
            Advice::Check if turn.is_none() => Err(place.why(url)),
            Advice::Check => match check.await {
                Ok(()) => {
                    place.standing().pass_check(Instant::now().into_std());
                    Ok(LoginPermit { place, _turn: None })
                }
                Err(error) => {
                    // Any refusal counts, so that the check is not repeated at once.
                    if matches!(error.kind(), ErrorKind::Denied | ErrorKind::Unconfirmed) {
                        self.fail_check(&place, url, &error);
                    }
                    Err(error)
                }
            },
        }
    }

    fn fail_check(&self, place: &Place, url: &Url, error: &Error) {
        let now = Instant::now().into_std();
        let advice = {
            let mut standing = place.standing();
            standing.fail_check(now);
            standing.advise(now)
        };
        *place.refusal.lock() = Some(error.clone());
        if let Advice::Wait(pause) = advice {
            let (registry, host, seconds) = (&self.registry, host_of(url), pause.as_secs());
            warn!(%registry, %host, %error, seconds, "the configured login was refused; wharf withholds it for this time");
        }
    }

    fn place(&self, url: &Url) -> Arc<Place> {
        let mut places = self.places.lock();
        Arc::clone(places.get_or_insert_with(url, Arc::default))
    }
}

impl Place {
    fn advise(&self) -> Advice {
        self.standing().advise(Instant::now().into_std())
    }

    fn why(&self, url: &Url) -> Error {
        let refusal = self.refusal.lock().clone();
        let in_doubt = || {
            let detail = "has just refused the configured credentials; another request is checking them";
            Error::new(ErrorKind::Unconfirmed, host_of(url), detail).with_status(401)
        };
        refusal.unwrap_or_else(in_doubt)
    }

    fn standing(&self) -> MutexGuard<'_, LoginState> {
        self.standing.lock()
    }
}

impl LoginPermit {
    /// Notes that the request succeeded.
    pub(super) fn accepted(self) {
        self.place.standing().accept(Instant::now().into_std());
    }

    /// Notes that the request was refused, for whatever reason.
    pub(super) fn refused(self, error: Option<&Error>) {
        self.place.standing().refuse(Instant::now().into_std());
        if let Some(error) = error {
            *self.place.refusal.lock() = Some(error.clone());
        }
    }
}
