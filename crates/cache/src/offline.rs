//! The switch that takes a registry offline at run time, and the one for all registries.
//!
//! A switch survives a restart: it is noted in the registry's store. It also survives a reload, because every
//! backend over the same store uses the same switch. A note that cannot be read counts as `on`: an air gap
//! must not open because of damage.

mod body;
pub(crate) mod gate;
mod note;

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use policy::offline::{OrderForAll, State, Switch, decide, newest};
use storage::{RecordStore, StoreError};
use tokio::sync::Notify;
use tracing::{error, warn};
use upstream::Upstream;

use self::body::Body;
use self::note::{NAME, Note};

/// Whether the registry of one store is offline. All backends over the store share it.
#[derive(Debug)]
pub struct OfflineSwitch {
    registry: Arc<str>,
    records: Arc<dyn RecordStore>,
    /// The operator's order for this registry: see [`code`].
    own: AtomicU8,
    is_configured: AtomicBool,
    all: OfflineSwitches,
    /// Whether the registry was offline at the last change.
    was_offline: AtomicBool,
    changed: Notify,
    noted: Note,
    upstreams: Mutex<Vec<Weak<dyn Upstream>>>,
    bodies: Mutex<Vec<Weak<Body>>>,
}

/// The switches of all registries of the process, and the order that is for all of them. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct OfflineSwitches(Arc<All>);

#[derive(Debug, Default)]
struct All {
    is_on: AtomicBool,
    /// The time of the last order, in seconds since 1970.
    at: AtomicU64,
    changed: Notify,
    switches: Mutex<Vec<Weak<OfflineSwitch>>>,
    /// Held during a change, so that the notes follow the states in order.
    changing: tokio::sync::Mutex<()>,
}

/// An order for all registries that one store could not note.
#[derive(Debug)]
pub struct NotNoted {
    /// The registry.
    pub registry: Arc<str>,
    /// The failure.
    pub error: StoreError,
}

impl OfflineSwitch {
    /// The switch of the registry with the store `records`, as an earlier process left it.
    pub async fn open(
        registry: impl Into<Arc<str>>,
        records: Arc<dyn RecordStore>,
        all: &OfflineSwitches,
    ) -> Arc<Self> {
        let registry = registry.into();
        let note = match records.note(NAME).await {
            Ok(None) => Note::default(),
            Ok(Some(bytes)) => Note::parse(&bytes).unwrap_or_else(|| {
                error!(%registry, "the note of the offline switch is damaged, so the registry is offline; run \
                    `wharf offline default` or `wharf offline off`");
                Note { own: Some(Switch::On), ..Note::default() }
            }),
            Err(error) => {
                error!(%registry, %error, "the note of the offline switch cannot be read, so the registry is \
                    offline; run `wharf offline default` or `wharf offline off`");
                Note { own: Some(Switch::On), ..Note::default() }
            }
        };
        let switch = Self::with_note(registry, records, all, note);
        // A later process may serve this registry alone.
        let _changing = all.0.changing.lock().await;
        if all.order().is_on
            && !note.all.is_on
            && let Err(error) = switch.save(note.own, all.order()).await
        {
            warn!(registry = %switch.registry, %error, "the store cannot note that all registries are offline");
        }
        switch
    }

    /// A switch that no operator has used.
    pub fn unused(
        registry: impl Into<Arc<str>>,
        records: Arc<dyn RecordStore>,
        all: &OfflineSwitches,
    ) -> Arc<Self> {
        Self::with_note(registry.into(), records, all, Note::default())
    }

    fn with_note(
        registry: Arc<str>,
        records: Arc<dyn RecordStore>,
        all: &OfflineSwitches,
        noted: Note,
    ) -> Arc<Self> {
        let switch = Arc::new(Self {
            registry,
            records,
            own: AtomicU8::new(code(noted.own)),
            is_configured: AtomicBool::new(false),
            all: all.clone(),
            was_offline: AtomicBool::new(true),
            changed: Notify::new(),
            noted,
            upstreams: Mutex::default(),
            bodies: Mutex::default(),
        });
        let mut switches = all.0.switches.lock();
        switches.retain(|switch| switch.strong_count() > 0);
        switches.push(Arc::downgrade(&switch));
        drop(switches);
        switch
    }

    /// Whether the registry is offline, and why. Costs three atomic loads.
    pub fn state(&self) -> State {
        let is_configured = self.is_configured.load(Ordering::SeqCst);
        decide(self.own(), self.all.order().is_on, is_configured)
    }

    /// Takes the configuration's word for the time without a switch, and `upstream` to disconnect.
    pub(crate) fn configure(&self, is_offline: bool, upstream: &Arc<dyn Upstream>) {
        {
            let mut upstreams = self.upstreams.lock();
            upstreams.retain(|upstream| upstream.strong_count() > 0);
            upstreams.push(Arc::downgrade(upstream));
        }
        self.is_configured.store(is_offline, Ordering::SeqCst);
        self.apply();
    }

