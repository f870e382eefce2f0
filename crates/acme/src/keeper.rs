//! The task that keeps a certificate for every name.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use certificates::Certificate;
use certificates::challenges::Challenges;
use instant_acme::CertificateIdentifier;
use policy::issuance::{self, Failures, Held, Step, Window};
use telemetry::{Metrics, Ordered};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::acceptance;
use crate::account::{self, Ready};
use crate::client::Transport;
use crate::order::{self, Issued};
use crate::problem::Failure;
use crate::renewal_window;
use crate::report;
use crate::responder::{self, Responder};
use crate::settings::Settings;
use crate::state::{AuthorityState, CERTIFICATE_COUNT_MAX, State, StateError, Stored};

/// The longest time for one order. The authority may take minutes to validate a hundred names.
const ORDER_TIME_MAX: Duration = Duration::from_secs(15 * 60);

/// The longest time to ask when to renew the certificates, of which each is one question. Orders wait
/// meanwhile.
const ASKING_TIME_MAX: Duration = Duration::from_secs(120);

/// The longest time to take answers back.
const CLEAN_UP_TIME_MAX: Duration = Duration::from_secs(30);

/// The longest time without a look at the wall clock, in seconds: it may be set, or stand still while a
/// machine sleeps.
const SLEEP_SECONDS_MAX: u64 = 3600;

/// The names that should have certificates, and who signs them.
#[derive(Clone)]
pub struct Goal {
    /// The authority.
    pub settings: Settings,
    /// The names, with wildcards.
    pub names: Vec<String>,
    /// The way to the authority.
    pub transport: Arc<dyn Transport>,
}

/// The parts that a keeper works with.
pub struct Parts {
    /// The directory with everything that was obtained.
    pub state: State,
    /// The answers that the listeners give to the authority.
    pub challenges: Arc<Challenges>,
    /// Shows these certificates to clients from now on.
    pub show: Box<dyn Fn(Vec<Certificate>) + Send + Sync>,
    /// The process's metrics.
    pub metrics: Arc<Metrics>,
}

/// Obtains and renews certificates, one order at a time.
pub struct Keeper {
    parts: Parts,
    goals: watch::Receiver<Goal>,
    goal: Goal,
    authority: AuthorityState,
    held: Vec<Kept>,
    failures: Failures,
    ready: Option<Ready>,
    /// Whether a wait ended with a new goal.
    has_news: bool,
    /// Whether the records that an earlier process left in the DNS are still to be removed.
    has_left_behind: bool,
}

/// A certificate with the authority's suggestion.
struct Kept {
    stored: Stored,
    window: Option<Window>,
    /// The time of the next question for the suggestion, in seconds since 1970.
    ask_at: u64,
}

impl Kept {
    fn new(stored: Stored) -> Self {
        Self { stored, window: None, ask_at: 0 }
    }

    fn as_held(&self) -> Held {
        let certificate = &self.stored.certificate;
        let validity = certificate.validity();
        Held {
            names: certificate.dns_names().to_vec(),
            begins: validity.map_or(0, |validity| validity.begins),
            ends: validity.map_or(0, |validity| validity.ends),
            obtained_at: self.stored.obtained_at,
            window: self.window,
            draw: draw_of(certificate),
        }
    }
}

