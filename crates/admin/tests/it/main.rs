//! The admin listener of a running server, tested over a loopback socket.

#![allow(clippy::unwrap_used, reason = "a test: every failure is to be loud")]

mod answers;
mod crowd;
mod images;
mod pull;
mod readiness;
mod reload;

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;

use admin::{Admin, ImageWork, Parts, Reloads, Settings};
use policy::eviction::CommonLimits;
use secret::Secret;
use server::BoundSocket;
use testkit::client::{Response, request};
use testkit::within;
use testlab::{InMemory, loopback};

type Lab = testlab::Lab<InMemory>;

/// A server with an admin listener.
struct AdminLab {
    lab: Lab,
    admin: Arc<Admin>,
    address: SocketAddr,
}

impl AdminLab {
    async fn start(settings: Settings) -> Self {
        Self::start_with(settings, None).await
    }

    async fn start_with(settings: Settings, reloads: Option<Reloads>) -> Self {
        Self::start_for(settings, reloads, None).await
    }

    async fn start_for(
        settings: Settings,
        reloads: Option<Reloads>,
        image_work: Option<Arc<dyn ImageWork>>,
    ) -> Self {
        let metrics = Arc::new(telemetry::Metrics::new(&["docker.io".to_owned(), "quay.io".to_owned()]));
        let shared = Arc::clone(&metrics);
        let all_offline = cache::OfflineSwitches::default();
        let change = |plan: &mut testlab::Plan| {
            plan.metrics = shared;
            plan.all_offline = all_offline.clone();
        };
        let attach = |server: &mut server::Server, shutdown: &tokio_util::sync::CancellationToken| {
            let keepers = inventory::CommonKeeper::new(CommonLimits::default());
            let shutdown = shutdown.clone();
            let parts = Parts {
                control: server.control(),
                metrics,
                reloads,
                keepers,
                image_work,
                archives: Arc::default(),
                offline: all_offline.clone(),
                shutdown,
            };
            let admin = Admin::new(&settings, parts);
            let socket = BoundSocket::bind(settings.listen.clone()).unwrap();
            let address = admin.listen(socket, server).unwrap().ip().unwrap();
            (admin, address)
        };
        let (lab, (admin, address)) = Lab::start_and_attach(change, attach).await;
        Self { lab, admin, address }
    }

    /// Sends one request to the admin listener under this host name, on its own connection.
    async fn ask_as(&self, host: &str, method: &str, target: &str, headers: &[(&str, &str)]) -> Response {
        within(target, request(method, self.address, host, target, headers)).await.unwrap()
    }
}

impl Deref for AdminLab {
    type Target = Lab;

    fn deref(&self) -> &Lab {
        &self.lab
    }
}

/// The settings of a loopback listener with this token.
fn settings(token: Option<&str>) -> Settings {
    let token = token.map(|token| Secret::new(token.to_owned()));
    Settings { token, ..Settings::new(loopback()) }
}
