//! Commands about stored images while no wharf runs: this process opens the stores and answers itself.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use archive::ServedTargets;
use rustix::process::geteuid;
use rustix::rand::{GetRandomFlags, getrandom};
use secret::Secret;
use telemetry::error_chain;
use tokio::runtime::Runtime;

use crate::config::Config;
use crate::registry_set::NewStores;
use crate::wiring::{self, AtRest};

/// The opened stores of a configuration, with an admin listener for this process.
#[derive(Debug)]
pub(crate) struct Directory {
    runtime: Runtime,
    /// `None` once it is closed.
    stores: Option<AtRest>,
    address: SocketAddr,
    token: Secret<String>,
}

impl Directory {
    /// Opens the stores. Of those that do not exist it makes `new_stores`. `why` says why no running wharf is
    /// asked.
    ///
    /// # Errors
    /// A line for the operator, such as that a running wharf uses them.
    pub(crate) fn open(config: &Config, why: &str, new_stores: NewStores) -> Result<Self, String> {
        let mut roots = config.registries.iter().map(|registry| registry.root.as_path());
        if new_stores == NewStores::none() && !roots.clone().any(storage::fs::may_be_store) {
            let shown = roots.next().unwrap_or(Path::new("?")).display();
            return Err(format!("{why}; and there is no store on disk, such as {shown}"));
        }
        roots.try_for_each(refuse_foreign_root).map_err(|reason| format!("{why}; {reason}"))?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("cannot start the runtime: {error}"))?;
        let token = token().map_err(|error| format!("cannot make a token: {error}"))?;
        let mut settings = admin::Settings::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        // Other users of the machine can reach the port, too.
        settings.token = Some(token.clone());
        let opened = runtime.block_on(wiring::open_at_rest(config, &mut settings, new_stores));
        let stores = Some(opened.map_err(|error| {
            format!("{why}; if it listens elsewhere, name that with --url\n{}", error_chain(&error))
        })?);
        let address = settings.listen.ip().expect("it listens on loopback");
        // The output of the command matters, not this.
        let _ = writeln!(io::stderr(), "({why}; the answer comes from the stores on disk)");
        Ok(Self { runtime, stores, address, token })
    }

    /// Runs work on the stores to its end.
    pub(crate) fn run<T>(&self, work: impl FnOnce(Arc<ServedTargets>) -> T) -> T::Output
    where
        T: Future,
    {
        let stores = self.stores.as_ref().expect("they are open");
        self.runtime.block_on(work(Arc::clone(stores.archives())))
    }

    /// Learns the limits on the stores, which an import keeps to: nothing makes room while no wharf runs.
    pub(crate) fn measure(&self) {
        let stores = self.stores.as_ref().expect("they are open");
        self.runtime.block_on(stores.measure());
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn token(&self) -> &Secret<String> {
        &self.token
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Some(stores) = self.stores.take() {
            self.runtime.block_on(stores.close());
        }
    }
}

/// Refuses a store that another user owns, who could not use files that this user writes there.
fn refuse_foreign_root(root: &Path) -> Result<(), String> {
    let user = geteuid().as_raw();
    match root.metadata().ok().map(|metadata| metadata.uid()).filter(|owner| *owner != user) {
        Some(owner) => {
            Err(format!("{} belongs to user {owner}: run the command as that user", root.display()))
        }
        None => Ok(()),
    }
}

fn token() -> io::Result<Secret<String>> {
    let mut bytes = [0; 32];
    getrandom(&mut bytes, GetRandomFlags::empty())?;
    Ok(Secret::new(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
}
