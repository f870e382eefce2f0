//! The wall clock is changed while the server runs.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use testkit::client::Response;
use testkit::{Door, Endpoint, Image, Kind};

use crate::lab::{HUB, Lab};

const TAG: &str = "/v2/library/app/manifests/1";

const YEAR: i64 = 365 * 24 * 3600;

/// The difference of the wall clock from the true time, in seconds. Only one test sets it.
static JUMP: AtomicI64 = AtomicI64::new(0);

fn jumping_clock() -> SystemTime {
    let jump = JUMP.load(Ordering::SeqCst);
    let distance = Duration::from_secs(jump.unsigned_abs());
    if jump < 0 { SystemTime::now() - distance } else { SystemTime::now() + distance }
}

fn digest(answer: &Response) -> Option<&str> {
    answer.header("docker-content-digest")
}

#[tokio::test]
async fn f46_a_clock_that_jumps_costs_one_check_of_a_tag() {
    for jump in [YEAR, -YEAR] {
        JUMP.store(0, Ordering::SeqCst);
        let lab = Lab::start_with(|plan| {
            plan.tag_ttl = Duration::from_secs(3600);
            plan.wall_clock = jumping_clock;
        });
        let lab = lab.await;
        let (before, after) = (Image::small("before"), Image::small("after"));
        lab.hub.put_image("library/app", "1", &before);
        let heads = || lab.hub.log().count(Kind::HeadManifest);
        assert_eq!(digest(&lab.get(HUB, TAG).await), Some(before.digest()), "{jump}");
        let asked = heads();
        assert_eq!(digest(&lab.get(HUB, TAG).await), Some(before.digest()), "{jump}");
        assert_eq!(heads(), asked, "{jump}: fresh for an hour");

        JUMP.store(jump, Ordering::SeqCst);
        lab.hub.put_image("library/app", "1", &after);
        for _ in 0..3 {
            let answer = lab.get(HUB, TAG).await;
            assert_eq!(digest(&answer), Some(after.digest()), "{jump}");
            let age: u64 = answer.header("age").map_or(0, |age| age.parse().unwrap());
            assert!(age < 3600, "{jump}: {age} s");
        }
        assert_eq!(heads(), asked + 1, "{jump}: checked once, then fresh again");

        JUMP.store(0, Ordering::SeqCst);
        lab.hub.set_door(Endpoint::Registry, Door::Refuse).await;
        let stale = lab.get(HUB, TAG).await;
        assert_eq!((stale.status, digest(&stale)), (200, Some(after.digest())), "{jump} and back");
        assert!(stale.header("warning").is_some(), "{jump} and back");
    }
}
