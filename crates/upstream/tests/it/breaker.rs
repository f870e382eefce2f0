//! An upstream that is down is left alone, and found again.

use std::time::Instant;

use testkit::{Auth, Behaviour, Door, Endpoint, Fault, Gate, Kind, Rule};
use upstream::ErrorKind;

use crate::rig::Rig;

async fn rig() -> (Rig, String) {
    let rig = Rig::start(Behaviour { auth: Auth::Anonymous, ..Behaviour::default() }).await;
    let digest = rig.put_manifest();
    (rig, digest)
}

fn state(rig: &Rig) -> u64 {
    rig.sample("wharf_upstream_breaker_state{registry=\"fake\"}").unwrap()
}

/// Fails until the upstream is left alone.
async fn open(rig: &Rig, digest: &str) {
    rig.registry.set_door(Endpoint::Registry, Door::Refuse).await;
    for _ in 0..5 {
        if rig.get(digest).await.unwrap_err().kind() == ErrorKind::Resting {
            break;
        }
    }
    assert_eq!(state(rig), 2);
}

#[tokio::test]
async fn f01_while_it_is_open_nothing_is_sent() {
    let (rig, digest) = rig().await;
    open(&rig, &digest).await;
    rig.registry.set_door(Endpoint::Registry, Door::Open).await;
    let started = Instant::now();
    let error = rig.get(&digest).await.unwrap_err();
    assert_eq!((error.kind(), error.status()), (ErrorKind::Resting, None));
    assert!(error.retry_after().is_some());
    assert!(started.elapsed().as_millis() < 500, "answered here, at once");
    assert_eq!(rig.registry.requests().len(), 0);
}

#[tokio::test]
async fn f09_one_probe_of_our_own_finds_out_that_it_is_back() {
    let (rig, digest) = rig().await;
    open(&rig, &digest).await;
    let gate = Gate::new();
    rig.registry.script(Rule::new(Kind::Version, Fault::Stall(gate.clone())).once());
    rig.registry.set_door(Endpoint::Registry, Door::Open).await;
    let asking = async {
        // Refused until the breaker's second is over; then this request waits for the probe, and goes on.
        loop {
            match rig.get(&digest).await {
                Err(error) if error.kind() == ErrorKind::Resting => tokio::task::yield_now().await,
                other => break other,
            }
        }
    };
    let others = async {
        gate.reached(1).await;
        assert_eq!(state(&rig), 1);
        for _ in 0..10 {
            assert_eq!(rig.get(&digest).await.unwrap_err().kind(), ErrorKind::Resting);
        }
        gate.release();
    };
    let (got, ()) = tokio::join!(asking, others);
    got.unwrap();
    assert_eq!(state(&rig), 0);
    rig.get(&digest).await.unwrap();
    let probes = rig.registry.log().requests();
    let probe = &probes.iter().find(|request| request.kind == Kind::Version).unwrap();
    assert_eq!((probe.target.as_str(), &probe.credential), ("/v2/", &None), "and it shows nothing of ours");
}

#[tokio::test]
async fn k13_a_client_that_leaves_ends_no_probe() {
    let (rig, digest) = rig().await;
    open(&rig, &digest).await;
    let gate = Gate::new();
    rig.registry.script(Rule::new(Kind::Version, Fault::Stall(gate.clone())).once());
    rig.registry.set_door(Endpoint::Registry, Door::Open).await;
    let asking = async {
        while rig.get(&digest).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = asking => panic!("the probe is held back"),
        () = gate.reached(1) => {}
    }
    gate.release();
    while state(&rig) != 0 {
        tokio::task::yield_now().await;
    }
    rig.get(&digest).await.unwrap();
    assert_eq!(rig.registry.log().count(Kind::Version), 1);
}

#[tokio::test]
async fn answers_that_are_refusals_keep_it_closed() {
    let (rig, digest) = rig().await;
    for status in [404, 403, 400, 500] {
        let rule = rig.registry.script(Rule::new(Kind::GetManifest, Fault::Status(status)));
        for _ in 0..10 {
            rig.get(&digest).await.unwrap_err();
        }
        rule.remove();
    }
    assert_eq!(state(&rig), 0);
}
