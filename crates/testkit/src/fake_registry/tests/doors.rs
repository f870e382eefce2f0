use std::io::ErrorKind;

use super::{ask, get, simple};
use crate::client::{Broken, Connection};
use crate::{Door, Endpoint, within};

#[tokio::test]
async fn a_refusing_door_cuts_open_connections_and_keeps_the_port() {
    let registry = simple().await;
    let address = registry.address_of(Endpoint::Registry);
    let mut connection = Connection::open(address).await.unwrap();
    connection.request("GET", "h", "/v2/", &[]).await.unwrap();
    assert_eq!(connection.read_response("GET").await.unwrap().status, 200);
    registry.set_door(Endpoint::Registry, Door::Refuse).await;
    let (rest, _) = within("the end", connection.read_raw_to_end()).await;
    assert!(rest.is_empty());
    let error = Connection::open(address).await.unwrap_err();
    assert!(matches!(&error, Broken::Io(io) if io.kind() == ErrorKind::ConnectionRefused), "{error:?}");
    assert_eq!(registry.log().open_connections(Endpoint::Registry), 0);
    // The other endpoints are not affected.
    assert_eq!(ask(&registry, Endpoint::Cdn, "GET", "/", &[]).await.unwrap().status, 403);
    registry.set_door(Endpoint::Registry, Door::Open).await;
    assert_eq!(registry.address_of(Endpoint::Registry), address);
    assert_eq!(get(&registry, "/v2/").await.status, 200);
    assert_eq!(registry.log().connections(Endpoint::Registry), 2);
}

#[tokio::test]
async fn a_door_can_close_new_connections() {
    let registry = simple().await;
    registry.set_door(Endpoint::Registry, Door::CloseOnAccept).await;
    let error = ask(&registry, Endpoint::Registry, "GET", "/v2/", &[]).await.unwrap_err();
    assert!(matches!(error, Broken::Closed | Broken::Reset), "{error:?}");
    assert_eq!((registry.requests().len(), registry.log().connections(Endpoint::Registry)), (0, 1));
}

#[tokio::test]
async fn a_mute_door_accepts_and_never_answers() {
    let registry = simple().await;
    registry.set_door(Endpoint::Registry, Door::Mute).await;
    let mut connection = Connection::open(registry.address_of(Endpoint::Registry)).await.unwrap();
    connection.request("GET", "h", "/v2/", &[]).await.unwrap();
    let is_open = |log: &crate::Log| log.open_connections(Endpoint::Registry) == 1;
    registry.log().wait_until("the connection", is_open).await;
    assert_eq!(registry.requests().len(), 0);
    registry.set_door(Endpoint::Registry, Door::Open).await;
    let (said, _) = within("the end", connection.read_raw_to_end()).await;
    assert!(said.is_empty());
    assert_eq!(get(&registry, "/v2/").await.status, 200);
}

#[tokio::test]
async fn dropping_the_registry_ends_everything() {
    let registry = simple().await;
    let address = registry.address_of(Endpoint::Registry);
    let mut connection = Connection::open(address).await.unwrap();
    connection.request("GET", "h", "/v2/", &[]).await.unwrap();
    connection.read_response("GET").await.unwrap();
    drop(registry);
    within("the end", connection.read_raw_to_end()).await.0.is_empty().then_some(()).unwrap();
    Connection::open(address).await.unwrap_err();
}