impl Keeper {
    /// Shows the certificates of the state that belong to the first goal.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn new(parts: Parts, mut goals: watch::Receiver<Goal>) -> Result<Self, StateError> {
        let goal = goals.borrow_and_update().clone();
        let authority = parts.state.of(&goal.settings.directory)?;
        let held = authority.certificates().into_iter().map(Kept::new).collect();
        let failures = Failures::from_text(&authority.failures(), now());
        let (ready, has_news, has_left_behind) = (None, false, true);
        let keeper = Self { parts, goals, goal, authority, held, failures, ready, has_news, has_left_behind };
        keeper.show();
        Ok(keeper)
    }

    /// Keeps the certificates until `shutdown`.
    pub async fn run(mut self, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            self.follow_goal();
            self.drop_obsolete();
            let preparing = async {
                self.remove_left_behind().await;
                self.ask_for_windows().await;
            };
            if shutdown.run_until_cancelled(preparing).await.is_none() {
                return;
            }
            let held = self.as_held();
            let now = now();
            self.parts.metrics.acme_uncovered(uncovered(&self.goal.names, &held, now).count());
            match issuance::next(&self.goal.names, &held, &self.failures, now) {
                Step::Order(names) => self.order(names, &shutdown).await,
                Step::Wait(until) => {
                    let asks = self.held.iter().map(|kept| kept.ask_at);
                    let at = until.into_iter().chain(asks).min().unwrap_or(u64::MAX);
                    let seconds = at.saturating_sub(now).clamp(1, SLEEP_SECONDS_MAX);
                    tokio::select! {
                        () = shutdown.cancelled() => {}
                        () = tokio::time::sleep(Duration::from_secs(seconds)) => {}
                        changed = self.goals.changed() => {
                            // Without the sender the process ends.
                            if changed.is_err() {
                                return;
                            }
                            self.has_news = true;
                        }
                    }
                }
            }
        }
    }

    /// Takes over a goal that a reload has set.
    fn follow_goal(&mut self) {
        if !std::mem::take(&mut self.has_news) && !self.goals.has_changed().unwrap_or(false) {
            return;
        }
        let goal = self.goals.borrow_and_update().clone();
        if goal.settings.directory != self.goal.settings.directory {
            match self.parts.state.of(&goal.settings.directory) {
                Ok(authority) => {
                    self.held = authority.certificates().into_iter().map(Kept::new).collect();
                    self.authority = authority;
                    self.has_left_behind = true;
                }
                Err(error) => {
                    tracing::error!("wharf stays with the authority before: {error}");
                    return;
                }
            }
        }
        if goal.settings != self.goal.settings {
            // The operator may have corrected the cause.
            self.failures = Failures::default();
        }
        self.failures.retain(&goal.names);
        self.ready = None;
        self.goal = goal;
        self.show();
    }

    fn drop_obsolete(&mut self) {
        let obsolete = self.obsolete();
        if obsolete.is_empty() {
            return;
        }
        self.held.retain(|kept| !obsolete.contains(&kept.stored.path));
        self.show();
        for path in obsolete {
            self.authority.remove(&path);
        }
    }

    /// The files of certificates that later ones replace, and of those for which there is no room.
    fn obsolete(&self) -> Vec<PathBuf> {
        let (held, now) = (self.as_held(), now());
        let is_obsolete = |index: &usize| issuance::is_obsolete(*index, &self.goal.names, &held, now);
        let mut all: Vec<usize> = (0..held.len()).filter(is_obsolete).collect();
        // The next order needs room for one.
        let surplus = issuance::surplus(&self.goal.names, &held, CERTIFICATE_COUNT_MAX - 1);
        all.extend(surplus.into_iter().filter(|index| !is_obsolete(index)));
        all.into_iter().map(|index| self.held[index].stored.path.clone()).collect()
    }

    /// Removes the records that an earlier process left in the DNS, once.
    async fn remove_left_behind(&mut self) {
        if !std::mem::take(&mut self.has_left_behind) {
            return;
        }
        let removal = responder::remove_left_behind(&self.goal.settings.challenge, &self.authority);
        if timeout(CLEAN_UP_TIME_MAX, removal).await.is_err() {
            tracing::warn!(
                "records of challenges stay in the DNS until the next start: their removal took too long"
            );
        }
    }

    /// Asks the authority when to renew each certificate, if that is due. A certificate about which there is
    /// no time to ask is asked about in the next hour.
    async fn ask_for_windows(&mut self) {
        let now = now();
        if !self.held.iter().any(|kept| kept.ask_at <= now) {
            return;
        }
        if timeout(ASKING_TIME_MAX, self.ask_for_due_windows(now)).await.is_err() {
            tracing::debug!("cannot ask when to renew: the authority is too slow");
        }
        for kept in self.held.iter_mut().filter(|kept| kept.ask_at <= now) {
            kept.ask_at = now + SLEEP_SECONDS_MAX;
        }
    }

    async fn ask_for_due_windows(&mut self, now: u64) {
        let account = match self.ready().await {
            Ok(ready) => ready.account.clone(),
            Err((failure, _)) => {
                tracing::debug!("cannot ask when to renew: {}", failure.text);
                return;
            }
        };
        for kept in self.held.iter_mut().filter(|kept| kept.ask_at <= now) {
            let answer = renewal_window::ask(&account, &kept.stored.certificate).await;
            kept.window = answer.window;
            kept.ask_at = now + answer.recheck_after.as_secs();
        }
    }

    /// The account, which is opened or made if it is not open.
    async fn ready(&mut self) -> Result<&Ready, (Failure, Option<Duration>)> {
        if self.ready.is_none() {
            let opened = account::open(&self.goal.settings, &self.authority, &self.goal.transport).await;
            let opened = opened.map_err(|(failure, client)| (failure, client.take_pause()))?;
            self.ready = Some(opened);
        }
        Ok(self.ready.as_ref().expect("it was opened above"))
    }

    /// Orders a certificate for `names`, and takes it in use.
    async fn order(&mut self, names: Vec<String>, shutdown: &CancellationToken) {
        let mut responder =
            Responder::new(&self.goal.settings.challenge, &self.parts.challenges, &self.authority);
        let ordered = tokio::select! {
            ordered = timeout(ORDER_TIME_MAX, self.try_order(&names, &mut responder)) => Some(ordered),
            () = shutdown.cancelled() => None,
        };
        if timeout(CLEAN_UP_TIME_MAX, responder.clean_up()).await.is_err() {
            tracing::warn!("a record of a challenge stays in the DNS: its removal took too long");
        }
        match ordered {
            None => {}
            Some(Ok(Ok(stored))) => self.succeed(&names, stored),
            Some(Ok(Err((failure, pause)))) => self.fail(&names, &failure, pause),
            Some(Err(_)) => {
                let text = format!("the order took longer than {} minutes", ORDER_TIME_MAX.as_secs() / 60);
                self.fail(&names, &Failure::new(text), None);
            }
        }
    }

    async fn try_order(
        &mut self,
        names: &[String],
        responder: &mut Responder,
    ) -> Result<Stored, (Failure, Option<Duration>)> {
        if self.held.len() >= CERTIFICATE_COUNT_MAX && self.replaced_by(names).next().is_none() {
            let text = format!(
                "wharf has {CERTIFICATE_COUNT_MAX} certificates of this authority and keeps no more; list fewer \
                 names in [server.acme]"
            );
            return Err((Failure::new(text), None));
        }
        let replaces = issuance::replaced(names, &self.as_held(), now());
        let replaces = replaces.and_then(|index| renewal_window::id_of(&self.held[index].stored.certificate));
        let mut issued = self.obtain(names, replaces.clone(), responder).await;
        if issued.as_ref().is_err_and(|(failure, _)| failure.is_account_gone) {
            self.authority.set_account_aside();
            self.ready = None;
            issued = self.obtain(names, replaces, responder).await;
        }
        self.store(names, &issued?).map_err(|failure| (failure, None))
    }

    async fn obtain(
        &mut self,
        names: &[String],
        replaces: Option<CertificateIdentifier<'static>>,
        responder: &mut Responder,
    ) -> Result<Issued, (Failure, Option<Duration>)> {
        let ready = self.ready().await?;
        let issued = order::obtain(&ready.account, names, replaces, responder).await;
        issued.map_err(|failure| (failure, ready.client.take_pause()))
    }

    fn store(&self, names: &[String], issued: &Issued) -> Result<Stored, Failure> {
        let unusable =
            |error: &dyn std::fmt::Display| Failure::new(format!("the authority's chain: {error}"));
        let parsed = Certificate::from_pem("", issued.chain.as_bytes(), issued.key.as_bytes());
        let parsed = parsed.map_err(|error| unusable(&error))?;
        acceptance::check(&parsed, names, &self.as_held(), now()).map_err(|wrong| unusable(&wrong))?;
        let replaced: Vec<PathBuf> = self.replaced_by(names).map(|kept| kept.stored.path.clone()).collect();
        self.authority.store(&issued.chain, &issued.key, &replaced).map_err(Failure::new)
    }

    /// The certificates that cover nothing besides these names, and make room for a new one of them.
    fn replaced_by(&self, names: &[String]) -> impl Iterator<Item = &Kept> {
        self.held.iter().filter(move |kept| {
            let covered = kept.stored.certificate.dns_names();
            covered.iter().all(|name| names.contains(name) || !self.goal.names.contains(name))
        })
    }

    fn succeed(&mut self, names: &[String], stored: Stored) {
        let is_renewal = names
            .iter()
            .any(|name| self.held.iter().any(|kept| kept.stored.certificate.dns_names().contains(name)));
        self.failures.succeed(names);
        self.authority.store_failures(&self.failures.to_text());
        self.held.retain(|kept| kept.stored.path != stored.path);
        self.held.push(Kept::new(stored));
        self.show();
        let now = now();
        self.parts.metrics.acme_ordered(Ordered::Success, now);
        if let Some(held) = self.held.last().map(Kept::as_held) {
            tracing::info!("{}", report::obtained(&held, is_renewal, now));
        }
    }

    fn fail(&mut self, names: &[String], failure: &Failure, pause: Option<Duration>) {
        let now = now();
        self.failures.fail(&failure.culprits, now, pause, fastrand::u64(..));
        self.authority.store_failures(&self.failures.to_text());
        self.parts.metrics.acme_ordered(Ordered::Failure, now);
        // The directory may have moved.
        self.ready = None;
        let troubled = if failure.culprits.is_empty() { names } else { &failure.culprits };
        let held = self.as_held();
        let ready_at = troubled.iter().map(|name| self.failures.ready_at(name)).min().unwrap_or(now);
        let is_urgent = uncovered(troubled, &held, now).next().is_some();
        let line = report::failed(troubled, &failure.text, is_urgent, ready_at.saturating_sub(now));
        if is_urgent {
            tracing::error!("{line}");
        } else {
            tracing::warn!("{line}");
        }
    }

    fn show(&self) {
        (self.parts.show)(self.held.iter().map(|kept| kept.stored.certificate.clone()).collect());
    }

    fn as_held(&self) -> Vec<Held> {
        self.held.iter().map(Kept::as_held).collect()
    }
}

/// The names without a valid certificate.
fn uncovered<'n>(names: &'n [String], held: &'n [Held], now: u64) -> impl Iterator<Item = &'n String> {
    let is_covered = move |name: &String| {
        held.iter().any(|it| it.begins <= now && now <= it.ends && it.names.contains(name))
    };
    names.iter().filter(move |name| !is_covered(name))
}

/// A number that differs between certificates and is the same after a restart: bytes of the signature.
fn draw_of(certificate: &Certificate) -> u64 {
    let der = certificate.key().cert.first().map_or(&[][..], |own| own.as_ref());
    let tail = der.last_chunk::<8>().copied().unwrap_or_default();
    u64::from_be_bytes(tail)
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests;
