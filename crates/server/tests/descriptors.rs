//! A process without free file descriptors. The limit is per process, so this test has its own program.

#![allow(clippy::unwrap_used, reason = "a test: every failure is to be loud")]

use std::sync::Arc;

use policy::host::RoutingTable;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use server::{Parts, Server, Settings, Snapshot};
use telemetry::Metrics;
use testkit::client::Connection;
use testkit::within;
use tokio_util::sync::CancellationToken;

async fn check_served(connection: &mut Connection) {
    connection.request("GET", "x", "/livez", &[]).await.unwrap();
    let answer = within("an answer", connection.read_response("GET")).await.unwrap();
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn accepting_rests_and_goes_on_when_descriptors_are_free_again() {
    let parts = Parts {
        snapshot: Snapshot {
            routes: RoutingTable::new(None, None, &[]).unwrap().map(|_| unreachable!("there is no registry")),
            access: None,
            settings: Settings::new(vec!["127.0.0.1:0".parse().unwrap()]),
        },
        metrics: Arc::new(Metrics::new(&[])),
    };
    let server = Server::bind(parts).unwrap();
    let address = server.local_addresses()[0];
    let shutdown = CancellationToken::new();
    let served = tokio::spawn(server.serve(shutdown.clone()));
    let mut old = Connection::open(address).await.unwrap();
    check_served(&mut old).await;

    let open_count = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(open_count + 10), maximum: before.maximum }).unwrap();
    // Client and server share the descriptors: when no further client can be opened, none can be accepted.
    let mut clients = Vec::new();
    while let Ok(client) = Connection::open(address).await {
        clients.push(client);
    }
    assert!(clients.len() >= 4, "only {} clients before the limit", clients.len());
    let mut last = clients.pop().unwrap();
    last.request("GET", "x", "/livez", &[]).await.unwrap();
    for _ in 0..100 {
        check_served(&mut old).await;
    }

    clients.clear();
    let answer = within("the last client is accepted", last.read_response("GET")).await.unwrap();
    assert_eq!(answer.status, 200);
    setrlimit(Resource::Nofile, before).unwrap();
    shutdown.cancel();
    drop((old, last));
    within("the server ends", served).await.unwrap();
}
