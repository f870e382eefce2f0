//! A connection that is accepted and stays silent.

use std::time::Duration;

use futures_util::future::join_all;
use testkit::{Auth, Behaviour, Door, Ending, Endpoint, Fault, Gate, Kind, Rule};
use upstream::{BlobRange, ErrorKind};

use crate::rig::{Rig, bytes, read};

/// The second try comes after 0.8 s.
async fn rig(auth: Auth) -> Rig {
    let behaviour = Behaviour { auth, ..Behaviour::default() };
    Rig::start_with(behaviour, |settings| settings.header_timeout = Duration::from_secs(2)).await
}

fn bearer() -> Auth {
    Auth::Bearer { credentials: None, anonymous: true }
}

fn second_tries(rig: &Rig) -> u64 {
    rig.sample("wharf_upstream_second_tries_total{registry=\"fake\"}").unwrap()
}

#[tokio::test]
async fn client_f10_one_silent_connection_is_given_a_second_try_on_a_new_one() {
    for (endpoint, kind) in [
        (Endpoint::Registry, Kind::HeadManifest),
        (Endpoint::Registry, Kind::GetManifest),
        (Endpoint::Registry, Kind::GetBlob),
        (Endpoint::Cdn, Kind::HeadBlob),
        (Endpoint::Cdn, Kind::GetBlob),
        (Endpoint::Token, Kind::Token),
    ] {
        let rig = rig(bearer()).await;
        rig.put_manifest();
        let blob = rig.registry.put_blob(bytes(1000));
        let gate = Gate::new();
        rig.registry.script(Rule::new(kind, Fault::Stall(gate)).at(endpoint).once());
        match kind {
            Kind::HeadManifest => drop(rig.head("latest").await.unwrap()),
            Kind::HeadBlob => assert_eq!(rig.blob_size(&blob).await.unwrap(), Some(1000)),
            Kind::GetBlob => {
                let (got, _) = read(rig.blob(&blob, BlobRange::Whole).await.unwrap()).await;
                assert_eq!(got, bytes(1000));
            }
            _ => drop(rig.get("latest").await.unwrap()),
        }
        assert_eq!(second_tries(&rig), 1, "{kind:?} at {endpoint:?}");
        // The silent one is not held on to.
        let is_left = |log: &testkit::Log| {
            log.requests().iter().any(|request| request.ending == Some(Ending::ClientLeft))
        };
        rig.registry.log().wait_until("the silent connection's end", is_left).await;
        let stood_still = rig.registry.log().requests();
        let stood_still: Vec<_> =
            stood_still.iter().filter(|it| it.endpoint == endpoint && it.kind == kind).collect();
        let connections: Vec<u64> = stood_still.iter().map(|request| request.connection).collect();
        assert!(connections.windows(2).any(|two| two[0] != two[1]), "{kind:?}: {connections:?}");
    }
}

#[tokio::test]
async fn client_f10_the_first_answer_wins_whichever_connection_brings_it() {
    for wins in [0, 1] {
        let rig = rig(Auth::Anonymous).await;
        rig.put_manifest();
        let gates = [Gate::new(), Gate::new()];
        // The newest rule that applies decides.
        rig.registry.script(Rule::new(Kind::GetManifest, Fault::Stall(gates[1].clone())).once());
        rig.registry.script(Rule::new(Kind::GetManifest, Fault::Stall(gates[0].clone())).once());
        let release = async {
            gates[1].reached(1).await;
            gates[wins].release();
        };
        let (got, ()) = tokio::join!(rig.get("latest"), release);
        got.unwrap();
        assert_eq!(rig.registry.log().count(Kind::GetManifest), 2);
    }
}

#[tokio::test]
async fn client_f10_a_second_try_that_fails_leaves_the_first_its_time() {
    let rig = rig(Auth::Anonymous).await;
    rig.put_manifest();
    let (first, second) = (Gate::new(), Gate::new());
    second.release();
    let reset = Rule::new(Kind::GetManifest, Fault::Stall(second.clone())).and(Fault::Reset).once();
    rig.registry.script(reset);
    rig.registry.script(Rule::new(Kind::GetManifest, Fault::Stall(first.clone())).once());
    let release = async {
        second.reached(1).await;
        first.release();
    };
    let (got, ()) = tokio::join!(rig.get("latest"), release);
    got.unwrap();
}

#[tokio::test]
async fn client_f10_there_is_one_second_try_and_then_an_end() {
    let rig = rig(Auth::Anonymous).await;
    rig.put_manifest();
    let blob = rig.registry.put_blob(bytes(1000));
    for (kind, endpoint) in [(Kind::GetManifest, Endpoint::Registry), (Kind::GetBlob, Endpoint::Cdn)] {
        rig.registry.script(Rule::new(kind, Fault::Stall(Gate::new())).at(endpoint));
        let kind_of_error = match kind {
            Kind::GetManifest => rig.get("latest").await.unwrap_err().kind(),
            _ => rig.blob(&blob, BlobRange::Whole).await.unwrap_err().kind(),
        };
        assert_eq!(kind_of_error, ErrorKind::TimedOut);
        assert_eq!(rig.registry.log().count_at(endpoint, kind), 2);
    }
    let silent = "wharf_upstream_requests_total{registry=\"fake\",kind=\"get_manifest\",status=\"none\"}";
    assert_eq!(rig.sample(silent), Some(2), "both are counted");
}

#[tokio::test]
async fn client_f10_of_all_hops_of_one_operation_one_gets_a_second_try() {
    let rig = rig(Auth::Anonymous).await;
    let blob = rig.registry.put_blob(bytes(1000));
    for endpoint in [Endpoint::Registry, Endpoint::Cdn] {
        rig.registry.script(Rule::new(Kind::GetBlob, Fault::Stall(Gate::new())).at(endpoint).once());
    }
    let error = rig.blob(&blob, BlobRange::Whole).await.unwrap_err();
    assert_eq!((error.kind(), error.host()), (ErrorKind::TimedOut, &*rig.registry.host_of(Endpoint::Cdn)));
    assert_eq!(second_tries(&rig), 1);
    read(rig.blob(&blob, BlobRange::Whole).await.unwrap()).await;
}

#[tokio::test]
async fn client_f10_second_tries_end_with_the_budget_for_retries() {
    let rig = rig(Auth::Anonymous).await;
    rig.put_manifest();
    rig.get("latest").await.unwrap();
    rig.registry.log().clear();
    rig.registry.script(Rule::new(Kind::GetManifest, Fault::Stall(Gate::new())));
    let tags: Vec<String> = (0..40).map(|number| format!("tag-{number}")).collect();
    for got in join_all(tags.iter().map(|tag| rig.get(tag))).await {
        assert_eq!(got.unwrap_err().kind(), ErrorKind::TimedOut);
    }
    let sent = rig.registry.log().count(Kind::GetManifest);
    assert!((45..=54).contains(&sent), "40 requests, and 10 in reserve: {sent}");
}

#[tokio::test]
async fn client_f10_a_host_that_takes_every_connection_and_says_nothing_is_no_reason_for_more() {
    let rig = rig(Auth::Anonymous).await;
    rig.registry.set_door(Endpoint::Registry, Door::Mute).await;
    for _ in 0..2 {
        assert_eq!(rig.get("latest").await.unwrap_err().kind(), ErrorKind::TimedOut);
    }
    assert_eq!(
        rig.registry.log().connections(Endpoint::Registry),
        3,
        "what has just failed gets no second try"
    );
    assert_eq!(second_tries(&rig), 1);
}
