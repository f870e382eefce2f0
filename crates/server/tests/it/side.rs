//! Connections of a service that has its own listener.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use server::{BoundSocket, Incoming, SideBounds, SideContent, SideService};
use testkit::client::Connection;
use testkit::within;

use crate::lab::{HUB, Lab, loopback};

/// Answers each request with its path.
#[derive(Debug)]
struct Paths;

#[async_trait::async_trait]
impl SideService for Paths {
    async fn answer(&self, request: Request<Incoming>) -> Response<SideContent> {
        Response::new(SideContent::Whole(Bytes::from(request.uri().path().to_owned())))
    }

    async fn turn_away(&self, _request: Request<Incoming>) -> Response<SideContent> {
        Response::new(SideContent::Whole(Bytes::from("turned away")))
    }
}

async fn path_over(connection: &mut Connection, path: &str) -> String {
    connection.request("GET", HUB, path, &[]).await.unwrap();
    within("an answer", connection.read_response("GET")).await.unwrap().text()
}

#[tokio::test]
async fn f45_a_side_service_has_its_own_bound_on_idle_connections() {
    let bounds = SideBounds { connection_count_max: 2, idle_max: Duration::from_millis(50) };
    let (lab, side) = Lab::start_and_attach(
        |_| {},
        |server, _| {
            let address = server.attach(BoundSocket::bind(loopback()).unwrap(), bounds, Arc::new(Paths));
            address.unwrap().ip().unwrap()
        },
    )
    .await;
    let mut public = lab.connect().await;
    let mut silent = Connection::open(side).await.unwrap();
    let mut used = Connection::open(side).await.unwrap();
    assert_eq!(path_over(&mut used, "/one").await, "/one");
    for connection in [&mut silent, &mut used] {
        let (received, end) = within("the end of an idle connection", connection.read_raw_to_end()).await;
        assert!(end.is_ok() && received.is_empty(), "{end:?}");
    }
    let counted = async {
        while !lab.metrics.encode().contains("wharf_connections_closed_total{why=\"idle\"} 2") {
            tokio::task::yield_now().await;
        }
    };
    within("both are counted", counted).await;
    public.request("GET", HUB, "/livez", &[]).await.unwrap();
    let answer = within("an answer", public.read_response("GET")).await.unwrap();
    assert_eq!(answer.status, 200, "the public listener has another bound");
}
