//! More connections than the limit allows.

use testkit::client::Connection;
use testkit::within;

use crate::{AdminLab, settings};

/// More than are served and turned away at one time.
const IDLE_COUNT: usize = 300;

#[tokio::test]
async fn f44_idle_connections_hold_up_no_health_check_of_the_admin_listener() {
    let lab = AdminLab::start(settings(Some("token"))).await;
    let mut idle = Vec::new();
    for _ in 0..IDLE_COUNT {
        idle.push(within("a connection", Connection::open(lab.address)).await.unwrap());
    }
    for target in ["/livez", "/readyz"] {
        let answer = lab.ask_as("probe.example", "GET", target, &[]).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok\n"), "{target}");
        assert_eq!(answer.header("connection"), Some("close"), "{target}");
    }
    let token = ("authorization", "Bearer token");
    for (method, target) in [("GET", "/metrics"), ("POST", "/api/import"), ("POST", "/livez")] {
        let refused = lab.ask_as("localhost", method, target, &[token]).await;
        assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")), "{method} {target}");
        assert_eq!(refused.header("connection"), Some("close"), "{method} {target}");
        assert!(
            refused.text().starts_with("all connections of this listener are in use"),
            "{}",
            refused.text()
        );
    }
    let head = lab.ask_as("localhost", "HEAD", "/metrics", &[token]).await;
    assert_eq!((head.status, head.text().as_str()), (503, ""));
    drop(idle);
    let freed = async { while lab.ask_as("localhost", "GET", "/metrics", &[token]).await.status != 200 {} };
    within("the freed connections", freed).await;
}
