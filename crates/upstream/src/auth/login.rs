//! LoginPermit the configured login, and leaving those alone who refused it.

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

/// The most places whose standing is known. A registry has one or two.
const PLACE_COUNT_MAX: usize = 16;
/// The longest wait for another request to find out whether the login is right.
const TURN_WAIT_MAX: Duration = Duration::from_secs(2);

/// The login of one registry.
#[derive(Debug)]
pub(super) struct Login {
    registry: String,
    /// The value of a Basic `Authorization`, marked sensitive.
    pub(super) basic: HeaderValue,
    places: Mutex<LruMap<Url, Arc<Place>>>,
}

/// Where the login is shown: a token service, or a registry.
#[derive(Debug, Default)]
pub(super) struct Place {
    standing: Mutex<LoginState>,
    /// Why it was refused last.
    refusal: Mutex<Option<Error>>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// Leave to show the login once. As long as nobody knows whether it is right, one has it at a time.
#[derive(Debug)]
pub(super) struct LoginPermit {
    place: Arc<Place>,
    _turn: Option<OwnedMutexGuard<()>>,
}

impl Login {
    pub(super) fn new(registry: &str, basic: HeaderValue) -> Self {
        Self { registry: registry.to_owned(), basic, places: Mutex::new(LruMap::new(PLACE_COUNT_MAX)) }
    }

    /// Leave to show the login at `url`. `check` shows it there without asking for anything in particular; it
    /// is awaited only when there is doubt.
    ///
    /// # Errors
    /// Why it was refused last, while it is left alone; those of `check`.
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
                    // Whoever it was that refused: it is not asked again at once.
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
            warn!(%registry, %host, %error, seconds, "the configured login was refused; it is not shown again before that");
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
            let detail =
                "has just refused the configured credentials, and is being asked whether it means it";
            Error::new(ErrorKind::Unconfirmed, host_of(url), detail).with_status(401)
        };
        refusal.unwrap_or_else(in_doubt)
    }

    fn standing(&self) -> MutexGuard<'_, LoginState> {
        self.standing.lock()
    }
}

impl LoginPermit {
    /// The request got what it asked for.
    pub(super) fn accepted(self) {
        self.place.standing().accept(Instant::now().into_std());
    }

    /// The request was refused, for whatever reason.
    pub(super) fn refused(self, error: Option<&Error>) {
        self.place.standing().refuse(Instant::now().into_std());
        if let Some(error) = error {
            *self.place.refusal.lock() = Some(error.clone());
        }
    }
}