    /// Sets the operator's order for this registry; `None`: back to the order for all and the configuration.
    /// When it takes the registry offline, requests and transfers under way end, and all connections close.
    ///
    /// # Errors
    /// The store cannot note it. Then a registry that was to go offline is offline until the process ends,
    /// and any other order has no effect.
    pub async fn set(&self, order: Option<Switch>) -> Result<(), StoreError> {
        let _changing = self.all.0.changing.lock().await;
        if order == Some(Switch::On) {
            self.turn(order);
            return self.save(order, self.all.order()).await;
        }
        self.save(order, self.all.order()).await?;
        self.turn(order);
        Ok(())
    }

    /// Returns once the registry is offline.
    pub(crate) async fn reached(&self) {
        loop {
            let (own, all) = (pin!(self.changed.notified()), pin!(self.all.0.changed.notified()));
            if self.state().is_offline {
                return;
            }
            tokio::select! {
                () = own => {}
                () = all => {}
            }
        }
    }

    /// Notes a body that is coming from the upstream, to end it when the registry goes offline.
    fn watch(&self, body: &Arc<Body>) {
        let mut bodies = self.bodies.lock();
        bodies.retain(|body| body.strong_count() > 0);
        bodies.push(Arc::downgrade(body));
    }

    fn own(&self) -> Option<Switch> {
        match self.own.load(Ordering::SeqCst) {
            1 => Some(Switch::On),
            2 => Some(Switch::Off),
            _ => None,
        }
    }

    fn turn(&self, own: Option<Switch>) {
        self.own.store(code(own), Ordering::SeqCst);
        self.apply();
    }

    /// Ends everything under way if the registry has gone offline.
    fn apply(&self) {
        self.changed.notify_waiters();
        let is_offline = self.state().is_offline;
        if self.was_offline.swap(is_offline, Ordering::SeqCst) || !is_offline {
            return;
        }
        let bodies = std::mem::take(&mut *self.bodies.lock());
        bodies.iter().filter_map(Weak::upgrade).for_each(|body| body.end());
        let upstreams = self.upstreams.lock().clone();
        upstreams.iter().filter_map(Weak::upgrade).for_each(|upstream| upstream.disconnect());
    }

    async fn save(&self, own: Option<Switch>, all: OrderForAll) -> Result<(), StoreError> {
        self.records.put_durable_note(NAME, &Note { own, all }.to_bytes()).await
    }
}

impl OfflineSwitches {
    /// Takes over the newest order for all registries that their stores have noted. Call it once at a start,
    /// before the first request.
    pub fn take_over(&self) {
        let order = newest(self.live().iter().map(|switch| switch.noted.all));
        self.0.at.store(order.at, Ordering::SeqCst);
        self.0.is_on.store(order.is_on, Ordering::SeqCst);
        self.live().iter().for_each(|switch| switch.apply());
    }

    /// Sets the order for all registries, and takes back the orders for single ones. `On` also holds for
    /// registries that a later configuration adds; `Off` does not: it is set for each present one.
    ///
    /// Returns the registries whose stores could not note it. Such a registry stays as it was if that was
    /// offline; one that was to go offline is so until the process ends.
    pub async fn set(&self, order: Option<Switch>) -> Vec<NotNoted> {
        let _changing = self.0.changing.lock().await;
        let (is_on, at) = (order == Some(Switch::On), self.next_time());
        let own = order.filter(|order| *order == Switch::Off);
        if is_on {
            self.turn(true, at);
        }
        let mut failed = Vec::new();
        for switch in self.live() {
            if is_on {
                switch.turn(None);
            }
            match switch.save(own, OrderForAll { is_on, at }).await {
                Ok(()) => switch.turn(own),
                Err(error) => {
                    if !is_on && switch.state().is_offline {
                        switch.turn(Some(Switch::On));
                    }
                    failed.push(NotNoted { registry: Arc::clone(&switch.registry), error });
                }
            }
        }
        if !is_on {
            self.turn(false, at);
        }
        failed
    }

    fn turn(&self, is_on: bool, at: u64) {
        self.0.at.store(at, Ordering::SeqCst);
        self.0.is_on.store(is_on, Ordering::SeqCst);
        self.0.changed.notify_waiters();
    }

    fn order(&self) -> OrderForAll {
        OrderForAll { is_on: self.0.is_on.load(Ordering::SeqCst), at: self.0.at.load(Ordering::SeqCst) }
    }

    /// Now, and later than the last order even if the clock was set back.
    fn next_time(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        now.max(self.order().at + 1)
    }

    fn live(&self) -> Vec<Arc<OfflineSwitch>> {
        self.0.switches.lock().iter().filter_map(Weak::upgrade).collect()
    }
}

/// An order in one byte.
fn code(order: Option<Switch>) -> u8 {
    match order {
        None => 0,
        Some(Switch::On) => 1,
        Some(Switch::Off) => 2,
    }
}
